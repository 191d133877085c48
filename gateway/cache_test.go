package gateway

import (
	"fmt"
	"strings"
	"testing"
)

func TestKeptPlansAreFewAndShort(t *testing.T) {
	c := newPlanCache(100)
	key := func(i, size int) []byte { return fmt.Appendf(nil, "%d%s", i, strings.Repeat(" ", size)) }
	for i := range 1000 {
		c.put(key(i, 10), &plan{})
		c.get(key(0, 10)) // in use all the time
	}
	if len(c.plans) != 100 || c.get(key(0, 10)) == nil || c.get(key(1, 10)) != nil || c.get(key(999, 10)) == nil {
		t.Errorf("%d plans are kept, want the 100 used last", len(c.plans))
	}
	for i := range 1000 {
		c.put(key(i, 30<<10), &plan{})
	}
	if want := cachedBytes / (30 << 10); len(c.plans) > want || len(c.plans) < want/2 || c.order.Len() != len(c.plans) {
		t.Errorf("%d plans of long requests are kept, want about %d", len(c.plans), want)
	}
	c.put(key(7, cachedKey), &plan{})
	if c.get(key(7, cachedKey)) != nil {
		t.Error("the plan of a request that is too long is kept")
	}
}
