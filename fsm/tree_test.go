package fsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// number is an item whose keys share long beginnings, and are the beginnings
// of others.
type number int

func (n number) key() string {
	key := fmt.Sprintf("service-%05d", n/2)
	if n%2 == 1 {
		key += "\x00x"
	}
	return key
}

// check fails when the tree is not a B-tree with this content.
func check(t *testing.T, tr tree[number], want []number) {
	t.Helper()
	if got := slices.Collect(tr.all()); !slices.Equal(got, want) || tr.len != len(want) {
		t.Fatalf("holds %d items, counts %d, want %d", len(got), tr.len, len(want))
	}
	if tr.root == nil {
		return
	}
	depth := -1
	var visit func(n *node[number], level int)
	visit = func(n *node[number], level int) {
		if len(n.items) > fanout || level > 0 && len(n.items) < fanout/4 {
			t.Fatalf("a node with %d items at level %d", len(n.items), level)
		}
		if n.kids == nil {
			if depth < 0 {
				depth = level
			}
			if level != depth {
				t.Fatalf("leaves at levels %d and %d", level, depth)
			}
			return
		}
		if len(n.kids) != len(n.items)+1 {
			t.Fatalf("%d kids for %d items", len(n.kids), len(n.items))
		}
		for _, k := range n.kids {
			visit(k, level+1)
		}
	}
	visit(tr.root, 0)
}

func TestATreeHoldsWhatASortedListWould(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			var tr tree[number]
			var list []number
			for round := range 60 {
				own := new(owner)
				before, was := tr, slices.Clone(list)
				growing := round%20 < 12
				for range 200 {
					n := number(random.IntN(4000))
					at, found := slices.BinarySearch(list, n)
					if growing {
						tr.put(own, n)
						if !found {
							list = slices.Insert(list, at, n)
						}
						continue
					}
					if removed := tr.remove(own, n.key()); removed != found {
						t.Fatalf("remove %d: %t, want %t", n, removed, found)
					}
					if found {
						list = slices.Delete(list, at, at+1)
					}
				}
				check(t, tr, list)
				check(t, before, was)
				n := number(random.IntN(4000))
				at, found := slices.BinarySearch(list, n)
				if _, ok := tr.get(n.key()); ok != found {
					t.Fatalf("get %d: %t, want %t", n, ok, found)
				}
				if got := slices.Collect(tr.from(n.key())); !slices.Equal(got, list[at:]) {
					t.Fatalf("from %d: %d items, want %d", n, len(got), len(list[at:]))
				}
			}
			own := new(owner)
			for _, n := range list {
				tr.remove(own, n.key())
			}
			check(t, tr, nil)
		})
	}
}

func TestAPlantedTreeIsLikeAGrownOne(t *testing.T) {
	for _, size := range []number{0, 1, 23, 24, 25, 49, 50, 51, 600, 623, 624, 625, 626, 1249, 1250, 1251, 15_624, 15_625, 40_000} {
		list := make([]number, size)
		for i := range list {
			list[i] = number(i)
		}
		tr := plant(list)
		check(t, tr, list)
		own := new(owner)
		for i := range size {
			tr.remove(own, number(i).key())
		}
		check(t, tr, nil)
		check(t, plant(list), list)
	}
}

func TestAWalkEndsWhenToldTo(t *testing.T) {
	list := make([]number, 1000)
	for i := range list {
		list[i] = number(i)
	}
	tr := plant(list)
	for stop := range list {
		n := 0
		for i := range tr.from("") {
			if n++; int(i) == stop {
				break
			}
		}
		if n != stop+1 {
			t.Fatalf("saw %d items, want %d", n, stop+1)
		}
	}
}

func TestTreesMayBeDerivedFromOneBaseAtOnce(t *testing.T) {
	list := make([]number, 5000)
	for i := range list {
		list[i] = number(2 * i)
	}
	base := plant(list)
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			tr, own := base, new(owner)
			for i := range 2000 {
				tr.put(own, number(4*i+2*(k%2)+1))
				tr.remove(own, number(2*i).key())
			}
			if tr.len != 5000 {
				t.Errorf("%d items, want 5000", tr.len)
			}
		})
	}
	wg.Wait()
	check(t, base, list)
}

func TestASequenceIsAQueueThatRemembersItsPast(t *testing.T) {
	for _, start := range []uint64{0, 1, 511, 512, 1000} {
		s := startingAt[uint64](start)
		var past []sequence[uint64]
		for range 3000 {
			s.append(s.next * 10)
			if s.len() > 700 {
				s.drop()
			}
			past = append(past, s)
		}
		for range 650 {
			s.drop()
			past = append(past, s)
		}
		// Deriving from the past must not touch what came after.
		for _, p := range past[:3000:3000] {
			p.append(1)
		}
		for _, p := range past {
			n := p.first
			for i, item := range p.from(p.first) {
				if i != n || item != i*10 {
					t.Fatalf("item %d is %d, in place %d", i, item, n)
				}
				n++
			}
			if n != p.next {
				t.Fatalf("from %d to %d, want to %d", p.first, n, p.next)
			}
		}
		if kept := len(s.chunks); kept > 2 {
			t.Errorf("%d chunks for %d items", kept, s.len())
		}
		for s.len() > 0 {
			s.drop()
		}
		s.append(s.next * 10)
		if s.len() != 1 || s.at(s.first) != s.first*10 {
			t.Errorf("after it was empty: %d items", s.len())
		}
	}
}
