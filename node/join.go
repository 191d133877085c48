package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

const (
	joinDeadline   = 8 * time.Second  // for a leader to make this node a member
	joinStandstill = 30 * time.Second // without progress, after which joining is given up
	joinReport     = 200 * time.Millisecond
)

// JoinProgress is one step on the way into a site.
type JoinProgress struct {
	Phase        string `json:"phase"` // verified, certified, nonvoter, catching_up, voter
	Fingerprint  string `json:"fingerprint,omitempty"`
	Bytes        int64  `json:"bytes,omitempty"` // taken in from the leader so far
	Total        int64  `json:"total,omitempty"` // of its newest snapshot
	Entries      uint64 `json:"entries,omitempty"`
	TotalEntries uint64 `json:"totalEntries,omitempty"`
	ElapsedMS    int64  `json:"elapsedMs"`
}

// join tells this node, which waits, where its site is: by an RPC address and
// a join token, or, for a site without credentials, by a gossip address. It
// returns when the node has caught up, and tells of its progress until then.
func (s *cliScope) join(ctx context.Context, c *transport.Call) (any, error) {
	var address string
	if err := c.Decode(0, &address); err != nil {
		return nil, err
	}
	var options struct {
		Token string `json:"token"`
	}
	if err := c.Decode(1, &options); err != nil {
		return nil, err
	}
	j := &joining{n: s.n, begun: time.Now(), tell: func(JoinProgress) {}}
	if stub, err := c.Stub(2); err == nil {
		kept := stub.Dup()
		defer kept.Release()
		j.tell = func(p JoinProgress) { kept.Call("", p).Release() }
	}
	transport.Concurrent(ctx)
	return j.run(ctx, address, options.Token)
}

// joining is one node on its way in.
type joining struct {
	n     *Node
	begun time.Time
	tell  func(JoinProgress)
}

func (j *joining) run(ctx context.Context, address, text string) (any, error) {
	n := j.n
	if _, _, err := net.SplitHostPort(address); err != nil {
		return pipeline.Refuse(fsm.Invalid, "address: %q is not an address: give host:port, the RPC address of a node of the site with a join token, as in 10.0.0.1:3000, or its gossip address without one", address), nil
	}
	if !n.beginning.TryLock() {
		return pipeline.Refuse(fsm.Conflict, "%s is being taken into a site already: see catalyst status", n.cfg.ID), nil
	}
	defer n.beginning.Unlock()
	if n.isMember() {
		return pipeline.Refuse(fsm.Conflict, "%s is a member of site %q already", n.cfg.ID, n.site()), nil
	}
	if text == "" && n.locked() {
		return pipeline.Refuse(fsm.Forbidden, "other machines can reach this node, so it joins only a site that is secured: give a join token (`catalyst token create --role join` there), or start it with --admin-token or --insecure"), nil
	}
	gossip := []string{address}
	if text != "" {
		known, refusal := j.enroll(ctx, address, text)
		if refusal != nil {
			return *refusal, nil
		}
		gossip = known
	}
	if err := n.members.Join(gossip); err != nil && text == "" {
		return pipeline.Refuse(fsm.Invalid, "address: join %s: %v", address, err), nil
	}
	if err := j.becomeMember(ctx, gossip); err != nil {
		return pipeline.Refuse(fsm.Conflict, "%s found nodes at %s, but no leader made it a member within %s: does that site have a leader?", n.cfg.ID, address, joinDeadline), nil
	}
	if text == "" {
		return pipeline.Result{Success: true, Data: map[string]any{"id": n.cfg.ID, "site": n.site()}, Index: n.machine.Table().Version()}, nil
	}
	j.report("nonvoter")
	if err := j.catchUp(ctx); err != nil {
		return nil, failure(unavailable, "%s is a member of site %s and goes on catching up by itself, but: %v", n.cfg.ID, n.site(), err)
	}
	e, err := n.electorate()
	if err != nil {
		return nil, proposalFailure(err)
	}
	after := n.strength(e)
	return pipeline.Result{Success: true, Index: n.machine.Table().Version(), Data: map[string]any{
		"id": n.cfg.ID, "site": n.site(), "role": j.role(), "voters": after.Voters, "tolerates": after.Tolerates,
	}}, nil
}

