package peering

import (
	"context"
	"fmt"

	"github.com/catalyst/orchestrator/fsm"
)

// intake is where a session is in what the far end announces. The far end's
// calls touch it one after the other: they run side by side only while they
// wait for their commit.
type intake struct {
	before    *fsm.Table                  // when the dump under way began; nil outside one
	confirmed map[fsm.LearnedKey]struct{} // what the dump so far has announced of what was there before
	spoke     bool                        // of a collector
}

// begin expects a dump.
func (in *intake) begin(t *fsm.Table, peer string) {
	in.before, in.confirmed = t, nil
	if routes := t.Held(peer).Routes; routes > 0 {
		in.confirmed = make(map[fsm.LearnedKey]struct{})
	}
}

// Update is the far end's update: the answer comes after the commit. What
// cannot be read as a whole ends the session.
func (x *Session) Update(ctx context.Context, updates any) (Answer, error) {
	if err := x.awaitOpen(ctx); err != nil {
		return Answer{}, err
	}
	if !x.calls.enter() {
		return Answer{}, x.over()
	}
	defer x.calls.leave()
	items, err := readUpdates(updates)
	if err != nil {
		x.fail(fmt.Errorf("malformed update: %w", err))
		return Answer{}, err
	}
	answer, err := x.take(ctx, items)
	if err != nil {
		x.fail(err)
		return Answer{}, err
	}
	x.speaker.took(x, len(items), answer)
	return answer, nil
}

func (x *Session) take(ctx context.Context, items []item) (Answer, error) {
	if x.collector && !x.intake.spoke {
		x.intake.spoke = true
		if err := x.commit(x.ctx, fsm.OpenPeer{Peer: x.peer, Collector: true}); err != nil {
			return Answer{}, err
		}
	}
	learn, malformed := x.learn(items)
	for len(learn.Remove) > MaxUpdates { // a dump that leaves very much out
		part := fsm.Learn{Peer: learn.Peer, Epoch: learn.Epoch, Term: learn.Term, Remove: learn.Remove[:MaxUpdates]}
		if err := x.commit(x.ctx, part); err != nil {
			return Answer{}, err
		}
		learn.Remove = learn.Remove[MaxUpdates:]
	}
	outcome, err := x.settle(ctx, learn)
	if err == nil && learn.EndOfRIB {
		x.whole.Store(true)
	}
	return Answer{Success: true, Error: outcome.Message, Malformed: malformed + outcome.Malformed, Refused: outcome.Refused}, err
}

// learn makes one command of the items. Of several for one route only the last
// counts, as a Learn does not keep their order.
func (x *Session) learn(items []item) (l fsm.Learn, malformed int) {
	l = fsm.Learn{Peer: x.peer, Epoch: x.hello.Epoch, Term: x.hello.Term}
	last := make(map[fsm.LearnedKey]int, len(items))
	for i := range items {
		last[items[i].key] = i
	}
	for i := range items {
		it := &items[i]
		it.malformed = it.malformed || it.kind == add && !x.crossed(it.path)
		if it.malformed {
			malformed++
		} else {
			l.Version = max(l.Version, it.version)
		}
		switch {
		case it.kind == endOfRIB && !it.malformed:
			x.endOfRIB(&l, it.since)
		case it.key.ID == "" || last[it.key] != i:
		case it.kind == add && !it.malformed:
			x.intake.note(it.key, x.peer)
			l.Add = append(l.Add, fsm.LearnedRoute{ID: it.key.ID, Service: it.service, Site: it.key.Site, Path: it.path, Version: it.version})
		default:
			l.Remove = append(l.Remove, it.key)
		}
	}
	if l.Resumed {
		x.speaker.resumes(x)
	}
	return l, malformed
}

// crossed tells whether a path begins where it was heard (as RFC 4271 §6.3 has
// it of the first AS). A collector is no place.
func (x *Session) crossed(path []string) bool {
	return x.collector || len(path) > 0 && path[0] == x.peer
}

func (in *intake) note(key fsm.LearnedKey, peer string) {
	if in.confirmed != nil && in.before.Path(key.ID, key.Site, peer) != nil {
		in.confirmed[key] = struct{}{}
	}
}

// endOfRIB ends a dump. After a whole one, what was not announced in it goes;
// after one that went on from a position, what was not mentioned is confirmed.
// Outside a dump it only moves the position.
func (x *Session) endOfRIB(l *fsm.Learn, since uint64) {
	in := &x.intake
	l.EndOfRIB = true
	l.Resumed = in.before != nil && since != 0 && since <= in.before.Held(x.peer).Version
	if in.confirmed != nil && !l.Resumed {
		for r := range in.before.Learned(x.peer) {
			if _, is := in.confirmed[keyOf(r)]; !is {
				l.Remove = append(l.Remove, keyOf(r))
			}
		}
	}
	in.before, in.confirmed = nil, nil
}
