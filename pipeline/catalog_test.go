package pipeline

import (
	"fmt"
	"testing"

	"github.com/catalyst/orchestrator/fsm"
)

// One more service, where there are n: what the leader does before it pushes.
func BenchmarkCatalogRefresh(b *testing.B) {
	for _, n := range []int{1000, 10000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			t, _ := new(fsm.Table).Apply([]fsm.Command{{Op: fsm.Found{Site: "paris", Epoch: "1"}}})
			put := func(i int) {
				name := fmt.Sprintf("s%07d", i)
				t, _ = t.Apply([]fsm.Command{{Op: fsm.Put{Service: fsm.Service{Name: name, Endpoint: endpoint(name), Protocol: fsm.HTTPGraphQL}}}})
			}
			for i := range n {
				put(i)
			}
			var c catalog
			c.refresh(t)
			for i := n; b.Loop(); i++ {
				b.StopTimer()
				put(i)
				b.StartTimer()
				c.refresh(t)
			}
		})
	}
}
