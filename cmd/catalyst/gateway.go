package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst/orchestrator/gateway"
	"github.com/catalyst/orchestrator/gateway/graphiql"
)

// gatewayFlags are the settings of `catalyst gateway`.
type gatewayFlags struct {
	gateway.Config
	address             string
	insecure            bool
	tlsCert, tlsKey     string // files; empty is plain HTTP
	tls                 *tls.Config
	logLevel, logFormat string
}

func gatewayCommand() *cobra.Command {
	f := &gatewayFlags{}
	cmd := offline(&cobra.Command{
		Use:   "gateway",
		Short: "Run a GraphQL gateway in the foreground",
		Long: `Run a GraphQL gateway in the foreground. A site's leader tells it the services
at ws://ADDRESS/api (catalyst node --gateway-endpoint); clients ask them all at
http://ADDRESS/graphql.`,
		Example: `  catalyst gateway
  catalyst gateway --addr 127.0.0.1:4100 --state gateway.json`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), cmd.ErrOrStderr()) },
	})
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.address, "addr", "127.0.0.1:4000", "where to listen; port 0 is any free one (CATALYST_GATEWAY_ADDR)")
	fromEnv(flags, "addr", "CATALYST_GATEWAY_ADDR")
	flags.StringVar(&f.StatePath, "state", "", "`file` that keeps the last configuration over a restart; it holds the services' tokens (CATALYST_GATEWAY_STATE)")
	fromEnv(flags, "state", "CATALYST_GATEWAY_STATE")
	flags.StringSliceVar(&f.ForwardHeaders, "forward-header", nil, "headers of clients that go to the services, as Authorization; default none")
	flags.BoolVar(&f.HideIntrospection, "hide-introspection", false, "answer no __schema and __type")
	flags.StringSliceVar(&f.Origins, "allow-origin", nil, "hosts whose web pages may ask, beside the gateway's own")
	flags.StringSliceVar(&f.Hosts, "allow-host", nil, "names with port that it may be called by; default any, but on loopback those of this machine")
	flags.StringVar(&f.APIToken, "api-token", "", "token that nodes must show at /api, see catalyst node --gateway-token (CATALYST_GATEWAY_TOKEN)")
	fromEnv(flags, "api-token", "CATALYST_GATEWAY_TOKEN")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "`file` of its certificate, PEM: it speaks HTTPS then; read again when it changes (CATALYST_GATEWAY_TLS_CERT)")
	fromEnv(flags, "tls-cert", "CATALYST_GATEWAY_TLS_CERT")
	flags.StringVar(&f.tlsKey, "tls-key", "", "`file` of its key (CATALYST_GATEWAY_TLS_KEY)")
	fromEnv(flags, "tls-key", "CATALYST_GATEWAY_TLS_KEY")
	flags.BoolVar(&f.insecure, "insecure", false, "listen beyond loopback without a token: whoever reaches /api can change the services")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error (CATALYST_LOG_LEVEL)")
	fromEnv(flags, "log-level", "CATALYST_LOG_LEVEL")
	flags.StringVar(&f.logFormat, "log-format", "", "text or json; default text on a terminal, json elsewhere (CATALYST_LOG_FORMAT)")
	fromEnv(flags, "log-format", "CATALYST_LOG_FORMAT")
	return cmd
}

// run serves until it is told to stop, and lets open requests finish.
func (f *gatewayFlags) run(ctx context.Context, errs io.Writer) error {
	g, l, err := f.open(errs)
	if err != nil {
		return err
	}
	return serveGateway(ctx, g, g.Handler(), l, f.tls, f.Log)
}

// open makes the gateway and the place where it is to be served.
func (f *gatewayFlags) open(errs io.Writer) (g *gateway.Gateway, l net.Listener, err error) {
	if f.Log, err = newLog(errs, f.logLevel, f.logFormat); err != nil {
		return nil, nil, err
	}
	for _, list := range []*[]string{&f.ForwardHeaders, &f.Origins, &f.Hosts} {
		*list = trimmed(*list)
	}
	if err := f.checkAddress(); err != nil {
		return nil, nil, err
	}
	if err := f.openTLS(); err != nil {
		return nil, nil, err
	}
	f.Home = graphiql.Handler()
	g, err = gateway.New(f.Config)
	if err != nil {
		return nil, nil, unusable("catalyst gateway --help lists the settings", "%v", err)
	}
	l, err = net.Listen("tcp", f.address)
	if err != nil {
		return nil, nil, refused("is another gateway running there?", "listen on --addr %s: %v", f.address, err)
	}
	web, socket := "http://", "ws://"
	if f.tls != nil {
		web, socket = "https://", "wss://"
	}
	f.Log.Info("listening", "graphql", web+l.Addr().String()+"/graphql", "api", socket+l.Addr().String()+"/api")
	return g, l, nil
}

func (f *gatewayFlags) openTLS() error {
	switch {
	case f.tlsCert == "" && f.tlsKey == "":
		return nil
	case f.tlsCert == "" || f.tlsKey == "":
		return unusable("give both or none of them", "--tls-cert and --tls-key (CATALYST_GATEWAY_TLS_CERT, CATALYST_GATEWAY_TLS_KEY) go together")
	}
	c, err := openCertificate(f.tlsCert, f.tlsKey)
	if err != nil {
		return unusable("give the certificate with its chain, and its key, in PEM form", "--tls-cert, --tls-key: %v", err)
	}
	f.tls = c.config()
	return nil
}

func (f *gatewayFlags) checkAddress() error {
	host, _, err := net.SplitHostPort(f.address)
	if err != nil {
		return unusable("give host:port, as in 127.0.0.1:4000", "--addr (CATALYST_GATEWAY_ADDR) is %q", f.address)
	}
	ip := net.ParseIP(host)
	if f.insecure || f.APIToken != "" || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return unusable("give it a token with --api-token (CATALYST_GATEWAY_TOKEN), or listen on 127.0.0.1 beside the nodes, or accept the risk with --insecure",
		"--addr (CATALYST_GATEWAY_ADDR) is %s, which other machines can reach, and whoever reaches /api can change the services", f.address)
}

const gatewayDrain = 5 * time.Second

// serveGateway lets requests that are under way finish when ctx ends. Without a
// TLS configuration it speaks plain HTTP.
func serveGateway(ctx context.Context, g *gateway.Gateway, h http.Handler, l net.Listener, secure *tls.Config, log *slog.Logger) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end()
	wg.Go(func() {
		if err := g.Run(life); err != nil && life.Err() == nil {
			log.Error("the gateway ended", "err", err)
		}
	})
	server := gateway.Server(h)
	server.BaseContext = func(net.Listener) context.Context { return life }
	server.TLSConfig = secure
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug) // of clients that break off, mostly
	serve := func() error { return server.Serve(l) }
	if secure != nil {
		serve = func() error { return server.ServeTLS(l, "", "") }
	}
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		drain, cancel := context.WithTimeout(life, gatewayDrain)
		defer cancel()
		_ = server.Shutdown(drain)
		_ = server.Close()
	})
	err := serve()
	if !stop() {
		<-drained
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return refused("", "serve %s: %v", l.Addr(), oneLine(fmt.Sprint(err)))
	}
	return nil
}
