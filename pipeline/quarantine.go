package pipeline

import (
	"math/bits"
	"slices"
	"time"
)

const (
	firstQuarantine, lastQuarantine = time.Second, 30 * time.Second

	// A refusal is about the suspects if the list without them was accepted
	// this recently; else that list is tried first.
	trust = time.Second

	// After a trial of quarantined services the gateway is left alone for this
	// many times as long, so that what hangs it costs others little.
	trialRest    = 3
	minTrialRest = 500 * time.Millisecond
)

// suspicion is what refusals have brought up and nothing has settled yet.
type suspicion struct {
	doubt    bool       // whether the good list would still be accepted
	refusals int        // without an acceptance
	blamed   []*service // by the gateway's words
	accused  bool       // words named a service of the good list
	deaf     bool       // words have misled: only experiments count
}

// relieve takes note that a probe was accepted.
func (s *suspicion) relieve(p probe) {
	s.doubt, s.refusals = false, 0
	if p.hunt != nil {
		s.blamed = nil
		return
	}
	s.deaf, s.accused = s.deaf || s.accused, false
}

// refuse decides what a refusal says, and about whom.
func (f *follower) refuse(p probe, reason string) {
	switch {
	case f.blame(p, reason):
	case p.hunt != nil:
		f.suspect(p, reason, false)
		p.hunt.splitBehind(named(reason, p.members))
	case f.good.size > 0:
		f.disband(reason)
	default:
		f.unanswered("the gateway refuses an empty list: " + reason)
	}
	if f.suspicion.deaf {
		f.acquit()
	}
}

// hang treats a call that got no answer in time as a refusal, provisionally:
// one service can make a gateway hang. If the good list alone then gets its
// answer, the suspects were the reason; else the gateway was.
func (f *follower) hang(p probe) {
	if p.hunt == nil || f.good.size == 0 && len(p.members) == 1 {
		f.forgive()
		return
	}
	f.suspect(p, f.down, true)
}

// suspect notes that the gateway refuses something among a probe's members.
func (f *follower) suspect(p probe, reason string, hung bool) {
	if f.good.size > 0 && !p.hunt.searching() && time.Since(f.heldSince) > trust {
		f.suspicion.doubt = true
	}
	p.hunt.refuse(p, reason, f.good.number, hung)
	f.suspicion.refusals++
	if f.suspicion.refusals <= patience(len(f.catalog.order)) {
		return
	}
	f.suspicion.refusals = 0
	if hung {
		f.forgive()
		return
	}
	for _, s := range p.hunt.all() {
		f.quarantine(s, verdict{reason: "refused together with others: " + reason})
	}
}

// patience is how many refusals without an acceptance make a search among n
// services hopeless: more than it ever takes to find the first offender.
func patience(n int) int { return 2*bits.Len(uint(n)) + 4 }

// forgive drops what a gateway that does not answer seemed to say.
func (f *follower) forgive() {
	f.suspicion.doubt = false
	f.fresh.forgive()
	f.trial.forgive()
}

// disband makes suspects of the good list, which is not accepted any more.
// Meanwhile the gateway serves what it has.
func (f *follower) disband(reason string) {
	var members []*service
	for _, s := range f.catalog.order {
		if s.standing == good {
			s.standing = fresh
			members = append(members, s)
		}
	}
	f.suspicion.doubt = false
	f.suspicion.refusals++
	f.good = goodList{number: f.good.number + 1}
	f.edits++
	f.fresh.refused = append(f.fresh.refused, group{members: members, reason: reason, base: f.good.number})
}

