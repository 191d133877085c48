package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/textproto"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how to be a gateway. A zero field takes its default.
type Config struct {
	Log    *slog.Logger // nil discards
	Limits Limits
	// StatePath is a file in which the last list, and what its services were,
	// survives a restart. It holds the services' tokens. Empty keeps nothing.
	StatePath string
	// ForwardHeaders are headers of clients that go to services, as in
	// "Authorization". A service's own token goes before the client's.
	ForwardHeaders []string
	// HideIntrospection turns __schema and __type off.
	HideIntrospection bool
	// Transport makes requests to services; nil is a pool of this gateway's own,
	// without a proxy. Redirects are not followed.
	Transport http.RoundTripper
	// Hosts are the names, with port, under which the gateway answers. None is
	// any, but on loopback those of this machine.
	Hosts []string
	// Origins are hosts whose web pages may ask, beside the gateway's own. With
	// none, plain requests of other pages are left to browsers, which do not show
	// them the answers; WebSockets and /api are refused to them.
	Origins []string
	// APIToken is what clients of /api must show as a bearer token: they can change
	// the services. Empty wants none.
	APIToken string
	// Home serves / and what is not otherwise served; nil is 404.
	Home http.Handler
}

// Validate says what cannot be meant.
func (c Config) Validate() error {
	if err := c.Limits.Validate(); err != nil {
		return err
	}
	if err := checkToken(c.APIToken); err != nil {
		return err
	}
	for _, h := range c.ForwardHeaders {
		switch h = textproto.CanonicalMIMEHeaderKey(h); h {
		case "Content-Type", "Content-Length", "Accept", "Connection", "Host", "Transfer-Encoding", "Upgrade":
			return fmt.Errorf("forward headers: %s belongs to one connection and cannot be forwarded", h)
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Limits = c.Limits.withDefaults()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Transport == nil {
		c.Transport = &network{newTransport(c.Limits)}
	}
	if c.Home == nil {
		c.Home = http.NotFoundHandler()
	}
	c.ForwardHeaders = slices.Clone(c.ForwardHeaders)
	for i, h := range c.ForwardHeaders {
		c.ForwardHeaders[i] = textproto.CanonicalMIMEHeaderKey(h)
	}
	return c
}

// Gateway is told lists of services and serves their schema.
type Gateway struct {
	cfg        Config
	log        *slog.Logger
	schema     atomic.Pointer[Schema] // never nil
	executions sync.Pool
	wake       chan struct{} // Run has something to do
	complained atomic.Int64  // when somebody showed no good token last; ns since the epoch

	mu          sync.Mutex
	members     []*member // oldest first
	fresh       []*member // those that came since the schema was published
	fence       *Fence    // newest accepted
	dirty       bool      // the schema is not that of members
	unsaved     bool      // the state file is not that of members
	gatherUntil time.Time
	changed     chan struct{} // closed when something of the above changes
	revision    uint64        // how often it has
}

// New starts nothing. It serves what StatePath has kept.
func New(cfg Config) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	g := &Gateway{cfg: cfg, log: cfg.Log, wake: make(chan struct{}, 1), changed: make(chan struct{})}
	g.executions.New = func() any { return new(execution) }
	if err := g.restore(); err != nil {
		return nil, err
	}
	g.publish()
	g.unsaved = false // what was read, or could not be used, stays until there is more to keep
	return g, nil
}

// Run asks services what they are, again and again, and keeps the state file,
// until ctx ends. It is needed once.
func (g *Gateway) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { g.keep(ctx) })
	g.follow(ctx)
	return nil
}

// Schema is the schema served now.
func (g *Gateway) Schema() *Schema { return g.schema.Load() }

func (g *Gateway) schemaConfig() schemaConfig {
	return schemaConfig{limits: g.cfg.Limits, hide: g.cfg.HideIntrospection, log: g.log}
}

func (g *Gateway) newService(s Service) *service {
	n := newService(s, g.cfg.Transport, g.cfg.Limits)
	n.changed = g.reconsider
	return n
}
