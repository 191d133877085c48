package fsm

// Command is one state change as a leader proposes it.
type Command struct {
	RequestID string // makes a retry safe; optional
	At        int64  // ms since the epoch, stamped by the leader
	By        string // the identity it is done for
	Op        Op
}

// Op is what a command does: one of the types below. An Op that this build
// does not know decodes to nil, which applies as a refusal: propose a new kind
// of Op only when every node of the site knows it.
type Op interface {
	// apply is the only way a route ever moves.
	apply(e *edit) Outcome
}

// Mode says what a Put expects to find.
type Mode uint8

const (
	Create Mode = iota // nothing, or the same definition
	Update             // something
	Upsert             // either
)

// Found begins a site; it is the first command of its log and works once.
type Found struct {
	Site  string
	AS    uint32
	Epoch string // minted by the founder; orders by creation time
}

// Put registers a service at this site.
type Put struct {
	Mode    Mode
	Service Service
}

// Delete takes a service of this site out.
type Delete struct{ ID string }

// Learn takes in what a peer announced, in this order: Remove, Add, EndOfRIB.
// A key that stands in both lists ends up added. The Learn of a leader that
// has been deposed, told by a lower (Epoch, Term) than the peer has shown
// before, is a conflict; without an Epoch nothing is compared.
type Learn struct {
	Peer    string
	Epoch   string
	Term    uint64
	Version uint64 // of the peer's table after this; where a resume starts
	Add     []LearnedRoute
	Remove  []LearnedKey

	// EndOfRIB closes the initial dump: what is stale still was not announced
	// again and goes. Resumed says that the dump held only what had changed:
	// then what is stale still is confirmed and stays.
	EndOfRIB bool
	Resumed  bool
}

// LearnedRoute is one announcement. ID names the key also when the rest is
// malformed; empty, it is the service's.
type LearnedRoute struct {
	ID      string
	Service Service
	Site    string
	Path    []string
	Version uint64
}

// LearnedKey is one withdrawal.
type LearnedKey struct {
	ID, Site string
	Version  uint64
}

// MarkStale keeps what a peer announced, while its session is down. It belongs
// at the end of a session, at the latest before the first Learn of the next:
// the EndOfRIB of that one sweeps what is stale.
type MarkStale struct{ Peer string }

// Withdraw drops all that a peer announced.
type Withdraw struct{ Peer string }

// PutPeer configures a peer site.
type PutPeer struct {
	Mode Mode
	Peer PeerConfig
}

// DeletePeer drops a peer's configuration and all that it announced.
type DeletePeer struct{ ID string }
