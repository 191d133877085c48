// Package peering keeps this site's routes known to other sites, and theirs
// known here: iBGP as timing and differences. It knows nothing of sockets or
// Raft. A Speaker serves one term of the site's leader; Speaker.Run owns every
// goroutine here.
//
// What is sent is a function of committed tables: a session holds the table
// that its peer has been told of and sends the difference to a newer one. What
// is received becomes commands. So no change is queued, and a session that
// ends takes nothing with it but time.
//
// The words are those of RFC 4271 (sessions), 4456 (reflection), 4724 (graceful
// restart), 7313 (refresh) and 7606 (malformed updates).
package peering

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

const (
	DefaultHoldTime    = 15 * time.Second  // silence after which a session is over
	MinHoldTime        = 3 * time.Second   // RFC 4271 §4.2
	DefaultRestartTime = 120 * time.Second // RFC 4724: how long a lost peer's routes are kept

	keepAlives = 3 // in a hold time
	stalling   = 2 // hold times without progress of what was sent

	connectTimeout = 5 * time.Second
	openTimeout    = 10 * time.Second // a peer's site may be electing a leader
	closeTimeout   = 2 * time.Second

	backoffFirst, backoffMost = time.Second, 30 * time.Second
	rejoinTime                = backoffMost // what a new leader gives lost peers at least, as they may be backing off
)

// Bounds.
const (
	MaxUpdates    = 8192 // items of one update; more end the session
	MaxCollectors = 1024
	sendItems     = 512       // items of an update that this side sends
	sendBytes     = 256 << 10 // about, of such an update
	sendWindow    = 8         // updates sent and not yet answered
	firstItems    = 128       // routes that are told before the peer has said what it holds
)

// Site is the site that a Speaker speaks for.
type Site interface {
	Table() *fsm.Table
	// Await returns a table newer than a version.
	Await(ctx context.Context, newerThan uint64) (*fsm.Table, error)
	// Commit carries out a BindPeer, OpenPeer, Learn, MarkStale or Withdraw in the name
	// of a peer; the table shows it when it returns. Commands of one caller are
	// committed in the order of its calls. A refusal is in the outcome.
	Commit(ctx context.Context, peer string, op fsm.Op) (fsm.Outcome, error)
}

// Remote is the far end of a session. Calls arrive there in the order in which
// they were made; none of them waits.
type Remote interface {
	Update(updates []Update) Await[Answer]
	KeepAlive() Await[struct{}]
	// Compare asks whether the far end holds just what a digest tells;
	// ErrNoCompare is the answer of one that cannot tell.
	Compare(d Digest) Await[Comparison]
	// Close says goodbye for good: what was announced shall be withdrawn.
	Close(reason string) Await[struct{}]
	// End ends the connection beneath, with what was sent before on its way.
	End(reason error)
}

// Await waits for an answer. An error means that there will be none.
type Await[T any] func(context.Context) (T, error)

// Answer is what became of an update.
type Answer struct {
	Success   bool   `json:"success"`
	Error     string `json:"error,omitempty"`
	Malformed int    `json:"malformed,omitempty"` // items that were taken as withdrawals
	Refused   int    `json:"refused,omitempty"`   // routes over a bound
}

// Dialer opens connections to peers.
type Dialer interface {
	// Dial returns when the connection is open and the peer's open was called
	// with near as its callback; the Await is for the peer's answer. ctx bounds
	// the opening only.
	Dial(ctx context.Context, endpoint, secret string, near *Session, self Info) (Remote, Await[Info], error)
}

// Config is what a Speaker is made with.
type Config struct {
	Self    Info // of this term's leader
	Secret  string
	Reflect bool // send peers what other peers announced (RFC 4456); all are clients
	Site    Site
	Dialer  Dialer
	Counts  *Counts
	Log     *slog.Logger
}

// Why sessions end, or do not come to be.
var (
	ErrNotSpeaking = errors.New("this node does not lead its site any more")
	ErrNoCompare   = errors.New("the far end does not compare")

	errHold     = errors.New("hold timer expired: nothing was heard of the peer")
	errStalled  = errors.New("the peer takes no updates")
	errReplaced = errors.New("a newer session with the peer took its place")
	errChanged  = errors.New("the peer's configuration was changed")
	errRemoved  = errors.New("the peer's configuration was removed")
)

// goodbye is the end of a session that its peer closed for good.
type goodbye struct{ reason string }

func (g *goodbye) Error() string {
	if g.reason == "" {
		return "the peer closed the session"
	}
	return "the peer closed the session: " + g.reason
}

// Refused is why a peer's open is not accepted.
type Refused struct {
	Kind    RefusalKind
	Message string
	Site    string // of Connected: who refuses
}

func (r *Refused) Error() string { return r.Message }

// RefusalKind tells what the peer can do about it.
type RefusalKind int

const (
	NotAllowed RefusalKind = iota // nothing, before someone changes a configuration
	Deposed                       // find the new leader of its own site
	Connected                     // nothing: there is a session already
	Crowded                       // come again later
)

// IsRefused finds the *Refused in an error.
func IsRefused(err error) (*Refused, bool) {
	var r *Refused
	ok := errors.As(err, &r)
	return r, ok
}
