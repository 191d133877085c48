package peering

import (
	"fmt"
	"math"
	"reflect"

	"github.com/catalyst/orchestrator/fsm"
)

// Update is one item of an update, as the contract has it (section 5).
type Update struct {
	Type    string        `json:"type"` // add, remove or endOfRib
	Route   *Announcement `json:"route,omitempty"`
	ID      string        `json:"id,omitempty"`
	Site    string        `json:"site,omitempty"`
	Version uint64        `json:"version"` // of the sender's table

	// Since is set on the endOfRib of a dump that held only what had changed
	// since that version.
	Since uint64 `json:"since,omitempty"`
}

// Announcement is the route of an add.
type Announcement struct {
	ID      string      `json:"id"`
	Service fsm.Service `json:"service"`
	Site    string      `json:"site"` // its origin
	Path    []string    `json:"path"` // sites it crossed, the origin last
}

// size is about how many bytes the item takes on the wire.
func (u Update) size() int {
	const frame = 160
	if u.Route == nil {
		return frame
	}
	s := u.Route.Service
	n := frame + 2*len(s.Name) + len(s.Endpoint) + len(s.Region)
	for key, value := range s.Tags {
		n += len(key) + len(value) + 6
	}
	for _, site := range u.Route.Path {
		n += len(site) + 3
	}
	return n
}

func (u Update) key() fsm.LearnedKey {
	if u.Route != nil {
		return fsm.LearnedKey{ID: u.Route.ID, Site: u.Route.Site}
	}
	return fsm.LearnedKey{ID: u.ID, Site: u.Site}
}

const (
	add      = "add"
	remove   = "remove"
	endOfRIB = "endOfRib"
)

// item is one Update as far as it could be read.
type item struct {
	kind      string
	key       fsm.LearnedKey
	version   uint64
	since     uint64
	service   fsm.Service
	path      []string
	malformed bool
}

// readUpdates reads the argument of an update as the transport decodes it.
// What is wrong with an item makes the item malformed (RFC 7606 §2); the error
// is about the whole.
func readUpdates(v any) ([]item, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("updates is %T: send a list", v)
	}
	if len(list) > MaxUpdates {
		return nil, fmt.Errorf("updates has %d items: send at most %d at a time", len(list), MaxUpdates)
	}
	items := make([]item, len(list))
	for i, v := range list {
		items[i].malformed = !items[i].read(v)
	}
	return items, nil
}

// read takes the key first: where the rest is wrong the key is withdrawn.
func (i *item) read(v any) bool {
	o, ok := v.(map[string]any)
	if !ok {
		return false
	}
	i.kind, _ = o["type"].(string)
	body := o
	if i.kind == add {
		if body, ok = o["route"].(map[string]any); !ok {
			return false
		}
	}
	i.key.ID, _ = body["id"].(string)
	i.key.Site, _ = body["site"].(string)
	i.key.ID = fsm.NormalID(i.key.ID)
	var good bool
	if i.version, good = count(o["version"]); !good {
		return false
	}
	switch i.kind {
	case add:
		return i.key.ID != "" && i.readRoute(body)
	case remove:
		return i.key.ID != "" && i.key.Site != ""
	case endOfRIB:
		i.key.ID = ""
		i.since, good = count(o["since"])
		return good
	}
	return false
}

func (i *item) readRoute(route map[string]any) bool {
	service, ok := route["service"].(map[string]any)
	if !ok {
		return false
	}
	s := &i.service
	protocol, good := service["protocol"].(string)
	if !good || !text(service["name"], &s.Name) || !text(service["endpoint"], &s.Endpoint) || !text(service["region"], &s.Region) {
		return false
	}
	s.Protocol = fsm.Protocol(protocol)
	if tags, ok := service["tags"].(map[string]any); ok {
		s.Tags = make(map[string]string, len(tags))
		for key, v := range tags {
			if s.Tags[key], ok = v.(string); !ok {
				return false
			}
		}
	} else if !absent(service["tags"]) {
		return false
	}
	path, ok := route["path"].([]any)
	if !ok || len(path) > fsm.MaxPath {
		return false
	}
	i.path = make([]string, len(path))
	for at, v := range path {
		if i.path[at], ok = v.(string); !ok {
			return false
		}
	}
	return true
}

// text reads a string, or nothing where there is none.
func text(v any, into *string) bool {
	s, ok := v.(string)
	*into = s
	return ok || absent(v)
}

// count reads a whole number that JavaScript holds exactly, or 0 where there
// is none.
func count(v any) (uint64, bool) {
	n, ok := v.(float64)
	if !ok {
		return 0, absent(v)
	}
	return uint64(n), n == math.Trunc(n) && 0 <= n && n <= 1<<53-1
}

// absent is what was left out: null, or undefined, which the transport hands
// on as a value of an empty struct type.
func absent(v any) bool {
	if v == nil {
		return true
	}
	t := reflect.TypeOf(v)
	return t.Kind() == reflect.Struct && t.NumField() == 0
}
