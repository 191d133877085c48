package fsm

import (
	"slices"
	"strings"
)

// mutable is the node itself when this edit made it, else a copy that has
// room for one more.
func (n *node[T]) mutable(own *owner) *node[T] {
	if n.owner == own {
		return n
	}
	c := &node[T]{owner: own, items: append(make([]T, 0, len(n.items)+1), n.items...), skip: n.skip, hints: n.hints}
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
func (n *node[T]) put(own *owner, item T, key string) (added bool) {
	i, found := n.search(key)
	if found {
		n.items[i] = item
		return false
	}
	if n.kids == nil {
		n.insert(i, item)
		return true
	}
	kid := n.mutableKid(own, i)
	if len(kid.items) >= fanout {
		middle, right := kid.split(own)
		n.insert(i, middle)
		n.kids = slices.Insert(n.kids, i+1, right)
		switch c := strings.Compare(middle.key(), key); {
		case c == 0:
			n.items[i] = item
			return false
		case c < 0:
			kid = right
		}
	}
	return kid.put(own, item, key)
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
	n.index()
	right.index()
	return middle, right
}

// remove works on a mutable node that has more than the least number of
// items, or is the root, and knows that the item is below.
func (n *node[T]) remove(own *owner, key string) {
	i, found := n.search(key)
	if n.kids == nil {
		n.delete(i)
		return
	}
	if len(n.kids[i].items) <= fanout/4 {
		n.fill(own, i)
		n.remove(own, key) // the items have moved: look again
		return
	}
	kid := n.mutableKid(own, i)
	if found {
		n.replace(i, kid.removeLast(own))
		return
	}
	kid.remove(own, key)
}

func (n *node[T]) removeLast(own *owner) T {
	if n.kids == nil {
		return n.delete(len(n.items) - 1)
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
	right.insert(0, n.items[i])
	if left.kids != nil {
		last := len(left.kids) - 1
		right.kids = slices.Insert(right.kids, 0, left.kids[last])
		left.kids = slices.Delete(left.kids, last, last+1)
	}
	n.replace(i, left.delete(len(left.items)-1))
}

func (n *node[T]) shiftLeft(own *owner, i int) {
	left, right := n.mutableKid(own, i), n.mutableKid(own, i+1)
	left.insert(len(left.items), n.items[i])
	if right.kids != nil {
		left.kids = append(left.kids, right.kids[0])
		right.kids = slices.Delete(right.kids, 0, 1)
	}
	n.replace(i, right.delete(0))
}

// merge joins kids i and i+1 around the item between them.
func (n *node[T]) merge(own *owner, i int) {
	left, right := n.mutableKid(own, i), n.kids[i+1]
	left.items = append(append(left.items, n.items[i]), right.items...)
	left.kids = append(left.kids, right.kids...)
	left.index()
	n.delete(i)
	n.kids = slices.Delete(n.kids, i+1, i+2)
}

// plant builds a tree from items that are already in order.
func plant[T keyed](items []T) tree[T] {
	return tree[T]{root: grow(items), len: len(items)}
}

func grow[T keyed](items []T) *node[T] {
	if len(items) == 0 {
		return nil
	}
	const full = fanout * 3 / 4 // room for a few more before the first split
	room := full                // what a subtree of the next lower level holds
	if len(items) <= full {
		n := &node[T]{items: slices.Clone(items)}
		n.index()
		return n
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
	n.index()
	return n
}

// index finds anew what the keys have in common: of the first and the last,
// all have.
func (n *node[T]) index() {
	if len(n.items) == 0 {
		return
	}
	first, last := n.items[0].key(), n.items[len(n.items)-1].key()
	n.skip = 0
	for n.skip < min(len(first), len(last)) && first[n.skip] == last[n.skip] {
		n.skip++
	}
	for i, item := range n.items {
		n.hints[i] = hintOf(item.key(), n.skip)
	}
}

// insert puts an item at place i of a mutable node that is not full.
func (n *node[T]) insert(i int, item T) {
	n.items = slices.Insert(n.items, i, item)
	key, other := item.key(), n.items[min(1, len(n.items)-1)].key()
	if i > 0 {
		other = n.items[0].key()
	}
	if len(key) < n.skip || key[:n.skip] != other[:n.skip] || len(n.items) <= 2 {
		n.index()
		return
	}
	copy(n.hints[i+1:len(n.items)], n.hints[i:])
	n.hints[i] = hintOf(key, n.skip)
}

// replace puts another item at place i.
func (n *node[T]) replace(i int, item T) {
	n.items[i] = item
	n.index()
}

// delete takes the item at place i out; the others keep what they share.
func (n *node[T]) delete(i int) T {
	item := n.items[i]
	n.items = slices.Delete(n.items, i, i+1)
	copy(n.hints[i:], n.hints[i+1:])
	return item
}
