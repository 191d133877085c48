package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// decidePeer applies an action on a peer as the table would.
func (s *fakeSite) decidePeer(verb string, data map[string]any) map[string]any {
	id, _ := data["id"].(string)
	if verb == "delete" && id == fakeRome["site"] {
		id = "rome"
	}
	if id == "" {
		first, _ := url.Parse(data["endpoints"].([]any)[0].(string))
		id = strings.ReplaceAll(first.Host, ":", "-")
	}
	old, exists := s.peers[id]
	switch {
	case !exists && verb != "create":
		return refusedAs("not_found", "peer "+id+" is not configured")
	case exists && verb == "create" && !reflect.DeepEqual(old, data):
		return refusedAs("conflict", "peer "+id+" is already configured otherwise")
	}
	if !exists || verb != "create" {
		s.index++
		s.applied = append(s.applied, fmt.Sprint(verb, " ", id, " ", data))
	}
	s.peers[id] = data
	if verb == "delete" {
		delete(s.peers, id)
	}
	return map[string]any{"success": true, "index": s.index, "data": map[string]any{"id": id}}
}

// listPeers lists what is configured: rome is established, the listener is a
// collector, and nobody answers at the others.
func (s *fakeSite) listPeers(context.Context, *transport.Call) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	peers, collectors := []any{}, []any{}
	for _, id := range slices.Sorted(maps.Keys(s.peers)) {
		p := map[string]any{
			"id": id, "configured": true, "endpoints": s.peers[id]["endpoints"], "state": "connect", "since": before(5 * time.Minute),
			"routesIn": 0, "routesOut": 0, "stale": 0, "resumes": 0, "malformed": 0, "refused": 0, "healed": 0, "restartTime": 120,
			"lastError": "dial:\nrefused \x1b[31m", "lastErrorAt": before(10 * time.Minute),
			"endpoint": s.peers[id]["endpoints"].([]any)[0],
		}
		switch id {
		case "rome":
			delete(p, "lastError")
			maps.Copy(p, fakeRome)
			peers = append(peers, p)
		case "listener":
			p["state"], p["routesOut"], p["configured"] = "established", 5, false
			delete(p, "endpoint")
			collectors = append(collectors, p)
		default:
			peers = append(peers, p)
		}
	}
	return map[string]any{"peers": peers, "collectors": collectors, "index": s.index}, nil
}

var fakeRome = map[string]any{
	"site": "roma", "state": "established", "dialled": true, "endpoint": "ws://rome-2:3000/rpc", "node": "r1", "as": 64512,
	"domains": []string{"rome.example", "it.example"}, "epoch": "e7", "term": 4, "holdTime": 15, "roundTripMs": 1.2345,
	"routesIn": 1200, "routesOut": 34, "stale": 5, "resumes": 2, "malformed": 1, "refused": 3, "healed": 6, "maxRoutes": 50000,
}

// before is an instant that stays d minutes ago for half a minute.
func before(d time.Duration) int64 { return time.Now().Add(-d - 30*time.Second).UnixMilli() }

// showRoute explains a path from here, and one by way of a peer that lost.
func (s *fakeSite) showRoute(_ context.Context, c *transport.Call) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, _ := c.Arg(0).(string)
	paths := []any{}
	if d := s.routes[id]; d != nil {
		far := fakeRoute("far", d)
		far["id"], far["best"] = id, false
		paths = append(paths,
			map[string]any{"route": fakeRoute(id, d), "why": "registered here", "sentTo": []string{"oslo", "rome"}},
			map[string]any{"route": far, "why": "its path of 2 sites is longer", "sentTo": []string{}})
	}
	return map[string]any{"id": id, "index": s.index, "paths": paths}, nil
}
