package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/catalyst/orchestrator/peering"
)

var (
	peerUp         = prometheus.NewDesc("catalyst_peer_established", "1 while the session with a peer stands; only the leader tells.", []string{"peer"}, nil)
	peerRoutes     = prometheus.NewDesc("catalyst_peer_routes", "Routes exchanged with a peer; only the leader tells.", []string{"peer", "direction"}, nil)
	peerStale      = prometheus.NewDesc("catalyst_peer_routes_stale", "Routes kept of a peer that is away; only the leader tells.", []string{"peer"}, nil)
	peerRoundTrip  = prometheus.NewDesc("catalyst_peer_round_trip_seconds", "Of the last keepalive; only the leader tells.", []string{"peer"}, nil)
	peerCollectors = prometheus.NewDesc("catalyst_peer_collectors", "Collectors that listen; only the leader tells.", nil, nil)
)

// peerCollector tells of each peer what the leader's speaker knows when it is
// asked. Bounded by fsm.MaxPeers.
type peerCollector struct{ n *Node }

func (peerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{peerUp, peerRoutes, peerStale, peerRoundTrip, peerCollectors} {
		ch <- d
	}
}

func (c peerCollector) Collect(ch chan<- prometheus.Metric) {
	l := c.n.leadership.current.Load()
	if l == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, p := range l.speaker.Peers() {
		gauge(peerUp, truth(p.State == peering.Established), p.ID)
		gauge(peerRoutes, float64(p.RoutesIn), p.ID, "in")
		gauge(peerRoutes, float64(p.RoutesOut), p.ID, "out")
		gauge(peerStale, float64(p.Stale), p.ID)
		gauge(peerRoundTrip, p.RoundTripMS/1000, p.ID)
	}
	gauge(peerCollectors, float64(len(l.speaker.Collectors())))
}
