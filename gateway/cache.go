package gateway

import (
	"container/list"
	"sync"
)

// planCache keeps the plans that were used last, by the text of their requests.
type planCache struct {
	most int

	mu    sync.Mutex
	order list.List // of *cached, the last used first
	bytes int       // of their keys
	plans map[string]*list.Element
}

type cached struct {
	key  string
	plan *plan
}

// cachedKey is the longest key kept: what is longer is planned each time, so
// that a few clients cannot fill the memory.
const cachedKey = 32 << 10

// cachedBytes is how long all keys are at most, together: a plan may take forty
// times as much as its request.
const cachedBytes = 1 << 20

func newPlanCache(most int) *planCache {
	return &planCache{most: most, plans: map[string]*list.Element{}}
}

// appendKey makes the key of a request: the name cannot hold a zero byte.
func (r request) appendKey(key []byte) []byte {
	key = append(key, r.name...)
	key = append(key, 0)
	return append(key, r.query...)
}

func (c *planCache) get(key []byte) *plan {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.plans[string(key)]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).plan
}

func (c *planCache) put(key []byte, p *plan) {
	if len(key) > cachedKey {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.plans[string(key)] != nil {
		return
	}
	k := string(key)
	c.plans[k] = c.order.PushFront(&cached{k, p})
	c.bytes += len(k)
	for c.order.Len() > c.most || c.bytes > cachedBytes {
		last := c.order.Remove(c.order.Back()).(*cached)
		c.bytes -= len(last.key)
		delete(c.plans, last.key)
	}
}

// planFor is the plan of a request with this key, kept or new. The error is a
// *refused.
func (s *Schema) planFor(r request, key []byte) (*plan, error) {
	if p := s.plans.get(key); p != nil {
		return p, nil
	}
	p, err := s.plan(string(unescape(r.query)), string(unescape(r.name)))
	if err != nil {
		return nil, err
	}
	s.plans.put(key, p)
	return p, nil
}
