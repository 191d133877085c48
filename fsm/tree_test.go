package fsm

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

func isInt(want int) probe[int] { return func(item int) int { return cmp.Compare(item, want) } }

// check fails when the tree is not a B-tree with this content.
func check(t *testing.T, tr tree[int], want []int) {
	t.Helper()
	if got := slices.Collect(tr.all()); !slices.Equal(got, want) || tr.len != len(want) {
		t.Fatalf("holds %d items, counts %d, want %d", len(got), tr.len, len(want))
	}
	if tr.root == nil {
		return
	}
	depth := -1
	var visit func(n *node[int], level int)
	visit = func(n *node[int], level int) {
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
			var tr tree[int]
			var list []int
			for round := range 60 {
				own := new(owner)
				before, was := tr, slices.Clone(list)
				growing := round%20 < 12
				for range 200 {
					n := random.IntN(4000)
					at, found := slices.BinarySearch(list, n)
					if growing {
						tr.put(own, n, isInt(n))
						if !found {
							list = slices.Insert(list, at, n)
						}
						continue
					}
					if removed := tr.remove(own, isInt(n)); removed != found {
						t.Fatalf("remove %d: %t, want %t", n, removed, found)
					}
					if found {
						list = slices.Delete(list, at, at+1)
					}
				}
				check(t, tr, list)
				check(t, before, was)
				n := random.IntN(4000)
				at, found := slices.BinarySearch(list, n)
				if _, ok := tr.get(isInt(n)); ok != found {
					t.Fatalf("get %d: %t, want %t", n, ok, found)
				}
				if got := slices.Collect(tr.from(isInt(n))); !slices.Equal(got, list[at:]) {
					t.Fatalf("from %d: %d items, want %d", n, len(got), len(list[at:]))
				}
			}
			own := new(owner)
			for _, n := range list {
				tr.remove(own, isInt(n))
			}
			check(t, tr, nil)
		})
	}
}

func TestAPlantedTreeIsLikeAGrownOne(t *testing.T) {
	for _, size := range []int{0, 1, 23, 24, 25, 49, 50, 51, 600, 623, 624, 625, 626, 1249, 1250, 1251, 15_624, 15_625, 40_000} {
		list := make([]int, size)
		for i := range list {
			list[i] = i
		}
		tr := plant(list)
		check(t, tr, list)
		own := new(owner)
		for i := range size {
			tr.remove(own, isInt(i))
		}
		check(t, tr, nil)
		check(t, plant(list), list)
	}
}

func TestAWalkEndsWhenToldTo(t *testing.T) {
	list := make([]int, 1000)
	for i := range list {
		list[i] = i
	}
	tr := plant(list)
	for stop := range list {
		n := 0
		for i := range tr.from(isInt(0)) {
			if n++; i == stop {
				break
			}
		}
		if n != stop+1 {
			t.Fatalf("saw %d items, want %d", n, stop+1)
		}
	}
}

func TestTreesMayBeDerivedFromOneBaseAtOnce(t *testing.T) {
	list := make([]int, 5000)
	for i := range list {
		list[i] = 2 * i
	}
	base := plant(list)
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			tr, own := base, new(owner)
			for i := range 2000 {
				tr.put(own, 4*i+2*(k%2)+1, isInt(4*i+2*(k%2)+1))
				tr.remove(own, isInt(2*i))
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
