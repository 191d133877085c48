package pipeline

import "context"

// DirectProxyRouteTablePlugin keeps the services that the gateway exposes:
// http:graphql and tcp:graphql.
type DirectProxyRouteTablePlugin struct{}

// Name returns "DirectProxyRouteTablePlugin".
func (DirectProxyRouteTablePlugin) Name() string { return "DirectProxyRouteTablePlugin" }

// Handles lists the actions on a dataChannel.
func (DirectProxyRouteTablePlugin) Handles() []string { return dataChannelActions() }

// Apply commits what is for the gateway.
func (DirectProxyRouteTablePlugin) Apply(ctx context.Context, c *Context) (Result, error) {
	if c.Action.Resource != dataChannel || !c.Action.graphQL() {
		return c.Result, nil
	}
	return c.commitDataChannel(ctx)
}
