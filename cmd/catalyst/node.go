package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/catalyst/orchestrator/node"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// nodeFlags are the settings of `catalyst node`, contract section 4.
type nodeFlags struct {
	node.Config
	logLevel, logFormat string
	origins, names      []string // whom the node answers, beside its own
	embedded            string   // where a gateway in this process listens; empty is nowhere
	gatewayGiven        bool     // somebody has said which gateway the leader tells
}

func nodeCommand() *cobra.Command {
	f := &nodeFlags{}
	cmd := offline(&cobra.Command{
		Use:   "node",
		Short: "Run one node in the foreground",
		Long: `Run one node in the foreground. It logs to stderr, and ends gracefully on
SIGINT or SIGTERM; a second signal ends it at once. A node that is told none of
--bootstrap, --bootstrap-expect and --join, and has no earlier state, waits for
catalyst init or catalyst join. Where other machines can reach it, it obeys only
its own machine until then.`,
		Example: `  catalyst node --id a --bootstrap
  catalyst node --id b --rpc-addr 127.0.0.1:3010 --raft-addr 127.0.0.1:3011 \
      --gossip-addr 127.0.0.1:3012 --data-dir data-b --join 127.0.0.1:3002`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), cmd.ErrOrStderr()) },
	})
	f.addFlags(cmd.Flags())
	cmd.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f *nodeFlags) addFlags(flags *pflag.FlagSet) {
	flags.SortFlags = false
	text := func(p *string, name, value, usage string, names ...string) {
		flags.StringVar(p, name, value, usage+" ("+strings.Join(names, ", ")+")")
		fromEnv(flags, name, names...)
	}
	text(&f.ID, "id", "", "name of this node, unique in the site; default the host name", "CATALYST_NODE_ID")
	text(&f.Site, "site", "", "name of the site; default what the data directory says, else default", "CATALYST_SITE")
	flags.Uint32Var(&f.AS, "as", 64512, "autonomous system, the same at all peer sites (CATALYST_AS)")
	fromEnv(flags, "as", "CATALYST_AS")
	flags.StringSliceVar(&f.Domains, "domains", nil, "domains announced to peer sites (CATALYST_DOMAINS)")
	fromEnv(flags, "domains", "CATALYST_DOMAINS")
	text(&f.DataDir, "data-dir", "catalyst-data", "directory for log and snapshots", "CATALYST_DATA_DIR")
	text(&f.RPCAddr, "rpc-addr", "127.0.0.1:3000", "where clients and gateways connect; port 0 is any free one", "CATALYST_RPC_ADDR", "PORT")
	text(&f.RaftAddr, "raft-addr", "127.0.0.1:3001", "where the nodes replicate", "CATALYST_RAFT_ADDR")
	text(&f.GossipAddr, "gossip-addr", "127.0.0.1:3002", "where the nodes find each other, TCP and UDP", "CATALYST_GOSSIP_ADDR")
	flags.BoolVar(&f.Bootstrap, "bootstrap", false, "start a new site (CATALYST_BOOTSTRAP)")
	fromEnv(flags, "bootstrap", "CATALYST_BOOTSTRAP")
	flags.IntVar(&f.BootstrapExpect, "bootstrap-expect", 0, "start a new site with the first `N` nodes that find each other (CATALYST_BOOTSTRAP_EXPECT)")
	fromEnv(flags, "bootstrap-expect", "CATALYST_BOOTSTRAP_EXPECT")
	flags.StringSliceVar(&f.Join, "join", nil, "gossip addresses of nodes of the site (CATALYST_JOIN)")
	fromEnv(flags, "join", "CATALYST_JOIN")
	f.GatewayEndpoint = gatewayDefault
	flags.Var(textGiven{&f.GatewayEndpoint, &f.gatewayGiven}, "gateway-endpoint",
		"GraphQL gateway that the leader tells; empty turns it off, and so does --embedded-gateway unless this is given (CATALYST_GQL_GATEWAY_ENDPOINT)")
	fromEnv(flags, "gateway-endpoint", "CATALYST_GQL_GATEWAY_ENDPOINT")
	flags.SetAnnotation("gateway-endpoint", emptyIsSet, []string{""})
	text(&f.GatewayToken, "gateway-token", "", "token that the gateway wants at its /api", "CATALYST_GQL_GATEWAY_TOKEN")
	text(&f.embedded, "embedded-gateway", "", "`address` of a GraphQL gateway in this process, which follows this node's table; empty is none", "CATALYST_EMBEDDED_GATEWAY")
	text(&f.PeeringEndpoint, "peering-endpoint", "", "what peer sites dial; default from --rpc-addr", "CATALYST_PEERING_ENDPOINT")
	text(&f.PeeringSecret, "peering-secret", "", "secret that peer sites must show; without one only those with a secret of their own may", "CATALYST_PEERING_SECRET")
	flags.BoolVar(&f.RouteReflector, "route-reflector", false,
		"pass on to peer sites what other peer sites announce, for sites that are not fully meshed (CATALYST_ROUTE_REFLECTOR)")
	fromEnv(flags, "route-reflector", "CATALYST_ROUTE_REFLECTOR")
	text(&f.AdminToken, "admin-token", "", "token of an admin, beside those of the site; also the way back in when all others are lost", "CATALYST_ADMIN_TOKEN")
	flags.BoolVar(&f.Insecure, "insecure", false, "listen beyond loopback without a token")
	text(&f.TLSCA, "tls-ca", "", "authority of certificates of your own, PEM; default those that the site issues", "CATALYST_TLS_CA")
	text(&f.TLSCert, "tls-cert", "", "certificate of this node, for the URI catalyst://SITE/node/ID", "CATALYST_TLS_CERT")
	text(&f.TLSKey, "tls-key", "", "its key", "CATALYST_TLS_KEY")
	flags.StringSliceVar(&f.Hosts, "tls-host", nil, "more names or addresses of this node for its certificate (CATALYST_TLS_HOSTS)")
	fromEnv(flags, "tls-host", "CATALYST_TLS_HOSTS")
	flags.DurationVar(&f.CertificateLife, "certificate-life", 30*24*time.Hour, "validity of certificates that the site issues (CATALYST_CERTIFICATE_LIFE)")
	fromEnv(flags, "certificate-life", "CATALYST_CERTIFICATE_LIFE")
	text(&f.GossipKey, "gossip-key", "", "base64 of 32 bytes that encrypts gossip where catalyst init made no key; the same at all nodes", "CATALYST_GOSSIP_KEY")
	flags.StringSliceVar(&f.origins, "allow-origin", nil, "hosts whose web pages may connect, beside the node's own (CATALYST_ALLOW_ORIGINS)")
	fromEnv(flags, "allow-origin", "CATALYST_ALLOW_ORIGINS")
	flags.StringSliceVar(&f.names, "allow-host", nil, "names with port that clients may call this node by; default any (CATALYST_ALLOW_HOSTS)")
	fromEnv(flags, "allow-host", "CATALYST_ALLOW_HOSTS")
	text(&f.SnapshotDir, "snapshot-dir", "", "directory for scheduled snapshots; they hold secrets", "CATALYST_SNAPSHOT_DIR")
	flags.DurationVar(&f.SnapshotEvery, "snapshot-every", time.Hour, "how often, if something has changed (CATALYST_SNAPSHOT_EVERY)")
	fromEnv(flags, "snapshot-every", "CATALYST_SNAPSHOT_EVERY")
	flags.IntVar(&f.SnapshotKeep, "snapshot-keep", 24, "how many of them stay (CATALYST_SNAPSHOT_KEEP)")
	fromEnv(flags, "snapshot-keep", "CATALYST_SNAPSHOT_KEEP")
	flags.DurationVar(&f.RaftTiming, "raft-timing", 300*time.Millisecond, "election timeout; raise it on slow disks or networks")
	text(&f.logLevel, "log-level", "info", "debug, info, warn or error", "CATALYST_LOG_LEVEL")
	text(&f.logFormat, "log-format", "", "text or json; default text on a terminal, json elsewhere", "CATALYST_LOG_FORMAT")
}

