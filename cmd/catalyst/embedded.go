package main

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"

	"github.com/catalyst/orchestrator/gateway"
	"github.com/catalyst/orchestrator/gateway/graphiql"
	"github.com/catalyst/orchestrator/node"
)

// embeddedGateway is a gateway in the process of a node, which it follows. Nobody
// else tells it what to serve: it has no /api.
type embeddedGateway struct {
	*gateway.Gateway
	listener net.Listener
}

// embed starts the gateway that the settings ask for, if they do, and returns
// what ends it.
func (f *nodeFlags) embed(ctx context.Context, n *node.Node) (end func(), err error) {
	if f.embedded == "" {
		return func() {}, nil
	}
	e, err := f.openEmbedded()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { e.run(ctx, n, f) })
	return func() { cancel(); wg.Wait() }, nil
}

func (f *nodeFlags) openEmbedded() (*embeddedGateway, error) {
	l, err := net.Listen("tcp", f.embedded)
	if err != nil {
		return nil, refused("is another gateway running there?", "listen on --embedded-gateway %s: %v", f.embedded, err)
	}
	g, err := gateway.New(gateway.Config{
		Log: f.Log, StatePath: filepath.Join(f.DataDir, "gateway.json"), Origins: f.origins, Hosts: alsoAt(l.Addr(), f.names),
		Home: graphiql.Handler(),
	})
	if err != nil {
		l.Close()
		return nil, unusable("catalyst node --help lists the settings", "%v", err)
	}
	f.Log.Info("gateway", "node", f.ID, "graphql", "http://"+l.Addr().String()+"/graphql")
	return &embeddedGateway{g, l}, nil
}

// alsoAt is a node's names, with its port, and the same at another address of
// the node's.
func alsoAt(a net.Addr, names []string) []string {
	_, port, _ := net.SplitHostPort(a.String())
	all := slices.Clone(names)
	for _, name := range names {
		if host, _, err := net.SplitHostPort(name); err == nil {
			all = append(all, net.JoinHostPort(host, port))
		}
	}
	return all
}

// run serves what the node's table holds until ctx ends.
func (e *embeddedGateway) run(ctx context.Context, n *node.Node, f *nodeFlags) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { n.FollowServices(ctx, "http://"+e.listener.Addr().String()+"/graphql", e) })
	if err := serveGateway(ctx, e.Gateway, e.handler(), e.listener, nil, f.Log); err != nil {
		f.Log.Error("the gateway has ended", "node", f.ID, "err", err)
	}
}

// Update takes the services of the node.
func (e *embeddedGateway) Update(ctx context.Context, list []node.GatewayService) error {
	services := make([]gateway.Service, len(list))
	for i, s := range list {
		services[i] = gateway.Service{Name: s.Name, URL: s.URL, Token: s.Token}
	}
	_, err := e.Gateway.Update(ctx, services, nil)
	return err
}

// Reports is how the gateway stands with them.
func (e *embeddedGateway) Reports() map[string]node.ServiceReport {
	reports := map[string]node.ServiceReport{}
	for _, s := range e.Status().Services {
		reports[s.Name] = node.ServiceReport{
			State: s.State, Error: s.Error, Queries: s.Queries, Mutations: s.Mutations, Subscriptions: s.Events, Warnings: s.Warnings,
		}
	}
	return reports
}

func (e *embeddedGateway) handler() http.Handler {
	all := e.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api" {
			http.Error(w, "this gateway follows the node that it is part of: register services there", http.StatusNotFound)
			return
		}
		all.ServeHTTP(w, r)
	})
}
