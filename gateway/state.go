package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// kept is the state file: everything that a schema follows from.
type kept struct {
	Version  int           `json:"version"`
	Fence    *Fence        `json:"fence,omitempty"`
	Services []keptService `json:"services"` // oldest first
}

type keptService struct {
	Service
	Introspection json.RawMessage      `json:"introspection,omitempty"`
	Types         map[string]string    `json:"types,omitempty"` // renamed ones
	Fields        [3]map[string]string `json:"fields"`          // likewise, by operation
}

const keptVersion = 1

// restore takes in the state file. One that is damaged is no reason not to
// serve: the leader, or whoever else has the list, sends it again.
func (g *Gateway) restore() error {
	if g.cfg.StatePath == "" {
		return nil
	}
	text, err := os.ReadFile(g.cfg.StatePath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("read the gateway's state: %w", err)
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil || k.Version != keptVersion {
		g.log.Warn("the gateway's state file cannot be used; the gateway begins without services and waits for a list",
			"file", g.cfg.StatePath, "version", k.Version, "err", err)
		return nil
	}
	g.fence = k.Fence
	for _, s := range k.Services {
		g.members = append(g.members, g.restoreService(s))
	}
	return nil
}

func (g *Gateway) restoreService(s keptService) *member {
	m := &member{service: g.newService(s.Service), since: time.Now()}
	if len(s.Introspection) == 0 {
		return m
	}
	is, err := describe(s.Introspection, g.cfg.Limits.Types)
	if err != nil {
		g.log.Warn("a service in the gateway's state file cannot be used; it is asked again what it is",
			"file", g.cfg.StatePath, "service", s.Name, "err", err)
		return m
	}
	m.is = is
	m.was = &naming{of: is, types: s.Types, fields: s.Fields}
	return m
}

// keep writes the state file whenever something has changed, until ctx ends,
// and then once more. A disk that hangs holds up nothing else.
func (g *Gateway) keep(ctx context.Context) {
	if g.cfg.StatePath == "" {
		return
	}
	for ctx.Err() == nil {
		changed := g.save()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	g.save()
}

// save writes the state file if it must, and returns what closes when it may
// have to be written again.
func (g *Gateway) save() <-chan struct{} {
	g.mu.Lock()
	changed := g.changed
	if !g.unsaved {
		g.mu.Unlock()
		return changed
	}
	k := g.kept()
	g.unsaved = false
	g.mu.Unlock()
	if err := writeState(g.cfg.StatePath, k); err != nil {
		g.log.Error("the gateway's state was not kept; after a restart it may serve an older list", "file", g.cfg.StatePath, "err", err)
	}
	return changed
}

// kept is called with mu held.
func (g *Gateway) kept() kept {
	k := kept{Version: keptVersion, Fence: g.fence, Services: []keptService{}}
	for _, m := range g.members {
		s := keptService{Service: m.service.Service}
		if m.is != nil {
			s.Introspection = m.is.text
		}
		if m.was != nil {
			s.Types, s.Fields = m.was.types, m.was.fields
		}
		k.Services = append(k.Services, s)
	}
	return k
}

// writeState replaces the file at once: who reads it sees all of it or all of
// the one before.
func writeState(path string, k kept) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // an introspection must come back as it was
	if err := e.Encode(k); err != nil {
		return err
	}
	next := path + ".new"
	_ = os.Remove(next) // of a gateway that was killed while it wrote
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(next)
	_, err = f.Write(text.Bytes())
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(next, path)
}
