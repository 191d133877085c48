package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst/orchestrator/gateway"
)

// probePatience is how long a service may take to answer; one that takes longer
// counts as one that does not run yet.
const probePatience = 2 * time.Second

// probe is a look at a service before it is registered, from where the command
// runs. The site may see it otherwise: only what cannot be meant anywhere is
// refused.
type probe struct {
	ticks
	cmd      *cobra.Command
	service  dataChannel
	url      *url.URL
	patience time.Duration
	force    bool
}

// look tells what it found. A clear mistake is the error.
func (d *definition) look(cmd *cobra.Command, c *client, t ticks) error {
	u, err := url.Parse(d.Endpoint)
	if err != nil || u.Host == "" {
		return nil // the site knows better what to say of it
	}
	p := &probe{t, cmd, d.dataChannel, u, min(probePatience, c.timeout), d.force}
	switch strings.ToLower(d.Protocol) {
	case "http:graphql":
		return p.introspect()
	case "tcp", "http", "http:grpc":
		return p.knock()
	}
	return nil
}

// knock sees whether connections are taken.
func (p *probe) knock() error {
	port := cmp.Or(p.url.Port(), map[string]string{"http": "80", "https": "443"}[p.url.Scheme])
	if port == "" {
		return nil
	}
	address := net.JoinHostPort(p.url.Hostname(), port)
	ctx, cancel := context.WithTimeout(p.cmd.Context(), p.patience)
	defer cancel()
	begun := time.Now()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	switch {
	case err == nil:
		_ = conn.Close() // it has shown what it was for
		p.done("reachable: %s takes connections (%s)", address, millis(time.Since(begun)))
	case p.cmd.Context().Err() == nil:
		p.open("not reachable from here: %s; registering it all the same", reason(err))
	}
	return p.cmd.Context().Err()
}

// introspect asks the service what it is, as the gateway will.
func (p *probe) introspect() error {
	found, err := p.ask(p.service.Endpoint)
	var trouble *gateway.ProbeError
	if err == nil {
		p.done("reachable: %s; %s (%s)", count(found.Types, "type"), rootFields(found.Queries, found.Mutations, found.Subscriptions), millis(found.Took))
		return nil
	}
	if !errors.As(err, &trouble) {
		return err
	}
	said := clause(trouble.Error())
	switch trouble.Trouble {
	case gateway.Unreachable:
		p.open("not reachable from here: %s; registering it all the same: the gateway keeps trying", p.unreachable(trouble))
	case gateway.Unwell:
		p.open("reachable, but it %s; registering it all the same: the gateway keeps trying", said)
	case gateway.Reticent:
		p.warn("reachable, but it %s; registering it all the same: the gateway serves it once it answers introspection", said)
	default:
		return p.mistake(trouble)
	}
	return nil
}

func (p *probe) ask(address string) (gateway.Probed, error) {
	ctx, cancel := context.WithTimeout(p.cmd.Context(), p.patience)
	defer cancel()
	return gateway.Probe(ctx, gateway.Service{Name: p.service.Name, URL: address})
}

func (p *probe) unreachable(e *gateway.ProbeError) string {
	var op *net.OpError
	late := errors.Is(e, context.DeadlineExceeded)
	switch dialing := errors.As(e, &op) && op.Op == "dial"; {
	case late && !dialing:
		return fmt.Sprintf("no answer within %s", p.patience)
	case late:
		return fmt.Sprintf("no connection within %s", p.patience)
	case dialing:
		return reason(e)
	}
	return "it " + clause(e.Error())
}

// mistake refuses what cannot be meant, or says that it is done all the same.
func (p *probe) mistake(e *gateway.ProbeError) error {
	said := p.url.Redacted() + " " + clause(e.Error())
	if p.force {
		p.warn("%s; registering it all the same, as --force says", said)
		return nil
	}
	f := refused(p.wayOut(e)+" --force registers it all the same", "%s; nothing was registered", said)
	f.code = "invalid"
	return f
}

func (p *probe) wayOut(e *gateway.ProbeError) string {
	switch {
	case p.url.Scheme != "http" && p.url.Scheme != "https":
		return "give an http:// or https:// URL, or with -p the protocol that it speaks;"
	case e.Trouble == gateway.Unservable:
		return "mend its schema first;"
	}
	if better := p.elsewhere(e.Location); better != "" {
		return "did you mean " + better + "?"
	}
	if e.Trouble == gateway.Missing {
		return "give the path at which it takes GraphQL, such as /graphql;"
	}
	return "if it is no GraphQL service, give its protocol with -p;"
}

// elsewhere looks for GraphQL near by, everywhere at once.
func (p *probe) elsewhere(location string) string {
	candidates := near(p.url, location)
	found := make([]bool, len(candidates))
	var wg sync.WaitGroup
	for i, u := range candidates {
		wg.Go(func() {
			_, err := p.ask(u.String())
			found[i] = err == nil
		})
	}
	wg.Wait()
	for i, u := range candidates {
		if found[i] {
			return u.Redacted()
		}
	}
	return ""
}

// near are the likeliest other places: where a redirect leads, the usual paths,
// and the same place with TLS or without.
func near(u *url.URL, location string) []*url.URL {
	var places []*url.URL
	if to, err := u.Parse(location); err == nil && location != "" && to.Hostname() == u.Hostname() {
		places = append(places, to)
	}
	for _, path := range []string{"/graphql", "/api/graphql", "/query"} {
		if path != u.Path {
			places = append(places, &url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host, Path: path})
		}
	}
	other := *u
	other.Scheme = map[string]string{"http": "https", "https": "http"}[u.Scheme]
	return append(places, &other)
}
