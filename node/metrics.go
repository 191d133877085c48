package node

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// counts is what this node has done since it started.
type counts struct {
	actions    atomic.Uint64 // taken from clients
	failures   atomic.Uint64 // of these, rejected
	commands   atomic.Uint64 // committed, or tried
	entries    atomic.Uint64 // log entries they shared
	overloaded atomic.Uint64 // refused because too many were waiting

	unauthenticated atomic.Uint64 // clients whose credential was not good
	forbidden       atomic.Uint64 // calls beyond what the credential allows
	watchers        atomic.Int64  // now
	sessions        atomic.Int64  // now
}

// registry reads every figure from where it lives when it is asked for.
func (n *Node) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	counter := func(name, help string, v *atomic.Uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "catalyst_" + name, Help: help},
			func() float64 { return float64(v.Load()) }))
	}
	gauge := func(name, help string, v func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "catalyst_" + name, Help: help}, v))
	}
	counter("actions_total", "Actions taken from clients.", &n.counts.actions)
	counter("action_failures_total", "Actions that were rejected because the site could not answer.", &n.counts.failures)
	counter("commands_total", "Commands proposed by this node as leader.", &n.counts.commands)
	counter("log_entries_total", "Raft log entries that the commands shared (group commit).", &n.counts.entries)
	counter("overloaded_total", "Actions refused because too many were waiting for the log.", &n.counts.overloaded)
	counter("unauthenticated_total", "Clients and nodes that showed no good credential.", &n.counts.unauthenticated)
	counter("forbidden_total", "Calls that the caller's role does not allow.", &n.counts.forbidden)
	gauge("watchers", "Watches that are open.", func() float64 { return float64(n.counts.watchers.Load()) })
	gauge("sessions", "WebSocket sessions that are open.", func() float64 { return float64(n.counts.sessions.Load()) })
	gauge("routes_local", "Routes registered at this site.", func() float64 { return float64(n.machine.Table().NumLocal()) })
	gauge("routes_learned", "Routes learned from peers.", func() float64 { return float64(n.machine.Table().NumLearned()) })
	gauge("table_index", "Committed changes in this node's table.", func() float64 { return float64(n.machine.Table().Version()) })
	gauge("raft_term", "Raft term.", func() float64 { return float64(n.raft.CurrentTerm()) })
	gauge("raft_applied_index", "Raft log index applied here.", func() float64 { return float64(n.raft.AppliedIndex()) })
	gauge("raft_last_index", "Last Raft log index here.", func() float64 { return float64(n.raft.LastIndex()) })
	gauge("is_leader", "1 while this node leads.", func() float64 { return truth(n.leadership.current.Load() != nil) })
	gauge("ready", "1 while /ready answers 200.", func() float64 { return truth(n.notReady() == "") })
	gauge("voters", "Voting members of the site.", func() float64 { return float64(electorate{servers: n.configuration()}.voters()) })
	counter("peer_updates_in_total", "Items of updates taken in from peer sites and collectors.", &n.peerCounts.UpdatesIn)
	counter("peer_updates_out_total", "Items of updates sent to peer sites and collectors.", &n.peerCounts.UpdatesOut)
	counter("peer_resumes_total", "Peer sessions that went on where an earlier one ended.", &n.peerCounts.Resumes)
	counter("peer_malformed_total", "Items of updates that were taken as withdrawals because they were malformed.", &n.peerCounts.Malformed)
	counter("peer_refused_total", "Routes of peers that were refused because a limit was reached.", &n.peerCounts.Refused)
	counter("peer_healed_total", "Times that a digest showed a difference between two sites, which was then sent again.", &n.peerCounts.Healed)
	counter("peer_transitions_total", "Peer sessions that were established or ended.", &n.peerCounts.Transitions)
	r.MustRegister(peerCollector{n})
	if n.stores.damaged != nil {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "catalyst_checksum_failures_total", Help: "Records, votes and snapshots that were not what had been written."},
			func() float64 { return float64(n.stores.damaged()) }))
	}
	if n.stores.bolt != nil {
		gauge("log_store_writes", "Pages written by the log store.", func() float64 {
			s := n.stores.bolt()
			return float64(s.TxStats.GetWrite())
		})
	}
	if n.gateway != nil {
		gauge("gateway_services", "Services that the gateway last accepted from this leader.", func() float64 { return float64(n.gateway.Status().Services) })
		gauge("gateway_quarantined", "Services that the gateway refuses.", func() float64 { return float64(len(n.gateway.Status().Quarantined)) })
		gauge("gateway_waiting", "Services that the gateway has accepted and does not serve as they are now.", func() float64 { return float64(len(n.gateway.Status().Waiting)) })
	}
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
