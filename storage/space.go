package storage

// A node whose disk is full can answer nothing, and the last bytes are needed
// to vote and to tell what happened. It therefore stops taking in changes
// while there is some room left.
const (
	lowShare  = 20 // one in so many bytes free is low
	lowFloor  = 64 << 20
	lowCap    = 1 << 30
	tinyShare = 4 // on a disk of 64 MiB, 64 MiB would never be free
)

// lowMark is the room below which a disk is low: 5 %, at least 64 MiB and at
// most 1 GiB; of a very small disk no more than a quarter.
func lowMark(total uint64) uint64 {
	return min(max(total/lowShare, lowFloor), lowCap, total/tinyShare)
}

// Low says that a disk with free of total bytes has too little room to take
// in changes. What is not known (a total of 0) is not low.
func Low(free, total uint64) bool { return total > 0 && free < lowMark(total) }

// Watch remembers whether a disk was low: it is healthy again only with half
// as much room again as it was low with, so that a node does not turn back
// and forth.
type Watch struct{ low bool }

// Look takes in how much room there is, and says whether it is low.
func (w *Watch) Look(free, total uint64) (low bool) {
	if w.low {
		w.low = total > 0 && free < lowMark(total)+lowMark(total)/2
	} else {
		w.low = Low(free, total)
	}
	return w.low
}