const gatewayDefault = "ws://localhost:4000/api"

// run runs the node until it is told to stop or has left its site.
func (f *nodeFlags) run(ctx context.Context, errs io.Writer) error {
	if err := f.complete(errs); err != nil {
		return err
	}
	if err := f.Config.Validate(); err != nil {
		return unusable("catalyst node --help lists the settings", "%v", err)
	}
	n, err := node.New(f.Config)
	if err != nil {
		return unusable("", "%v", err)
	}
	end, err := f.embed(ctx, n)
	if err != nil {
		return err
	}
	defer end()
	err = n.Run(ctx)
	switch {
	case errors.Is(err, node.ErrSetting):
		return unusable("catalyst node --help lists the settings", "%v", err)
	case err != nil:
		return refused("", "node %s ended: %v", f.ID, oneLine(err.Error()))
	}
	return nil
}

// complete fills in what depends on the machine, and what node leaves to its caller.
func (f *nodeFlags) complete(errs io.Writer) (err error) {
	if f.ID == "" {
		if f.ID, err = os.Hostname(); err != nil {
			return unusable("name the node with --id (CATALYST_NODE_ID)", "find the host name: %v", err)
		}
	}
	if f.Log, err = newLog(errs, f.logLevel, f.logFormat); err != nil {
		return err
	}
	for _, list := range []*[]string{&f.Domains, &f.Join, &f.Hosts, &f.origins, &f.names} {
		*list = trimmed(*list)
	}
	if f.embedded != "" && !f.gatewayGiven {
		f.GatewayEndpoint = ""
	}
	f.Version = programVersion()
	if f.Level, err = strconv.Atoi(cmp.Or(level, "0")); err != nil {
		return unusable("build this program again", "main.level is %q: want a whole number", level)
	}
	f.Abandon = func(err error) {
		fmt.Fprintf(errs, "error: node %s gave up: %v\n", f.ID, err)
		os.Exit(statusRefused)
	}
	f.Dial = func(ctx context.Context, url string, c *tls.Config) (transport.Conn, error) {
		var o ws.Options
		if c != nil {
			o.Client = &http.Client{Transport: &http.Transport{TLSClientConfig: c}}
		}
		return ws.Dial(ctx, url, o)
	}
	f.DialGateway = func(ctx context.Context, url string, header http.Header) (transport.Conn, error) {
		return ws.Dial(ctx, url, ws.Options{Header: header})
	}
	f.Upgrade = func(w http.ResponseWriter, r *http.Request) (transport.Conn, error) {
		return ws.Accept(w, r, f.serving(r))
	}
	f.Admit = func(r *http.Request) error { return f.serving(r).Allow(r) }
	return nil
}

