package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/catalyst/orchestrator/cmd/catalyst/samples"
	"github.com/catalyst/orchestrator/transport"
)

// gatewayAbove is how far the gateway's port is above the site's first. The
// samples' follow it.
const gatewayAbove = 1000

// devBeside is what a site of `catalyst dev` has beside its nodes, all of it in
// this process.
type devBeside struct {
	endpoint string // of the gateway, for the nodes; empty if there is none
	page     string // of the site's own gateway; empty if there is none
	samples  []dataChannel

	cancel context.CancelFunc
	log    *os.File
	wg     sync.WaitGroup
}

// startBeside starts the gateway and the samples.
func (s *devSite) startBeside() error {
	b := &s.beside
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.endpoint = s.gatewayEndpoint
	if s.gatewayEndpoint == ownGateway {
		if err := s.startGateway(ctx); err != nil {
			return err
		}
	}
	for i, sample := range s.samples() {
		if err := s.startSample(ctx, sample, s.sampleAt(i)); err != nil {
			return err
		}
	}
	return nil
}

// samples are those to run: none where no gateway would ask them.
func (f *devFlags) samples() []samples.Service {
	if f.noSamples || f.gatewayEndpoint == "" {
		return nil
	}
	return samples.All()
}

func (f *devFlags) sampleAt(i int) string { return f.at(gatewayAbove + 1 + i) }

// startGateway runs what `catalyst gateway` does.
func (s *devSite) startGateway(ctx context.Context) error {
	log, err := s.openLog("gateway.log")
	if err != nil {
		return err
	}
	s.beside.log = log
	f := &gatewayFlags{address: s.at(gatewayAbove), logLevel: s.logLevel, logFormat: "text"}
	f.StatePath = filepath.Join(s.dir, "gateway.json")
	g, l, err := f.open(log)
	if err != nil {
		return err
	}
	s.beside.endpoint = "ws://" + l.Addr().String() + "/api"
	s.beside.page = "http://" + l.Addr().String()
	s.beside.wg.Go(func() {
		if err := serveGateway(ctx, g, g.Handler(), l, nil, f.Log); err != nil {
			f.Log.Error("the gateway has ended", "err", err)
		}
	})
	return nil
}

func (s *devSite) startSample(ctx context.Context, sample samples.Service, address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return portTaken("the sample "+sample.Name, "tcp", address, err)
	}
	server := &http.Server{Handler: sample, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	s.beside.samples = append(s.beside.samples, dataChannel{
		Name: sample.Name, Endpoint: "http://" + l.Addr().String() + "/graphql", Protocol: "http:graphql",
	})
	s.beside.wg.Go(func() { _ = server.Serve(l) }) // until it is closed
	context.AfterFunc(ctx, func() { server.Close() })
	return nil
}

// stop ends it all.
func (b *devBeside) stop() {
	if b.cancel != nil {
		b.cancel()
	}
	b.wg.Wait()
	if b.log != nil {
		b.log.Close()
	}
}

// registerSamples registers the samples as a client would. They have the last
// word on where they are: a site that is started again may have them at other
// ports.
func (s *devSite) registerSamples(ctx context.Context) error {
	_, err := s.client().ask(ctx, func(ctx context.Context, scope *transport.Promise) (any, error) {
		var answers []*transport.Promise
		for _, sample := range s.beside.samples {
			answers = append(answers, scope.Call("applyAction", action{"dataChannel", "create", sample, rand.Text()}))
		}
		for i, answer := range answers {
			v, err := transport.Await[verdict](ctx, answer)
			if err == nil && v.Code == "conflict" {
				v, err = transport.Await[verdict](ctx, scope.Call("applyAction", action{"dataChannel", "update", s.beside.samples[i], rand.Text()}))
			}
			if err == nil && !v.Success {
				err = errors.New(v.Error)
			}
			if err != nil {
				return nil, fmt.Errorf("register the sample %s: %w", s.beside.samples[i].Name, err)
			}
		}
		return nil, nil
	})
	return err
}
