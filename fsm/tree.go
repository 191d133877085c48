package fsm

import (
	"iter"
	"strings"
)

// fanout is the most items a node holds. Every derived table copies one node
// a level, so wide nodes cost copying and narrow ones cost depth.
const fanout = 32

// keyed is what a tree holds: an item with the text that orders it.
type keyed interface{ key() string }

// tree is a persistent B-tree: a value that never changes once its edit has
// ended. Writing copies the nodes on the way and shares the rest, so readers
// of the older tree need no lock, and any number of trees may be derived from
// one base, also at the same time. The zero value is empty.
type tree[T keyed] struct {
	root *node[T]
	len  int
}

// owner marks the nodes that one edit created and may therefore change in
// place. It must have a size: pointers to distinct empty values may be equal.
type owner struct{ _ byte }

// node keeps next to its items what tells most keys apart: behind the first
// skip bytes, which all its keys have in common, the next four of each. In a
// large table every key that is looked at is a cache miss; this way a search
// looks at about one a node.
type node[T keyed] struct {
	owner *owner
	items []T
	kids  []*node[T] // nil in a leaf, else one more than items
	skip  int
	hints [fanout]uint32
}

func (t tree[T]) get(key string) (T, bool) {
	for n := t.root; n != nil; {
		i, found := n.search(key)
		if found {
			return n.items[i], true
		}
		if n.kids == nil {
			break
		}
		n = n.kids[i]
	}
	var none T
	return none, false
}

// from walks in order, beginning with the first key that is not before key.
func (t tree[T]) from(key string) iter.Seq[T] {
	return func(yield func(T) bool) {
		if t.root != nil {
			t.root.ascend(key, yield)
		}
	}
}

func (t tree[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		if t.root != nil {
			t.root.walk(yield)
		}
	}
}

// put adds the item or replaces the one of the same key.
func (t *tree[T]) put(own *owner, item T) {
	if t.root == nil {
		t.root = &node[T]{owner: own}
		t.root.insert(0, item)
		t.len = 1
		return
	}
	t.root = t.root.mutable(own)
	if len(t.root.items) >= fanout {
		left := t.root
		middle, right := left.split(own)
		t.root = &node[T]{owner: own, kids: []*node[T]{left, right}}
		t.root.insert(0, middle)
	}
	if t.root.put(own, item, item.key()) {
		t.len++
	}
}

// remove takes out the item of a key and tells whether there was one.
func (t *tree[T]) remove(own *owner, key string) bool {
	if _, found := t.get(key); !found {
		return false
	}
	t.root = t.root.mutable(own)
	t.root.remove(own, key)
	if len(t.root.items) == 0 {
		if t.root.kids == nil {
			t.root = nil
		} else {
			t.root = t.root.kids[0]
		}
	}
	t.len--
	return true
}

// search returns the place of a key, or where it would be.
func (n *node[T]) search(key string) (int, bool) {
	count := len(n.items)
	if count == 0 {
		return 0, false
	}
	hint, low := hintOf(key, n.skip), 0
	for low < count && n.hints[low] < hint {
		low++
	}
	// The keys share their first bytes, but this one may not.
	other := n.items[min(low, count-1)].key()
	if len(key) < n.skip || key[:n.skip] != other[:n.skip] {
		if key < other {
			return 0, false
		}
		return count, false
	}
	high := low
	for high < count && n.hints[high] == hint {
		high++
	}
	for low < high {
		middle := int(uint(low+high) >> 1)
		switch c := strings.Compare(n.items[middle].key(), key); {
		case c < 0:
			low = middle + 1
		case c == 0:
			return middle, true
		default:
			high = middle
		}
	}
	return low, false
}

// hintOf are the four bytes of a key behind the first skip, zeros where it
// has ended: hints never contradict the order of the keys.
func hintOf(key string, skip int) (hint uint32) {
	if skip+4 <= len(key) {
		return uint32(key[skip])<<24 | uint32(key[skip+1])<<16 | uint32(key[skip+2])<<8 | uint32(key[skip+3])
	}
	for i := skip; i < skip+4; i++ {
		hint <<= 8
		if i < len(key) {
			hint |= uint32(key[i])
		}
	}
	return hint
}

func (n *node[T]) ascend(key string, yield func(T) bool) bool {
	i, found := n.search(key)
	if n.kids != nil && !found && !n.kids[i].ascend(key, yield) {
		return false
	}
	return n.walkFrom(i, yield)
}

func (n *node[T]) walk(yield func(T) bool) bool {
	if n.kids != nil && !n.kids[0].walk(yield) {
		return false
	}
	return n.walkFrom(0, yield)
}

// walkFrom yields item i, all that lies right of it, and so on.
func (n *node[T]) walkFrom(i int, yield func(T) bool) bool {
	for ; i < len(n.items); i++ {
		if !yield(n.items[i]) {
			return false
		}
		if n.kids != nil && !n.kids[i+1].walk(yield) {
			return false
		}
	}
	return true
}
