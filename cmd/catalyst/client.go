package main

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// answerBytes bounds one message of a node: a page of routes is far smaller.
const answerBytes = 64 << 20

// client asks the nodes at its addresses, one after the other until one
// answers.
type client struct {
	address string // as given, comma-separated
	token   string
	caFile  string
	timeout time.Duration
	output  format

	security
	addresses []string // WebSocket URLs, in the order they are tried
}

func (c *client) addFlags(flags *pflag.FlagSet) {
	c.output = "table"
	flags.StringVar(&c.address, "address", "localhost:3000", "`nodes` to ask, comma-separated, tried in turn (CATALYST_ADDR)")
	flags.StringVar(&c.token, "token", "", "`token` to show to the node; it also says whose certificates to trust (CATALYST_TOKEN)")
	flags.StringVar(&c.caFile, "ca-file", "", "`file` of authorities to trust beside the system's, in PEM form (CATALYST_CA_FILE)")
	flags.DurationVar(&c.timeout, "timeout", 10*time.Second, "how long to try for an answer")
	flags.VarP(&c.output, "output", "o", "what stdout gets")
	fromEnv(flags, "address", "CATALYST_ADDR", "CATALYST_ORCHESTRATOR_URL")
	fromEnv(flags, "token", "CATALYST_TOKEN")
	fromEnv(flags, "ca-file", "CATALYST_CA_FILE")
}

// parseAddresses makes WebSocket URLs of what people write: host:port alone,
// which gets the scheme, http for ws, and no path all do.
func parseAddresses(list, scheme string) ([]string, error) {
	var addresses []string
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		address, err := parseAddress(text, scheme)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, address)
	}
	if len(addresses) == 0 {
		return nil, unusable("give host:port, as in --address localhost:3000", "--address (CATALYST_ADDR) names no node")
	}
	return addresses, nil
}

func parseAddress(text, scheme string) (string, error) {
	full := text
	if !strings.Contains(full, "://") {
		full = scheme + "://" + full
	}
	u, err := url.Parse(full)
	schemes := map[string]string{"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
	if err != nil || u.Hostname() == "" || schemes[u.Scheme] == "" {
		return "", unusable("give host:port or a URL, as in localhost:3000 or ws://localhost:3000/rpc",
			"--address (CATALYST_ADDR) has %q, which is no address of a node", text)
	}
	u.Scheme = schemes[u.Scheme]
	if u.Path == "" || u.Path == "/" {
		u.Path = "/rpc"
	}
	return u.String(), nil
}

// link is one open session with a node. It is closed by whoever dialled.
type link struct {
	address string
	session *transport.Session
	scope   *transport.Promise // the CliScope, usable before the node has answered
	end     context.CancelFunc
	running sync.WaitGroup
}

// dial opens a session. ctx bounds the dialling alone.
func (c *client) dial(ctx context.Context, address string) (*link, error) {
	conn, err := ws.Dial(ctx, address, ws.Options{MessageBytes: answerBytes, Ping: c.silence(), Client: c.web()})
	if err != nil {
		return nil, c.dialFailed(address, err)
	}
	l := &link{
		address: address,
		session: transport.NewSession(conn, transport.Config{Limits: transport.Limits{MessageBytes: answerBytes}}),
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	l.end = end
	l.running.Go(func() { _ = l.session.Run(life) })
	if c.shown == "" {
		l.scope = l.session.Main().Call("connectionFromCli")
	} else {
		l.scope = l.session.Main().Call("connectionFromCli", c.shown)
	}
	return l, nil
}

func (l *link) close() {
	l.end()
	l.running.Wait()
}

// dialPatience is how long one of several addresses may take to answer the
// telephone before the next is tried.
func (c *client) dialPatience() time.Duration {
	return max(c.timeout/time.Duration(len(c.addresses)), min(c.timeout, time.Second))
}

// silence is how long a node may say nothing before it is asked for a sign of
// life; without one after as long again the session breaks.
func (c *client) silence() time.Duration { return max(c.timeout/4, time.Second) }

// theOne refuses commands about one node when several are named: taking the
// next address in turn would act on another node than the one that was meant.
func (c *client) theOne(command string) error {
	if len(c.addresses) > 1 {
		return unusable("name that node with --address", "%s is about one node, and --address (CATALYST_ADDR) names %d", command, len(c.addresses))
	}
	return nil
}
