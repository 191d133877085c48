package transport

import (
	"math"
	"time"
)

// window paces one stream: it bounds the bytes on their way that the peer has
// not acknowledged. Its size follows the stream's bandwidth-delay product, by
// the rules of the reference: doubled each round trip until that brings no
// more, then probing gently.
type window struct {
	size      float64 // bytes; 0 before the first write
	unacked   int     // bytes
	acked     int     // bytes, in all
	ackedAt   time.Time
	first     progress      // the first acknowledgement
	fastest   time.Duration // round trip
	steady    bool          // the fast start is over
	stalled   int           // rounds in a row without growth, in the fast start
	roundSize float64       // when the round began
	roundAt   time.Time
}

// progress is how far a stream was acknowledged at a moment.
type progress struct {
	acked int
	at    time.Time
}

// flight is a write on its way.
type flight struct {
	bytes int
	sent  time.Time
	then  progress
	size  float64 // of the window
	full  bool
}

const (
	firstWindow  = 256 << 10 // bytes
	widestWindow = 1 << 30
	leastWindow  = 64 << 10
	startGrowth  = 2 // a round trip
	steadyGrowth = 1.25
	decay        = 0.90
	startRounds  = 3 // without growth end the fast start
)

func (w *window) full() bool { return w.size > 0 && float64(w.unacked) >= w.size }

// sent counts a write of some bytes.
func (w *window) sent(bytes int, now time.Time) flight {
	if w.size == 0 {
		w.size = firstWindow
	}
	w.unacked += bytes
	return flight{bytes: bytes, sent: now, then: progress{w.acked, w.ackedAt}, size: w.size, full: w.full()}
}

// failed forgets a write that came to nothing.
func (w *window) failed(f flight) { w.unacked -= f.bytes }

// ack counts a write that the peer acknowledged.
func (w *window) ack(f flight, now time.Time) {
	w.unacked -= f.bytes
	w.acked += f.bytes
	w.ackedAt = now
	trip := now.Sub(f.sent)
	if w.first.at.IsZero() {
		w.first, w.fastest = progress{w.acked, now}, trip
		return // a rate needs two
	}
	w.fastest = min(w.fastest, trip)
	since := f.then
	if since.at.IsZero() {
		since = w.first
	}
	if passed := now.Sub(since.at); passed > 0 && w.fastest > 0 {
		w.resize(f, float64(w.acked-since.acked)*float64(w.fastest)/float64(passed))
	}
	w.countRound(f, now)
}

// resize moves the size towards the product, within what one round trip allows.
func (w *window) resize(f flight, product float64) {
	growth := float64(startGrowth)
	if w.steady {
		growth = steadyGrowth
	}
	size := min(product, f.size) * growth
	if f.full {
		size = max(size, f.size*decay)
	} else {
		size = max(size, w.size) // it was not what held the writer up
	}
	w.size = math.Max(leastWindow, math.Min(size, widestWindow))
}

func (w *window) countRound(f flight, now time.Time) {
	if w.steady || f.sent.Before(w.roundAt) {
		return
	}
	if w.size > w.roundSize*steadyGrowth {
		w.stalled = 0
	} else {
		w.stalled++
		w.steady = w.stalled >= startRounds
	}
	w.roundAt, w.roundSize = now, w.size
}
