package pipeline

import "context"

// LocalRoutingPlugin keeps the services that are routed inside the site: tcp,
// udp, http and http:grpc. Data whose protocol is none at all ends here too,
// with a refusal.
type LocalRoutingPlugin struct{}

// Name returns "LocalRoutingPlugin".
func (LocalRoutingPlugin) Name() string { return "LocalRoutingPlugin" }

// Handles lists the actions on a dataChannel.
func (LocalRoutingPlugin) Handles() []string { return dataChannelActions() }

// Apply commits what is not for the gateway.
func (LocalRoutingPlugin) Apply(ctx context.Context, c *Context) (Result, error) {
	if c.Action.Resource != dataChannel || c.Action.graphQL() {
		return c.Result, nil
	}
	return c.commitDataChannel(ctx)
}