// enroll gets this node its certificate. The answer comes from the site that
// the token means, or not at all.
func (j *joining) enroll(ctx context.Context, address, text string) (gossip []string, refusal *pipeline.Result) {
	n := j.n
	refuse := func(code fsm.Code, format string, args ...any) ([]string, *pipeline.Result) {
		r := pipeline.Refuse(code, format, args...)
		return nil, &r
	}
	token, err := trust.ParseToken(text)
	switch {
	case err != nil:
		return refuse(fsm.Invalid, "token: %v", err)
	case token.Kind != trust.JoinToken:
		return refuse(fsm.Invalid, "token: this is a client token; a node is taken in with a join token: `catalyst token create --role join` at the site makes one")
	case token.Pin.IsZero():
		return refuse(fsm.Invalid, "token: it names no certificate authority, so the site could not be told from an impostor")
	case !token.Expires.IsZero() && time.Now().After(token.Expires):
		return refuse(fsm.Forbidden, "token: it expired at %s: `catalyst token create --role join` at the site makes a new one", moment(token.Expires.UnixMilli()))
	case n.secured():
		return refuse(fsm.Conflict, "%s has a certificate of site %q already: empty its --data-dir to join another", n.cfg.ID, n.site())
	}
	w, key, err := j.askUntilLed(ctx, address, token)
	var said *transport.Error
	switch {
	case err == nil:
	case repeatable(err, ""):
		return refuse(fsm.Conflict, "%s does not take this node in: %v", address, err)
	case errors.As(err, &said) && codeOf(err) != internal:
		return refuse(fsm.Forbidden, "%s does not take this node in: %s", address, said.Message)
	default:
		return refuse(fsm.Conflict, "%s does not take this node in: %s", address, enrolTrouble(err))
	}
	j.tell(JoinProgress{Phase: "verified", Fingerprint: token.Pin.String(), ElapsedMS: j.elapsed()})
	c := &trust.Credentials{Key: key, Certificate: w.Certificate, Authority: w.Authority}
	err = n.self.alter(func(i *identity) { i.Gossip = w.Gossip }) // should this be broken off, the next start goes on
	if err == nil {
		err = n.enter(w.Site, w.SiteID, c, w.Keys)
	}
	if err != nil {
		return refuse(fsm.Conflict, "the certificate from %s cannot be used: %v", address, err)
	}
	n.log.Info("enrolled", "site", n.site(), "node", n.cfg.ID, "authority", token.Pin.String())
	j.report("certified")
	return w.Gossip, nil
}

// askUntilLed asks for the certificate again while the site elects a leader.
func (j *joining) askUntilLed(ctx context.Context, address string, token trust.Token) (*welcome, []byte, error) {
	for deadline := time.Now().Add(joinDeadline); ; {
		w, key, err := j.n.seekEnrolment(ctx, address, token)
		if !repeatable(err, "") || time.Now().After(deadline) {
			return w, key, err
		}
		select {
		case <-time.After(leaderPoll):
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// enrolTrouble says without its wrapping why no session came about.
func enrolTrouble(err error) string {
	const way = "; give the RPC address of a node of the site, as the join line has it"
	var (
		record  tls.RecordHeaderError
		request *url.Error
	)
	switch {
	case errors.As(err, &record):
		return "it speaks no TLS" + way
	case errors.As(err, &request):
		return request.Err.Error() // of who is there, which says more
	}
	return err.Error() + way
}

// becomeMember knocks until the leader has let this node in.
func (j *joining) becomeMember(ctx context.Context, gossip []string) error {
	ctx, cancel := context.WithTimeout(ctx, joinDeadline)
	defer cancel()
	knock := time.NewTicker(joinInterval)
	defer knock.Stop()
	for !j.n.isMember() {
		select {
		case <-time.After(leaderPoll):
		case <-knock.C:
			_ = j.n.members.Join(gossip) // it may have been lost, or the others not there
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// catchUp waits until this node votes, or is as far as the leader and is not
// to vote.
func (j *joining) catchUp(ctx context.Context) error {
	moved, last := time.Now(), [2]uint64{}
	for {
		leader, err := j.n.leaderProgress(ctx)
		now := [2]uint64{j.n.raft.AppliedIndex(), uint64(j.n.stores.received())}
		switch {
		case j.role() == "voter":
			j.report("voter")
			return nil
		case err == nil && leader.Stands && now[0]+caughtUpEntries >= leader.Last && now[0] > 0:
			return nil
		case now != last:
			moved, last = time.Now(), now
		case time.Since(moved) > joinStandstill:
			return fmt.Errorf("nothing has come from the leader for %s", joinStandstill)
		}
		j.tell(JoinProgress{
			Phase: "catching_up", Bytes: int64(now[1]), Total: leader.Bytes,
			Entries: now[0], TotalEntries: leader.Last, ElapsedMS: j.elapsed(),
		})
		select {
		case <-time.After(joinReport):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// role is voter or nonvoter.
func (j *joining) role() string {
	s, _ := electorate{servers: j.n.configuration()}.find(j.n.cfg.ID)
	if s.Suffrage == raft.Voter {
		return "voter"
	}
	return "nonvoter"
}

func (j *joining) elapsed() int64 { return time.Since(j.begun).Milliseconds() }

func (j *joining) report(phase string) {
	j.tell(JoinProgress{Phase: phase, ElapsedMS: j.elapsed(), Bytes: j.n.stores.received()})
}

// leaderProgress is how far the leader is, and whether it will let this node vote.
func (n *Node) leaderProgress(ctx context.Context) (progress, error) {
	ctx, cancel := context.WithTimeout(ctx, progressDeadline)
	defer cancel()
	scope, err := n.leaderScope(ctx)
	if err != nil {
		return progress{}, err
	}
	return transport.Await[progress](ctx, scope.Call("progress", n.cfg.ID))
}
