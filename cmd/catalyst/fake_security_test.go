package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// soon is an instant that stays a day away for half a minute.
func soon() int64 { return time.Now().Add(24*time.Hour + 30*time.Second).UnixMilli() }

// init founds a site, unless the node is in one.
func (n *fakeNode) init(_ context.Context, c *transport.Call) (any, error) {
	var f founding
	if err := c.Decode(0, &f); err != nil {
		return nil, err
	}
	n.site.mu.Lock()
	defer n.site.mu.Unlock()
	if f.Site == "taken" {
		return refusedAs("conflict", n.name+" belongs to site \"paris\" already: to found another, stop it and start it with an empty --data-dir"), nil
	}
	n.site.applied = append(n.site.applied, fmt.Sprintf("init %s %d %v %d %d", f.Site, f.AS, f.Hosts, f.JoinUses, f.JoinTTL))
	return map[string]any{"success": true, "index": 6, "data": map[string]any{
		"id": n.name, "site": f.Site, "siteId": "5f0c-11", "fingerprint": "sha256:7f83", "adminToken": "cat_ADMIN", "joinToken": "catjoin_JOIN",
		"join": "catalyst join 10.0.0.1:3000 --token catjoin_JOIN", "address": "10.0.0.1:3000", "expiresAt": soon(), "uses": 10, "caFile": "/data/ca.pem",
	}}, nil
}

// join takes a node in; the host of the address says how it goes.
func (n *fakeNode) join(ctx context.Context, c *transport.Call) (any, error) {
	var options struct {
		Token string `json:"token"`
	}
	if err := c.Decode(1, &options); err != nil {
		return nil, err
	}
	if options.Token == "" {
		return map[string]any{"success": true, "data": map[string]any{"id": n.name, "site": "paris"}}, nil
	}
	told, err := c.Stub(2)
	if err != nil {
		return nil, err
	}
	told = told.Dup()
	defer told.Release()
	transport.Concurrent(ctx)
	host, _, _ := strings.Cut(fmt.Sprint(c.Arg(0)), ":")
	if host == "refuses" {
		return refusedAs("forbidden", "token: the join token k7q2mzxa is used up: `catalyst token create --role join` at the site makes a new one"), nil
	}
	if host == "silent" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := n.tellOfJoin(ctx, told, host); err != nil {
		return nil, err
	}
	data := map[string]any{"id": n.name, "site": "paris", "role": "voter", "voters": 2, "tolerates": 0}
	switch host {
	case "full":
		data["role"], data["voters"], data["tolerates"] = "nonvoter", 5, 2
	case "standstill":
		return nil, rejection("unavailable", n.name+" is a member of site paris and goes on catching up by itself, but: nothing has come from the leader for 30s")
	}
	return map[string]any{"success": true, "index": 9, "data": data}, nil
}

func (n *fakeNode) tellOfJoin(ctx context.Context, told *transport.Stub, host string) error {
	events := []map[string]any{
		{"phase": "verified", "fingerprint": "sha256:7f83", "elapsedMs": 12}, {"phase": "certified", "elapsedMs": 20}, {"phase": "nonvoter", "elapsedMs": 300},
	}
	for _, part := range []int{0, 1_500_000, 1_600_000, 3_100_000, 29_000_000, 30_000_000} {
		events = append(events, map[string]any{"phase": "catching_up", "bytes": part, "total": 30_000_000})
	}
	if host == "small" {
		events = append(events[:3], map[string]any{"phase": "catching_up", "entries": 1, "totalEntries": 1})
	}
	if host != "full" {
		events = append(events, map[string]any{"phase": "voter", "elapsedMs": 900})
	}
	for _, e := range events {
		if err := deliver(ctx, told, e); err != nil {
			return err
		}
	}
	return nil
}

// leave answers as decideMember does.
func (n *fakeNode) leave(_ context.Context, c *transport.Call) (any, error) {
	var asked map[string]any
	if err := c.Decode(0, &asked); err != nil {
		return nil, err
	}
	return changed(n.name, asked), nil
}

func changed(id string, asked map[string]any) map[string]any {
	data := map[string]any{"id": id, "voters": 3, "tolerates": 1, "before": map[string]any{"voters": 4, "tolerates": 1}}
	if asked["dryRun"] == true {
		data["dryRun"] = true
	}
	return map[string]any{"success": true, "index": 9, "data": data}
}

// decideMember lets c go, and others only by force.
func (s *fakeSite) decideMember(data map[string]any) map[string]any {
	if id := data["id"]; id != "c" && data["force"] != true {
		return refusedAs("conflict", fmt.Sprintf("id: without %v 1 of 2 voters would be alive: the site would lose its quorum", id))
	}
	return changed(fmt.Sprint(data["id"]), data)
}

