package node

import (
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// failures slows down who guesses: an address may fail a few times, and then
// once in a while. A lost guess costs nothing else.
type failures struct {
	mu     sync.Mutex
	owed   map[string]time.Time // by address: when it will have paid for its failures
	logged map[string]time.Time
}

const (
	failuresFree  = 10              // in a row
	failureCosts  = 6 * time.Second // each
	failuresKept  = 4096            // addresses
	complainEvery = time.Minute     // of the same thing
)

// wait is how long an address must wait before its next try is looked at.
func (f *failures) wait(address string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	until, owes := f.owed[address]
	if !owes {
		return 0
	}
	return max(0, time.Until(until)-(failuresFree-1)*failureCosts)
}

func (f *failures) note(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.owed == nil {
		f.owed = map[string]time.Time{}
	}
	now := time.Now()
	from := f.owed[address]
	if from.Before(now) {
		from = now
	}
	f.owed[address] = from.Add(failureCosts)
	shrink(f.owed, now)
}

// first says whether something was not said for a while.
func (f *failures) first(what string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.logged == nil {
		f.logged = map[string]time.Time{}
	}
	now := time.Now()
	if now.Before(f.logged[what]) {
		return false
	}
	f.logged[what] = now.Add(complainEvery)
	shrink(f.logged, now)
	return true
}

// shrink forgets what is over, and what is oldest when that is not enough.
func shrink(m map[string]time.Time, now time.Time) {
	if len(m) <= failuresKept {
		return
	}
	maps.DeleteFunc(m, func(_ string, until time.Time) bool { return until.Before(now) })
	if len(m) <= failuresKept {
		return
	}
	ends := slices.SortedFunc(maps.Values(m), time.Time.Compare)
	middle := ends[len(ends)/2]
	maps.DeleteFunc(m, func(_ string, until time.Time) bool { return !until.After(middle) }) // all of one moment, too
}

// lines is where raft, memberlist and the HTTP server write.
func (n *Node) lines() logLines { return logLines{n.log, &n.failures} }

// complain logs what another end did wrong, once a minute for each of them.
func (n *Node) complain(what, from string, err error) {
	host, _, e := net.SplitHostPort(from)
	if e != nil {
		host = from
	}
	if n.failures.first(what + " " + host) {
		n.log.Warn(what, "site", n.site(), "node", n.cfg.ID, "from", host, "err", err)
	}
}
