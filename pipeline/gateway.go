package pipeline

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// Gateway takes the complete list of services, newest first: where two clash,
// the reference gateway lets the last one win, so the incumbent keeps its
// place. The list is that of the table of this version. The call has a deadline
// in ctx and must end with it. A *Rejected says that the gateway answered and
// keeps what it had; any other error that it did not answer, or, a *Fenced,
// that it heeds another leader.
type Gateway interface {
	UpdateConfig(ctx context.Context, version uint64, services []GatewayService) error
}

// Breaker is a Gateway that notices the end of a connection. Broken is asked
// after each accepted list; its channel closes when the connection on which
// that list was accepted has ended, however much later, or has ended already.
// The gateway may then have restarted and forgotten the list: it is sent again.
type Breaker interface {
	Gateway
	Broken() <-chan struct{}
}

// GatewayService is one entry of the list, as the gateway's updateConfig
// takes it (contract, section 6).
type GatewayService struct {
	Name  string `json:"name"`
	URL   string `json:"url"`
	Token string `json:"token,omitempty"`
}

// Rejected is a gateway's refusal of a list.
type Rejected struct{ Message string }

func (r *Rejected) Error() string { return "the gateway rejected the list: " + r.Message }

// Fenced is that a gateway takes no list from this leader any more, whatever is
// in it: it has heard a later one. That is no word about any service.
type Fenced struct{ Message string }

func (f *Fenced) Error() string { return "the gateway heeds another leader: " + f.Message }

// Source is where committed tables come from: a *fsm.Machine.
type Source interface {
	Table() *fsm.Table
	Await(ctx context.Context, newerThan uint64) (*fsm.Table, error)
}

// How far the gateway is: with one route in a GatewayData, with all of them in
// a GatewayStatus.
const (
	GatewayApplied  = "applied"
	GatewayPending  = "pending"  // not there yet; it is being tried
	GatewayRejected = "rejected" // the gateway refuses this service, or in a status some service; it is tried again
)

// DefaultGatewayWait is how long an action waits for the gateway.
const DefaultGatewayWait = 5 * time.Second

// GatewayConfig says how to keep a gateway in step.
type GatewayConfig struct {
	Endpoint string        // shown in Status; empty means that there is no gateway
	Wait     time.Duration // an action waits at most this long; 0 means DefaultGatewayWait
	Log      *slog.Logger  // nil discards
}

// GatewayIntegrationPlugin keeps the gateway in step with the table. Run does
// that, on the node that leads; nothing is queued, it follows the table. Apply
// only waits for it. A nil plugin, or one without an Endpoint, has no part in
// anything.
type GatewayIntegrationPlugin struct {
	cfg    GatewayConfig
	jitter func() float64 // in [0, 1)

	reached atomic.Pointer[reached] // never nil
	status  atomic.Pointer[GatewayStatus]
}

// NewGatewayIntegrationPlugin starts nothing.
func NewGatewayIntegrationPlugin(cfg GatewayConfig) *GatewayIntegrationPlugin {
	if cfg.Wait == 0 {
		cfg.Wait = DefaultGatewayWait
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := &GatewayIntegrationPlugin{cfg: cfg, jitter: rand.Float64}
	g.reached.Store(notFollowing("this node does not lead; the leader tells the gateway"))
	return g
}

// reached is how far the gateway has followed. It is replaced, not changed.
type reached struct {
	covered     uint64                   // the gateway shows the table of this version, but for what it refuses; 0 when that is not known
	down        string                   // why the last attempt got no answer; empty when it got one
	quarantined map[string]verdict       // by route id
	told        map[string]ServiceReport // likewise, of what is on the list; nil of a gateway that does not tell
	edits       int                      // the follower's count
	left        chan struct{}            // closed when this is no longer the latest
}

// Begin says that Run is about to: from now on actions wait for it. A leader
// takes actions as soon as it leads, which may be before Run has got going.
func (g *GatewayIntegrationPlugin) Begin() {
	close(g.reached.Swap(notFollowing("")).left)
}

// notFollowing is where things stand while Run does not run, and why.
func notFollowing(why string) *reached {
	return &reached{down: why, edits: neverReported, left: make(chan struct{})}
}

// neverReported is no follower's count.
const neverReported = -1

// verdict is why a service is not on the list. One that was only refused
// together with others is not proven.
type verdict struct {
	reason string
	proven bool
}

// Name returns "GatewayIntegrationPlugin".
func (g *GatewayIntegrationPlugin) Name() string { return "GatewayIntegrationPlugin" }

func (g *GatewayIntegrationPlugin) enabled() bool { return g != nil && g.cfg.Endpoint != "" }

// Apply waits until the gateway shows what the action committed, and says how
// far that got. It never fails: the commit stands whatever the gateway does.
func (g *GatewayIntegrationPlugin) Apply(_ context.Context, c *Context) (Result, error) {
	result := c.Result
	data, ok := result.Data.(RouteData)
	if !g.enabled() || !ok || c.Action.Resource != dataChannel || !result.committed() || !protocolOf(data.ID).GraphQL() {
		return result, nil
	}
	seen := g.await(data.ID, result.Index)
	data.Gateway = &seen
	result.Data = data
	return result, nil
}

// await waits while a push that would show the index is under way or due.
func (g *GatewayIntegrationPlugin) await(id string, index uint64) GatewayData {
	var timeout <-chan time.Time
	for {
		r := g.reached.Load()
		if seen, final := r.verdictOn(id, index); final {
			return seen
		}
		if timeout == nil {
			timer := time.NewTimer(g.cfg.Wait)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-r.left:
		case <-timeout:
			seen, _ := r.verdictOn(id, index)
			return seen
		}
	}
}

// verdictOn says what the gateway made of the route as of index; final means
// that waiting would not soon change it.
func (r *reached) verdictOn(id string, index uint64) (seen GatewayData, final bool) {
	switch {
	case r.covered >= index:
		v, bad := r.quarantined[id]
		switch {
		case !bad:
			return r.told[id].data(), true
		case v.proven:
			return GatewayData{State: GatewayRejected, Error: v.reason}, true
		}
		return GatewayData{State: GatewayPending, Error: v.reason}, true
	case r.down != "":
		return GatewayData{State: GatewayPending, Error: r.down}, true
	}
	return GatewayData{State: GatewayPending}, false
}