// serving says whom a node answers. Without a token it answers only to names
// of this machine: a web page whose name was made to point here must not act
// in the name of whoever looks at it.
func (f *nodeFlags) serving(r *http.Request) (o ws.Options) {
	o.Origins, o.Hosts = f.origins, f.names
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if len(o.Hosts) == 0 && f.AdminToken == "" && local != nil && local.IP.IsLoopback() {
		for _, host := range []string{"localhost", "127.0.0.1", "::1", local.IP.String()} {
			o.Hosts = append(o.Hosts, net.JoinHostPort(host, fmt.Sprint(local.Port)))
		}
	}
	return o
}

// trimmed drops spaces and empty items, which people leave in lists.
func trimmed(list []string) (clean []string) {
	for _, item := range list {
		if item = strings.TrimSpace(item); item != "" {
			clean = append(clean, item)
		}
	}
	return clean
}

func newLog(w io.Writer, level, format string) (*slog.Logger, error) {
	var o slog.HandlerOptions
	var threshold slog.Level
	if err := threshold.UnmarshalText([]byte(level)); err != nil {
		return nil, unusable("use debug, info, warn or error", "--log-level (CATALYST_LOG_LEVEL) is %q", level)
	}
	o.Level = threshold
	switch {
	case format == "text", format == "" && isTerminal(w):
		return slog.New(slog.NewTextHandler(w, &o)), nil
	case format == "json", format == "":
		return slog.New(slog.NewJSONHandler(w, &o)), nil
	default:
		return nil, unusable("use text or json", "--log-format (CATALYST_LOG_FORMAT) is %q", format)
	}
}
