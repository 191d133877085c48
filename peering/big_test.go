package peering

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// big is a service as large as one may be.
func big(name, site string) fsm.Service {
	s := service(name, site)
	s.Endpoint += strings.Repeat("x", fsm.MaxEndpoint-len(s.Endpoint))
	s.Region = strings.Repeat("r", fsm.MaxRegion)
	s.Tags = map[string]string{}
	for i := range fsm.MaxTags {
		s.Tags[fmt.Sprintf("k%02d", i)] = strings.Repeat("v", fsm.MaxTagValue)
	}
	return s
}

func (s *site) addsBig(names ...string) {
	s.w.Helper()
	for _, name := range names {
		s.does(fsm.Put{Service: big(name, s.name)})
	}
}

// However large the services are, no update is: the transport bounds messages.
func TestUpdatesAreBoundedInBytes(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.addsBig(numbered(12)...)
		w.meet(b, a)
		w.equal(a, b)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.largest > sendBytes+100<<10 {
			w.Errorf("an update had %d bytes", w.largest)
		}
	})
}

// A few large services are told ahead of the answer to open, too.
func TestFewButLargeServicesCross(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.addsBig(numbered(45)...) // more than may be sent without an answer
		a.peers("b")
		w.later(10 * time.Second)
		a.stands("b")
		b.stands("a")
		w.equal(a, b)
	})
}

// The guess at an item's size is not far below what it takes.
func TestTheSizeOfAnItemIsNotUnderrated(t *testing.T) {
	table := founded("a")
	small, odd := service("s", "a"), service("odd", "a")
	odd.Tags = map[string]string{"quoted": strings.Repeat(`"`, 1000)}
	for _, s := range []fsm.Service{small, big("large", "a"), odd} {
		table, _ = table.Apply([]fsm.Command{{Op: fsm.Put{Service: s}}})
	}
	for r := range table.Locals() {
		u := announce(table, r, 1<<52)
		data, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		if guess := u.size(); len(data) > 2*guess || r.Service.Name != "odd" && (len(data) > guess || guess > len(data)+200) {
			t.Errorf("%s takes %d bytes, and was taken for %d", r.Service.Name, len(data), guess)
		}
	}
}
