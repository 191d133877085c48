package peering

import (
	"fmt"
	"slices"

	"github.com/catalyst/orchestrator/fsm"
)

// What the operator of a site does, and sees.

func service(name, site string) fsm.Service {
	return fsm.Service{Name: name, Endpoint: "http://" + name + "." + site + ":80/", Protocol: fsm.HTTP}
}

func (s *site) adds(names ...string) {
	s.w.Helper()
	for _, name := range names {
		s.does(fsm.Put{Mode: fsm.Create, Service: service(name, s.name)})
	}
}

func (s *site) moves(name, region string) {
	s.w.Helper()
	moved := service(name, s.name)
	moved.Region = region
	s.does(fsm.Put{Mode: fsm.Upsert, Service: moved})
}

func (s *site) drops(names ...string) {
	s.w.Helper()
	for _, name := range names {
		s.does(fsm.Delete{ID: name + ":http"})
	}
}

// peers configures peers at their own doors.
func (s *site) peers(sites ...string) {
	s.w.Helper()
	for _, other := range sites {
		s.configures(fsm.PeerConfig{ID: other, Endpoints: []string{door(other)}})
	}
}

func (s *site) configures(c fsm.PeerConfig) {
	s.w.Helper()
	s.does(fsm.PutPeer{Mode: fsm.Upsert, Peer: c})
}

// peer is what the speaker tells of one.
func (s *site) peer(id string) Peer {
	if speaker := s.speaker(); speaker != nil {
		for _, p := range speaker.Peers() {
			if p.ID == id {
				return p
			}
		}
	}
	return Peer{}
}

func (s *site) stands(peers ...string) {
	s.w.Helper()
	for _, peer := range peers {
		if p := s.peer(peer); p.State != Established {
			s.w.Errorf("%v: %s has no session with %s: %+v", s.w.since(), s.name, peer, p)
		}
	}
}

func (s *site) idles(peer string) {
	s.w.Helper()
	if p := s.peer(peer); p.State == OpenConfirm || p.State == Established {
		s.w.Errorf("%v: %s has a session with %s: %+v", s.w.since(), s.name, peer, p)
	}
}

// learned lists what a site has from others: each path with what of it matters.
func (s *site) learned() []string {
	routes := []string{}
	for r := range s.Table().All() {
		if r.Local() {
			continue
		}
		text := fmt.Sprintf("%s %v by %s", r.Service.Name, r.Path, r.Peer)
		if r.Service.Region != "" {
			text += " in " + r.Service.Region
		}
		if r.Stale {
			text += ", stale"
		}
		routes = append(routes, text)
	}
	return routes
}

func (s *site) holds(want ...string) {
	s.w.Helper()
	if got := s.learned(); !slices.Equal(got, want) {
		s.w.Errorf("%v: %s holds\n\t%q, want\n\t%q", s.w.since(), s.name, got, want)
	}
}