// decideToken makes tokens whose text is their role.
func (s *fakeSite) decideToken(verb string, data map[string]any) map[string]any {
	if verb == "revoke" {
		if data["id"] == "last" && data["force"] != true {
			return refusedAs("conflict", "id: last is the last admin token; --force revokes it all the same")
		}
		if data["id"] == "nobody" {
			return refusedAs("not_found", "id: there is no token \"nobody\"")
		}
		s.index++
		s.applied = append(s.applied, fmt.Sprint("revoke ", data["id"]))
		return map[string]any{"success": true, "index": s.index, "data": map[string]any{"id": data["id"]}}
	}
	s.index++
	s.applied = append(s.applied, fmt.Sprint("token ", data))
	answer := map[string]any{"id": "k7q2mzxa", "role": data["role"], "token": fmt.Sprint("cat_", data["role"])}
	if data["ttl"] != nil {
		answer["expiresAt"] = soon()
	}
	switch {
	case data["role"] == "join":
		answer["join"] = "catalyst join 10.0.0.1:3000 --token cat_join"
	case data["description"] == "lost":
		delete(answer, "token")
	}
	return map[string]any{"success": true, "index": s.index, "data": answer}
}

func (s *fakeSite) decideKeys() map[string]any {
	s.index++
	return map[string]any{"success": true, "index": s.index, "data": map[string]any{"id": "9c1e", "steps": []string{"3 nodes know the new key", "the old one is forgotten"}}}
}

func listTokens(context.Context, *transport.Call) (any, error) {
	made := before(5 * time.Hour)
	return map[string]any{"index": 9, "tokens": []any{
		map[string]any{"id": "aaaaaaaa", "role": "admin", "description": "of init", "createdAt": made, "createdBy": "init", "createdIndex": 4, "expiresAt": 0, "uses": 0},
		map[string]any{"id": "bbbbbbbb", "role": "peer", "site": "oslo", "description": "for\noslo", "createdAt": made, "createdBy": "token aaaaaaaa", "createdIndex": 5, "expiresAt": before(time.Hour), "uses": 0},
		map[string]any{"id": "cccccccc", "role": "join", "description": "", "createdAt": made, "createdBy": "init", "createdIndex": 6, "expiresAt": soon(), "uses": 3},
	}}, nil
}

var fakeAudit = []any{
	map[string]any{"index": 12, "at": 1_790_000_060_000, "by": "token aaaaaaaa", "action": "token/create", "id": "bbbbbbbb", "detail": "peer"},
	map[string]any{"index": 11, "at": 1_790_000_000_000, "by": "admin\x1b[31m", "action": "dataChannel/create", "id": "books:http"},
}

func listKeys(context.Context, *transport.Call) (any, error) {
	return map[string]any{
		"fingerprint": "sha256:7f83", "keys": []any{map[string]any{"id": "9c1e", "primary": true}, map[string]any{"id": "01ab", "primary": false}},
		"certificates": []any{map[string]any{"id": "a", "expiresAt": 4102444800000}, map[string]any{"id": "b", "expiresAt": 1000}},
	}, nil
}

func (s *fakeSite) listAudit(_ context.Context, c *transport.Call) (any, error) {
	var q struct {
		Limit  int `json:"limit"`
		Before int `json:"before"`
	}
	if err := c.Decode(0, &q); err != nil {
		return nil, err
	}
	entries := fakeAudit
	if q.Before != 0 {
		entries = nil
	}
	more := len(entries) > q.Limit
	return map[string]any{"entries": append([]any{}, entries[:min(q.Limit, len(entries))]...), "index": 12, "more": more}, nil
}

// snapshot streams what the site was told to hold; a ! in it is where it breaks.
func (s *fakeSite) snapshot(context.Context, *transport.Call) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := strings.SplitAfter(s.backup, " ")
	return transport.NewReadable(func(context.Context) (any, error) {
		if len(parts) == 0 {
			return nil, io.EOF
		}
		part := parts[0]
		parts = parts[1:]
		if part == "!" {
			return nil, rejection("internal", "read the table:\nno more of it")
		}
		return []byte(part), nil
	}, nil), nil
}

// restore takes what begins as a snapshot of paris.
func (s *fakeSite) restore(_ context.Context, c *transport.Call) (any, error) {
	stream, ok := c.Arg(0).(*transport.Readable)
	if !ok {
		return nil, errors.New("no stream")
	}
	data, err := io.ReadAll(stream)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(string(data), "rome") {
		return refusedAs("conflict", "the snapshot is of site rome, this is site paris: restore it there"), nil
	}
	s.index = 5000
	s.applied = append(s.applied, fmt.Sprintf("restore %d bytes", len(data)))
	return map[string]any{"success": true, "index": 5000, "data": map[string]any{"id": "5f0c", "version": 5000, "routes": 1200, "peers": 2, "epoch": "e2"}}, nil
}

// diagnose has found what the site was told, with a clock that is skewed.
func (n *fakeNode) diagnose(context.Context, *transport.Call) (any, error) {
	n.site.mu.Lock()
	defer n.site.mu.Unlock()
	checks := []any{map[string]any{"name": "quorum", "state": "ok", "detail": "3 voters, tolerates 1 failure"}}
	if n.site.ill {
		checks = append(checks,
			map[string]any{"name": "disk", "state": "warn", "detail": "7 % free", "remedy": "make room in /data"},
			map[string]any{"name": "member c", "state": "fail", "detail": "has been away\nfor 2 h", "remedy": "start it, or catalyst member remove c"})
	}
	return map[string]any{"node": n.name, "now": time.Now().Add(n.site.skew).UnixMilli(), "checks": checks}, nil
}
