package fsm

import (
	"iter"
	"slices"
)

// fanout is the most items a node holds. Every derived table copies one node
// a level, so wide nodes cost copying and narrow ones cost depth; 32 measured
// best at a million routes.
const fanout = 32

// tree is a persistent B-tree: a value that never changes once its edit has
// ended. Writing copies the nodes on the way and shares the rest, so readers
// of the older tree need no lock, and any number of trees may be derived from
// one base, also at the same time. The zero value is empty.
//
// The order lives with the caller: every call brings a probe, and all probes
// of one tree must agree.
type tree[T any] struct {
	root *node[T]
	len  int
}

// probe tells where an item stands relative to what is looked for: negative
// when the item sorts before it, 0 when it is the one.
type probe[T any] func(item T) int

// owner marks the nodes that one edit created and may therefore change in
// place. It must have a size: pointers to distinct empty values may be equal.
type owner struct{ _ byte }

type node[T any] struct {
	owner *owner
	items []T
	kids  []*node[T] // nil in a leaf, else one more than items
}

func (t tree[T]) get(at probe[T]) (T, bool) {
	for n := t.root; n != nil; {
		i, found := n.search(at)
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

// from walks in order, beginning with the first item that is not before the
// probe.
func (t tree[T]) from(at probe[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		if t.root != nil {
			t.root.ascend(at, yield)
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

// put adds the item or replaces the one that the probe finds.
func (t *tree[T]) put(own *owner, item T, at probe[T]) {
	if t.root == nil {
		t.root = &node[T]{owner: own, items: []T{item}}
		t.len = 1
		return
	}
	t.root = t.root.mutable(own)
	if len(t.root.items) >= fanout {
		left := t.root
		middle, right := left.split(own)
		t.root = &node[T]{owner: own, items: []T{middle}, kids: []*node[T]{left, right}}
	}
	if t.root.put(own, item, at) {
		t.len++
	}
}

// remove takes out the item that the probe finds and tells whether there was
// one.
func (t *tree[T]) remove(own *owner, at probe[T]) bool {
	if _, found := t.get(at); !found {
		return false
	}
	t.root = t.root.mutable(own)
	t.root.remove(own, at)
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

func (n *node[T]) search(at probe[T]) (int, bool) {
	low, high := 0, len(n.items)
	for low < high {
		middle := int(uint(low+high) >> 1)
		switch c := at(n.items[middle]); {
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

func (n *node[T]) ascend(at probe[T], yield func(T) bool) bool {
	i, found := n.search(at)
	if n.kids != nil && !found && !n.kids[i].ascend(at, yield) {
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

// mutable is the node itself when this edit made it, else a copy that has
// room for one more.
func (n *node[T]) mutable(own *owner) *node[T] {
	if n.owner == own {
		return n
	}
	c := &node[T]{owner: own, items: append(make([]T, 0, len(n.items)+1), n.items...)}
	if n.kids != nil {
		c.kids = append(make([]*node[T], 0, len(n.kids)+1), n.kids...)
	}
	return c
}

func (n *node[T]) mutableKid(own *owner, i int) *node[T] {
	n.kids[i] = n.kids[i].mutable(own)
	return n.kids[i]
}

// put works on a mutable node that is not full; full ones are split on the
// way down so that no split ever travels back up.
func (n *node[T]) put(own *owner, item T, at probe[T]) (added bool) {
	i, found := n.search(at)
	if found {
		n.items[i] = item
		return false
	}
	if n.kids == nil {
		n.items = slices.Insert(n.items, i, item)
		return true
	}
	kid := n.mutableKid(own, i)
	if len(kid.items) >= fanout {
		middle, right := kid.split(own)
		n.items = slices.Insert(n.items, i, middle)
		n.kids = slices.Insert(n.kids, i+1, right)
		switch c := at(middle); {
		case c == 0:
			n.items[i] = item
			return false
		case c < 0:
			kid = right
		}
	}
	return kid.put(own, item, at)
}

// split leaves the left half in n.
func (n *node[T]) split(own *owner) (middle T, right *node[T]) {
	i := len(n.items) / 2
	middle = n.items[i]
	right = &node[T]{owner: own, items: slices.Clone(n.items[i+1:])}
	n.items = slices.Clone(n.items[:i])
	if n.kids != nil {
		right.kids = slices.Clone(n.kids[i+1:])
		n.kids = slices.Clone(n.kids[:i+1])
	}
	return middle, right
}

// remove works on a mutable node that has more than the least number of
// items, or is the root, and knows that the item is below.
func (n *node[T]) remove(own *owner, at probe[T]) {
	i, found := n.search(at)
	if n.kids == nil {
		n.items = slices.Delete(n.items, i, i+1)
		return
	}
	if len(n.kids[i].items) <= fanout/4 {
		n.fill(own, i)
		n.remove(own, at) // the items have moved: look again
		return
	}
	kid := n.mutableKid(own, i)
	if found {
		n.items[i] = kid.removeLast(own)
		return
	}
	kid.remove(own, at)
}

func (n *node[T]) removeLast(own *owner) T {
	if n.kids == nil {
		last := len(n.items) - 1
		item := n.items[last]
		n.items = slices.Delete(n.items, last, last+1)
		return item
	}
	i := len(n.kids) - 1
	if len(n.kids[i].items) <= fanout/4 {
		n.fill(own, i)
		return n.removeLast(own)
	}
	return n.mutableKid(own, i).removeLast(own)
}

// fill gives kid i more items: one from a neighbour that can spare it, else
// by merging the two.
func (n *node[T]) fill(own *owner, i int) {
	switch {
	case i > 0 && len(n.kids[i-1].items) > fanout/4:
		n.shiftRight(own, i-1)
	case i < len(n.items) && len(n.kids[i+1].items) > fanout/4:
		n.shiftLeft(own, i)
	case i < len(n.items):
		n.merge(own, i)
	default:
		n.merge(own, i-1)
	}
}

func (n *node[T]) shiftRight(own *owner, i int) {
	left, right := n.mutableKid(own, i), n.mutableKid(own, i+1)
	last := len(left.items) - 1
	right.items = slices.Insert(right.items, 0, n.items[i])
	n.items[i] = left.items[last]
	left.items = slices.Delete(left.items, last, last+1)
	if left.kids != nil {
		right.kids = slices.Insert(right.kids, 0, left.kids[last+1])
		left.kids = slices.Delete(left.kids, last+1, last+2)
	}
}

func (n *node[T]) shiftLeft(own *owner, i int) {
	left, right := n.mutableKid(own, i), n.mutableKid(own, i+1)
	left.items = append(left.items, n.items[i])
	n.items[i] = right.items[0]
	right.items = slices.Delete(right.items, 0, 1)
	if right.kids != nil {
		left.kids = append(left.kids, right.kids[0])
		right.kids = slices.Delete(right.kids, 0, 1)
	}
}

// merge joins kids i and i+1 around the item between them.
func (n *node[T]) merge(own *owner, i int) {
	left, right := n.mutableKid(own, i), n.kids[i+1]
	left.items = append(append(left.items, n.items[i]), right.items...)
	left.kids = append(left.kids, right.kids...)
	n.items = slices.Delete(n.items, i, i+1)
	n.kids = slices.Delete(n.kids, i+1, i+2)
}

// plant builds a tree from items that are already in order.
func plant[T any](items []T) tree[T] {
	return tree[T]{root: grow(items), len: len(items)}
}

func grow[T any](items []T) *node[T] {
	if len(items) == 0 {
		return nil
	}
	const full = fanout * 3 / 4 // room for a few more before the first split
	room := full                // what a subtree of the next lower level holds
	if len(items) <= full {
		return &node[T]{items: slices.Clone(items)}
	}
	for (full+1)*room+full < len(items) {
		room = (full+1)*room + full
	}
	kids := (len(items) + room + 1) / (room + 1) // ceil((n+1)/(room+1))
	n := &node[T]{}
	for k := range kids {
		// Spread evenly: the n-(kids-1) items of the kids, by k.
		below := len(items) - (kids - 1 - k) // without the separators still to come
		size := below / (kids - k)
		n.kids = append(n.kids, grow(items[:size]))
		items = items[size:]
		if k < kids-1 {
			n.items = append(n.items, items[0])
			items = items[1:]
		}
	}
	return n
}
