package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/gossip"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

const keysFile = "gossip-keys.json"

func (n *Node) gossipKeys() gossip.Keys {
	t := n.machine.Table()
	return gossip.Keys{Version: t.GossipKeysVersion(), Keys: t.GossipKeys()}
}

// recallKeys are those of the last run: the log is not there yet.
func (n *Node) recallKeys() (k gossip.Keys, err error) {
	data, err := n.ground.recall(keysFile)
	if err != nil || data == nil {
		return k, err
	}
	if err := openChecked(data, &k); err != nil {
		return gossip.Keys{}, fmt.Errorf("%s in %s is damaged: %w", keysFile, n.cfg.DataDir, err)
	}
	return k, nil
}

// useKeys writes the keys down and gossips with them.
func (n *Node) useKeys(k gossip.Keys) error {
	data, err := checked(k)
	if err != nil {
		return err
	}
	if err := n.ground.remember(keysFile, data); err != nil {
		return err
	}
	return n.members.Use(k)
}

// followKeys keeps gossip in step with the keys in the table.
func (n *Node) followKeys(ctx context.Context) {
	for {
		t := n.machine.Table()
		if k := n.gossipKeys(); k.Version > n.members.KeysVersion() && len(k.Keys) > 0 {
			if err := n.useKeys(k); err != nil {
				n.log.Error("gossip keys", "site", n.site(), "node", n.cfg.ID, "err", err)
			}
		}
		if _, err := n.machine.Await(ctx, t.Version()); err != nil {
			return
		}
	}
}

// keysPlugin decides the actions on resource keys.
type keysPlugin struct{ n *Node }

func (keysPlugin) Name() string { return "KeysPlugin" }

func (keysPlugin) Handles() []string { return []string{"keys/rotate"} }

func (p keysPlugin) Apply(ctx context.Context, c *pipeline.Context) (pipeline.Result, error) {
	if c.Action.Resource != "keys" {
		return c.Result, nil
	}
	now := p.n.gossipKeys()
	if len(now.Keys) == 0 {
		return pipeline.Refuse(fsm.Conflict, "keys: this site has no gossip key of its own to rotate: one that --gossip-key gives is changed there, and `catalyst init` founds a site that has one"), nil
	}
	old, fresh := now.Keys[0], trust.NewGossipKey()
	// Everyone must be able to read with a key before anyone writes with it,
	// and nobody write with one that another no longer reads.
	var result pipeline.Result
	for _, keys := range [][][]byte{{old, fresh}, {fresh, old}, {fresh}} {
		var err error
		action := *c
		action.Action.RequestID = "" // each step is a command of its own
		result, err = action.Propose(ctx, fsm.SetGossipKeys{Was: p.n.machine.Table().GossipKeysVersion(), Keys: keys})
		if err != nil {
			return result, err
		}
		if err := p.n.awaitKeys(ctx); err != nil {
			return pipeline.Result{}, failure(unavailable, "the rotation of the keys stopped half-way (%v): nothing is lost, gossip goes on with both keys; run it again when all nodes are up", err)
		}
	}
	result.Data = map[string]any{"id": trust.KeyID(fresh), "removed": trust.KeyID(old)}
	return result, nil
}

const keysPatience = 10 * time.Second

// awaitKeys waits until every member that is alive uses the table's keys. One
// that is down gets them through the log when it is back.
func (n *Node) awaitKeys(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keysPatience)
	defer cancel()
	version := n.machine.Table().GossipKeysVersion()
	for _, s := range n.configuration() {
		for n.isAlive(s.ID) && n.keysOf(ctx, string(s.ID)) < version {
			select {
			case <-time.After(leaderPoll):
			case <-ctx.Done():
				return fmt.Errorf("%s does not use them within %s", s.ID, keysPatience)
			}
		}
	}
	return nil
}

func (n *Node) keysOf(ctx context.Context, id string) uint64 {
	if id == n.cfg.ID {
		return n.members.KeysVersion()
	}
	p, _ := n.progressOf(ctx, n.members.Of(id))
	return p.Keys
}

// askForKeys gets the keys from any node that is known by its RPC address: a
// node that was away while they were rotated cannot gossip.
func (n *Node) askForKeys(ctx context.Context) error {
	if !n.secured() {
		return nil
	}
	err := errors.New("no other node is known")
	for _, address := range n.who().RPC {
		var k gossip.Keys
		if k, err = n.keysFrom(ctx, address); err == nil {
			if k.Version > n.members.KeysVersion() && len(k.Keys) > 0 {
				n.log.Info("gossip keys were rotated while this node was away", "site", n.site(), "node", n.cfg.ID)
				return n.useKeys(k)
			}
			return nil
		}
	}
	return err
}

func (n *Node) keysFrom(ctx context.Context, address string) (k gossip.Keys, err error) {
	ctx, cancel := context.WithTimeout(ctx, progressDeadline)
	defer cancel()
	scope, err := n.links.to(ctx, address)
	if err != nil {
		return k, err
	}
	return transport.Await[gossip.Keys](ctx, scope.Call("keys"))
}

// NodeCertificate is how long a node's certificate is valid.
type NodeCertificate struct {
	ID        string `json:"id"`
	ExpiresAt int64  `json:"expiresAt"` // ms since the epoch
}

// listKeys shows which keys there are, never the keys.
func (s *cliScope) listKeys(ctx context.Context, _ *transport.Call) (any, error) {
	type key struct {
		ID      string `json:"id"`
		Primary bool   `json:"primary"`
	}
	keys := []key{}
	for i, k := range s.n.gossipKeys().Keys {
		keys = append(keys, key{trust.KeyID(k), i == 0})
	}
	out := map[string]any{"keys": keys, "certificates": []NodeCertificate{}}
	if s.n.secured() {
		out["fingerprint"] = s.n.keeper.Pin().String()
		transport.Concurrent(ctx)
		out["certificates"] = s.n.certificates(ctx)
	}
	return out, nil
}

// certificates are those of this node and of all that answer.
func (n *Node) certificates(ctx context.Context) []NodeCertificate {
	all := []NodeCertificate{}
	for _, s := range n.configuration() {
		id := string(s.ID)
		if id == n.cfg.ID {
			all = append(all, NodeCertificate{id, n.keeper.Expires().UnixMilli()})
		} else if p, err := n.progressOf(ctx, n.members.Of(id)); err == nil {
			all = append(all, NodeCertificate{id, p.Expires})
		}
	}
	return all
}