// conclude quarantines what is proven to be refused, and closes what has come
// to its end.
func (f *follower) conclude() {
	for _, h := range []*hunt{&f.fresh, &f.trial} {
		for !f.suspicion.doubt || f.good.size == 0 {
			s, reason, ok := h.found(f.good.number)
			if !ok {
				break
			}
			f.quarantine(s, verdict{reason: reason, proven: true})
		}
	}
	if f.trying && !f.trial.waiting() {
		f.trying = false
		now := time.Now()
		f.trialFrom = now.Add(min(max(minTrialRest, trialRest*now.Sub(f.trialAt)), lastQuarantine))
	}
	if f.fresh.waiting() || f.trial.waiting() {
		return
	}
	f.suspicion.doubt, f.suspicion.refusals = false, 0
	if f.inStep() {
		f.suspicion = suspicion{}
	}
}

// blame quarantines the one service that the gateway's words name. Words that
// still name it when it was left out are about something else: it is let off.
// Words against a good service that was pushed with suspects only raise doubt.
func (f *follower) blame(p probe, reason string) bool {
	if f.suspicion.deaf {
		return false
	}
	s := named(reason, f.nameable(p))
	switch {
	case s == nil:
		return false
	case s.standing == good && p.hunt != nil:
		f.suspicion.doubt, f.suspicion.accused = true, true
		return false
	case slices.Contains(f.suspicion.blamed, s) && !slices.Contains(p.members, s):
		f.suspicion.deaf = true
		return false
	case p.hunt != nil && s != slices.MaxFunc(p.members, older):
		// Of two that clash the gateway may name either, and the younger has
		// to go. So the named one is tried with its elders alone: refused
		// again, it is guilty; accepted, the search is among the younger.
		return false
	}
	if p.hunt != nil {
		p.hunt.reopen(p, s)
	}
	f.suspicion.blamed = append(f.suspicion.blamed, s)
	f.quarantine(s, verdict{reason: reason, proven: true})
	return true
}

// nameable is what words about a probe can be about.
func (f *follower) nameable(p probe) []*service {
	candidates := slices.Clone(p.members)
	for _, s := range f.suspicion.blamed {
		if !slices.Contains(p.members, s) {
			candidates = append(candidates, s)
		}
	}
	for _, s := range f.catalog.order {
		if s.standing == good {
			candidates = append(candidates, s)
		}
	}
	return candidates
}

// acquit lets off those that only words were held against.
func (f *follower) acquit() {
	for _, s := range f.suspicion.blamed {
		if !s.gone && s.standing == quarantined {
			s.standing = fresh
			f.trial.drop(s)
			f.fresh.add(s)
		}
	}
	f.suspicion.blamed = nil
	f.edits++
}

// quarantine takes a service off the list until it is tried again.
func (f *follower) quarantine(s *service, v verdict) {
	if s.standing == good {
		f.good = goodList{f.good.number + 1, f.good.size - 1}
	}
	if s.attempts == 0 {
		f.g.cfg.Log.Warn("the gateway refuses a service; the others go on without it", "gateway", f.g.cfg.Endpoint, "route", s.id, "err", v.reason)
	}
	f.edits++
	s.standing, s.verdict = quarantined, v
	s.retry = time.Now().Add(f.backoff(firstQuarantine, lastQuarantine, s.attempts))
	s.attempts++
}

// planTrial is the next push on behalf of what is quarantined, if one is due.
func (f *follower) planTrial(now time.Time) (probe, bool) {
	if !f.trial.waiting() && !now.Before(f.trialFrom) {
		for _, s := range f.catalog.order {
			if s.standing == quarantined && !now.Before(s.retry) {
				f.trial.add(s)
			}
		}
		f.trying, f.trialAt = f.trial.waiting(), now
	}
	return f.trial.next(f.good), f.trial.waiting()
}

// nextTrial is when one falls due; zero without any.
func (f *follower) nextTrial() time.Time {
	var first time.Time
	for _, s := range f.catalog.order {
		if s.standing == quarantined && (first.IsZero() || s.retry.Before(first)) {
			first = s.retry
		}
	}
	if first.IsZero() {
		return first
	}
	return latest(first, f.trialFrom)
}
