package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/storage"
	"github.com/catalyst/orchestrator/trust"
)

// renewal is a recovery that the log does not show yet: what it was, the site
// gave up, and it begins another life under another id.
type renewal struct {
	Keep []string `json:"keep"` // members that stay
}

// renewSite enters a recovery in the log, as the first thing that a leader
// does after one.
func (n *Node) renewSite(ctx context.Context, log *proposer) error {
	me := n.who()
	if me.Renewal == nil {
		return nil
	}
	if n.machine.Table().ID() != me.SiteID {
		if !n.allows(levelMembership) { // the others are gone
			if err := n.commit(ctx, log, fsm.Raise{Level: n.level()}); err != nil {
				return err
			}
		}
		op := fsm.Renew{Epoch: newEpoch(time.Now()), ID: me.SiteID, Keep: me.Renewal.Keep}
		if err := n.commit(ctx, log, op); err != nil {
			return err
		}
		n.log.Warn("the site lives on after a recovery", "site", n.site(), "node", n.cfg.ID, "siteId", me.SiteID, "epoch", op.Epoch)
	}
	return n.self.alter(func(i *identity) { i.Renewal = nil })
}

// RecoveryPlan is what recovering a site from one node's data would do.
type RecoveryPlan struct {
	Node    string            `json:"node"`
	Site    string            `json:"site"`
	Members []RecoveredMember `json:"members"` // that the site had, as far as this node knows
	Last    uint64            `json:"last"`    // Raft index of the newest entry here
	Term    uint64            `json:"term"`
	Table   SnapshotInfo      `json:"table"` // what there is with all entries applied, committed or not
	Lost    []string          `json:"lost"`  // what is lost or may be, in sentences
	Next    []string          `json:"next"`  // what happens then, and what to do
}

// RecoveredMember is a member of the site that lost its quorum.
type RecoveredMember struct {
	ID    string `json:"id"`
	Role  string `json:"role"` // voter or nonvoter
	Raft  string `json:"raft"`
	Stays bool   `json:"stays"`
}

// SurveyRecovery reads the data directory of a stopped node and says what
// Recover would do with it. It changes nothing.
func SurveyRecovery(dir string) (RecoveryPlan, error) {
	me, err := identityIn(dir)
	if err != nil {
		return RecoveryPlan{}, err
	}
	report, err := storage.Survey(raftDir(dir))
	if err != nil {
		return RecoveryPlan{}, err
	}
	if len(report.Damage) > 0 {
		return RecoveryPlan{}, fmt.Errorf("the log of this node is damaged, so it cannot carry the site on: %w; recover from another node, or restore a snapshot into a new site", report.Damage[0])
	}
	if len(report.Configuration.Servers) == 0 {
		return RecoveryPlan{}, fmt.Errorf("%s was never in a site: there is nothing to recover", me.Node)
	}
	table, err := tableIn(dir, report)
	if err != nil {
		return RecoveryPlan{}, err
	}
	return plan(me, report, table), nil
}

func plan(me identity, report storage.Report, table *fsm.Table) RecoveryPlan {
	p := RecoveryPlan{Node: me.Node, Site: me.Site, Last: report.Last, Term: report.LastTerm, Table: infoOf(table)}
	if len(report.Snapshots) > 0 {
		p.Last, p.Term = max(p.Last, report.Snapshots[0].Index), max(p.Term, report.Snapshots[0].Term)
	}
	voters := 0
	for _, s := range report.Configuration.Servers {
		m := RecoveredMember{ID: string(s.ID), Role: "nonvoter", Raft: string(s.Address), Stays: string(s.ID) == me.Node}
		if s.Suffrage == raft.Voter {
			m.Role = "voter"
			voters++
		}
		p.Members = append(p.Members, m)
	}
	p.Lost = []string{
		fmt.Sprintf("every change that a majority of the %d voters acknowledged and that never reached %s: nothing here can tell how many. If another node has a later entry than %d of term %d, recover from that one instead", voters, me.Node, p.Last, p.Term),
		"the memberships of all other nodes",
	}
	p.Next = []string{
		"entries that reached this node and were perhaps never acknowledged count as done",
		"the site gets another id and epoch: peers take its whole table anew, and nodes of its old life are refused",
		fmt.Sprintf("start %s again; it leads alone at once", me.Node),
		"empty the data directories of all other nodes before they are started, and join them anew: two halves of the site would both believe to be it",
	}
	return p
}

