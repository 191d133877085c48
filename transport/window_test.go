package transport

import (
	"testing"
	"time"
)

// link is a model of a connection and a writer who always has more to write:
// bytes leave at a rate and are acknowledged a round trip later.
type link struct {
	window window
	now    time.Time
	busy   time.Time // the link sends until then
	flying []landing
}

type landing struct {
	f  flight
	at time.Time
}

// run writes chunks of some bytes for a time.
func (l *link) run(t *testing.T, duration time.Duration, rate float64, trip time.Duration, chunk int) {
	t.Helper()
	for end := l.now.Add(duration); l.now.Before(end); {
		for !l.window.full() {
			if l.busy.Before(l.now) {
				l.busy = l.now
			}
			l.busy = l.busy.Add(time.Duration(float64(chunk) / rate * float64(time.Second)))
			l.flying = append(l.flying, landing{l.window.sent(chunk, l.now), l.busy.Add(trip)})
		}
		next := l.flying[0]
		l.flying = l.flying[1:]
		if next.at.After(l.now) {
			l.now = next.at
		}
		l.window.ack(next.f, l.now)
		if l.window.size < leastWindow || l.window.size > widestWindow {
			t.Fatalf("the window is %v bytes", l.window.size)
		}
	}
}

// TestAWindowFindsTheProduct has links whose bandwidth-delay product lies
// between the bounds, and beyond them.
func TestAWindowFindsTheProduct(t *testing.T) {
	for _, c := range []struct {
		name string
		rate float64 // bytes a second
		trip time.Duration
	}{
		{"1 MB/s, 100 ms", 1e6, 100 * time.Millisecond},
		{"10 MB/s, 50 ms", 10e6, 50 * time.Millisecond},
		{"100 MB/s, 100 ms", 100e6, 100 * time.Millisecond},
		{"100 MB/s, 10 ms", 100e6, 10 * time.Millisecond},
		{"1 MB/s, 1 ms", 1e6, time.Millisecond},
		{"10 GB/s, 1 s", 10e9, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &link{now: time.Unix(1, 0)}
			chunk := chunkBytes
			if c.rate > 1e9 {
				chunk = 4 << 20
			}
			l.run(t, 200*c.trip, c.rate, c.trip, chunk)
			before, start := l.window.acked, l.now
			l.run(t, 100*c.trip, c.rate, c.trip, chunk)
			reached := float64(l.window.acked-before) / l.now.Sub(start).Seconds()
			possible := min(c.rate, widestWindow/c.trip.Seconds())
			t.Logf("window %.0f bytes, product %.0f; %.0f bytes/s of %.0f", l.window.size, c.rate*c.trip.Seconds(), reached, possible)
			if reached < 0.8*possible {
				t.Errorf("reached %.0f bytes/s of %.0f", reached, possible)
			}
		})
	}
}

func TestAWindowShrinksWithItsLink(t *testing.T) {
	l := &link{now: time.Unix(1, 0)}
	const trip = 100 * time.Millisecond
	l.run(t, 100*trip, 50e6, trip, chunkBytes)
	wide := l.window.size
	l.run(t, 1000*trip, 1e6, trip, chunkBytes)
	if l.window.size > wide/4 {
		t.Errorf("the window went from %.0f to %.0f bytes on a link of a fiftieth of the bandwidth", wide, l.window.size)
	}
}

// TestAWindowNeverBlocksForGood has round trips of no time, and writes that fail.
func TestAWindowNeverBlocksForGood(t *testing.T) {
	var w window
	now := time.Unix(1, 0)
	for range 10_000 {
		w.ack(w.sent(chunkBytes, now), now)
	}
	for range 100 {
		var flights []flight
		for !w.full() {
			flights = append(flights, w.sent(chunkBytes, now))
		}
		for _, f := range flights {
			w.failed(f)
		}
		if w.full() || w.unacked != 0 || w.size < leastWindow {
			t.Fatalf("%d bytes are on their way, in a window of %.0f", w.unacked, w.size)
		}
	}
	w.sent(10<<20, now) // longer than the window
	if !w.full() {
		t.Error("a long write does not fill the window")
	}
}
