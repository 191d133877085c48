package fsm

// Command is one state change as a leader proposes it.
type Command struct {
	RequestID string // makes a retry safe; optional
	At        int64  // ms since the epoch, stamped by the leader
	By        string // the identity it is done for
	Op        Op
}

// Op is what a command does: one of the types of this package that apply. An
// Op that this build does not know decodes to nil, which applies as a refusal;
// one that needs a higher Level than the site's is refused in the same way.
type Op interface {
	// apply is the only way anything in a table ever changes.
	apply(e *edit) Outcome
	encode(b []byte) []byte
}

// Size is about how many bytes the command takes in the log.
func (c *Command) Size() int {
	const usual = 256
	switch op := c.Op.(type) {
	case Learn:
		return usual * (1 + len(op.Add) + len(op.Remove)/4)
	case SetAuthority:
		return usual + len(op.Certificate) + len(op.Key)
	case PutToken, UseToken, Note: // with texts that are longer than most
		return 4 * usual
	case Renew:
		return usual * (1 + len(op.Keep)/4)
	}
	return usual
}

// Mode says what a Put expects to find.
type Mode uint8

const (
	Create Mode = iota // nothing, or the same definition
	Update             // something
	Upsert             // either
)

// Put registers a service at this site.
type Put struct {
	Mode    Mode
	Service Service
}

// Delete takes a service of this site out.
type Delete struct{ ID string }

// OpenPeer begins a session: a dump is about to come, and what an older leader
// of the peer's site may still say is a conflict from now on, told by a lower
// (Epoch, Term). Without an Epoch nothing is compared.
type OpenPeer struct {
	Peer      string // the site that speaks
	Epoch     string
	Term      uint64
	Collector bool // what it announces lives as long as its session
}

// BindPeer lets a configured peer stand for the site that answered at its
// endpoint. Another site there is a conflict from then on.
type BindPeer struct {
	ID   string // of the configured peer
	Peer string // the site
}

// Learn takes in what a peer announced, in this order: Remove, Add, EndOfRIB.
// A key that stands in both lists ends up added. It is fenced as OpenPeer is.
type Learn struct {
	Peer    string
	Epoch   string
	Term    uint64
	Version uint64 // of the peer's table after this; where a resume starts. Lower than before, it says nothing
	Add     []LearnedRoute
	Remove  []LearnedKey

	// EndOfRIB closes a dump: what is stale still was not announced again and
	// goes. Resumed says that the dump held only what had changed: then what is
	// stale still is confirmed and stays.
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
type LearnedKey struct{ ID, Site string }

// MarkStale keeps what a peer announced, while its session is down, behind
// what is not stale. The EndOfRIB of the next session confirms or sweeps it.
type MarkStale struct{ Peer string }

// Withdraw drops all that a peer announced, or only what is stale.
type Withdraw struct {
	Peer  string
	Stale bool
}

// PutPeer configures a peer site.
type PutPeer struct {
	Mode Mode
	Peer PeerConfig
}

// DeletePeer drops a peer's configuration, named by its id or by the site that
// it stands for, and all that it announced.
type DeletePeer struct{ ID string }