// Recover makes the node of a stopped data directory the only member of its
// site, with the state that it has. Two lives of one site must never meet:
// see SurveyRecovery for what it gives up.
func Recover(dir string) error {
	me, err := identityIn(dir)
	if err != nil {
		return err
	}
	store, err := storage.Open(raftDir(dir), storage.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	address := addressIn(dir)
	if address == "" {
		return fmt.Errorf("%s in %s does not say where the node listened: start it once, stop it, and try again", addressesFile, dir)
	}
	// The new life first: should what follows fail, the node does not answer to
	// its old name any more.
	m := &machine{cfg: &Config{DataDir: dir}}
	s := self{ground: m}
	s.now.Store(&me)
	err = s.alter(func(i *identity) {
		i.SiteID, i.Renewal = newSiteID(), &renewal{Keep: []string{me.Node}}
		i.Gossip, i.RPC, i.Raft = nil, nil, nil
	})
	if err != nil {
		return err
	}
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(me.Node)
	c.Logger = raftLogger(logLines{log: slog.New(slog.DiscardHandler)})
	_, trans := raft.NewInmemTransport(raft.ServerAddress(address))
	only := raft.Configuration{Servers: []raft.Server{{ID: c.LocalID, Address: raft.ServerAddress(address), Suffrage: raft.Voter}}}
	if err := raft.RecoverCluster(c, fsm.NewMachine(), store, store, store.Snapshots(), trans, only); err != nil {
		return fmt.Errorf("recover %s: %w", dir, err)
	}
	return nil
}

func raftDir(dir string) string { return filepath.Join(dir, "raft") }

func identityIn(dir string) (identity, error) {
	data, err := os.ReadFile(filepath.Join(dir, identityFile))
	if errors.Is(err, os.ErrNotExist) {
		return identity{}, fmt.Errorf("%s is no data directory of a node: there is no %s in it", dir, identityFile)
	}
	if err != nil {
		return identity{}, err
	}
	i, err := readIdentity(data)
	if err != nil {
		return i, fmt.Errorf("%s in %s is damaged: %w", identityFile, dir, err)
	}
	return i, nil
}

// addressIn is where the node's Raft listened last.
func addressIn(dir string) string {
	var a Addresses
	data, err := os.ReadFile(filepath.Join(dir, addressesFile))
	if err != nil || json.Unmarshal(data, &a) != nil {
		return ""
	}
	return a.Raft
}

// replayed is the table of a running node with its whole log applied.
func replayed(snapshots raft.SnapshotStore, logs raft.LogStore) (*fsm.Table, error) {
	all, err := snapshots.List()
	if err != nil {
		return new(fsm.Table), err
	}
	var state io.ReadCloser
	if len(all) > 0 {
		if _, state, err = snapshots.Open(all[0].ID); err != nil {
			return new(fsm.Table), err
		}
	}
	return tableOf(state, func(yield func(*raft.Log) bool) error {
		first, err := logs.FirstIndex()
		if err != nil || first == 0 {
			return err
		}
		last, err := logs.LastIndex()
		for i := first; err == nil && i <= last; i++ {
			var l raft.Log
			if err = logs.GetLog(i, &l); err == nil {
				yield(&l)
			}
		}
		return err
	})
}

// tableIn is that of a node that does not run.
func tableIn(dir string, report storage.Report) (*fsm.Table, error) {
	var state io.ReadCloser
	if len(report.Snapshots) > 0 {
		f, err := os.Open(filepath.Join(raftDir(dir), "snapshots", report.Snapshots[0].ID, "state.bin"))
		if err != nil {
			return nil, err
		}
		state = f
	}
	return tableOf(state, report.Entries)
}

// tableOf is a snapshot, if there is one, with the entries after it applied,
// committed or not.
func tableOf(snapshot io.ReadCloser, entries func(yield func(*raft.Log) bool) error) (*fsm.Table, error) {
	machine := fsm.NewMachine()
	if snapshot != nil {
		if err := machine.Restore(snapshot); err != nil {
			return machine.Table(), fmt.Errorf("the newest snapshot: %w", err)
		}
	}
	err := entries(func(l *raft.Log) bool {
		if l.Type == raft.LogCommand && l.Index > machine.Applied() {
			machine.Apply(l)
		}
		return true
	})
	return machine.Table(), err
}

func examineIdentity(dir string) Check {
	i, err := identityIn(dir)
	if err != nil {
		return ok("identity", "%v", err).fail("restore " + identityFile + " from a copy, or replace the node: catalyst member remove at another node, empty the directory, join anew")
	}
	return ok("identity", "node %s of site %s (%s)", i.Node, i.Site, cmp.Or(i.SiteID, "in no site yet"))
}

func examineLog(dir string) Check {
	report, err := storage.Survey(raftDir(dir))
	switch {
	case err != nil:
		return ok("log", "%v", err).warn("stop the node before its log is examined; a node that was never started has none")
	case len(report.Damage) > 0:
		return ok("log", "%s: %s", report.Damage[0].File, report.Damage[0].What).fail(report.Damage[0].Error())
	}
	return ok("log", "entries %d to %d, term %d, %d members, %d snapshots", report.First, report.Last, report.CurrentTerm,
		len(report.Configuration.Servers), len(report.Snapshots))
}

func examineCredentials(dir string) Check {
	c, err := trust.Load(filepath.Join(dir, "tls"), time.Now())
	switch {
	case errors.Is(err, os.ErrNotExist):
		return ok("credentials", "none: the node is in no secured site")
	case err != nil:
		return ok("credentials", "%v", err).fail("replace the node: catalyst member remove at another node, empty the directory, join anew")
	}
	var k trust.Keeper
	if err := k.Set(c); err != nil {
		return ok("credentials", "%v", err).fail("replace the node: catalyst member remove at another node, empty the directory, join anew")
	}
	return ok("credentials", "certificate of %s until %s, authority %s", k.Subject().Name, moment(k.Expires().UnixMilli()), k.Pin())
}
