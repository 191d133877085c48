package transport

import "fmt"

// Limits bound what a peer can make one session hold. A zero field takes its
// default.
type Limits struct {
	// MessageBytes is the longest message accepted, and the longest body of an
	// HTTP batch; longer aborts the session. A call whose arguments are longer
	// once the promises in them are resolved is rejected with code "too_large".
	// Default 4 MiB.
	MessageBytes int
	// Depth is the deepest nesting of values accepted (beyond aborts) and sent
	// (beyond fails the call). Default 256, as the reference.
	Depth int
	// BigIntDigits is the longest bigint accepted; longer aborts. Default 16384, as the reference.
	BigIntDigits int
	// Calls is how many of the peer's calls may run or wait, for their turn or
	// for what they are pipelined on, at once; the next ones reject with code
	// "overloaded". A chunk of a stream counts as a call until it is read.
	// Default 16384.
	Calls int
	// CallBytes is how many bytes of messages those calls may have come in;
	// the next ones reject with code "overloaded". Default 64 MiB.
	CallBytes int
	// Exports is how many results, targets and functions of ours the peer may
	// hold; beyond aborts. Default 131072.
	Exports int
	// HeldBytes is how much the results that the peer has not released may take
	// up, about, one of any size not counted, and what has come of Blobs; beyond
	// aborts. A longer Blob rejects with code "too_large". Default 256 MiB.
	HeldBytes int
	// Imports is how many of the peer's objects this side may hold; beyond
	// aborts. Calls of ours that wait for answers have the same bound; beyond
	// they reject with code "overloaded". Default 131072.
	Imports int
	// BufferedBytes may be unsent to a peer that reads slowly, the longest
	// message not counted; beyond aborts. Default 64 MiB.
	BufferedBytes int
	// MapCalls is how many steps the maps of one message may take: elements
	// times instructions, nested maps included. Beyond, the map rejects with
	// code "overloaded". Default 1048576.
	MapCalls int
}

func (l Limits) withDefaults() Limits {
	set := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	set(&l.MessageBytes, 4<<20)
	set(&l.Depth, 256)
	set(&l.BigIntDigits, 1<<14)
	set(&l.Calls, 1<<14)
	set(&l.CallBytes, 64<<20)
	set(&l.Exports, 1<<17)
	set(&l.HeldBytes, 256<<20)
	set(&l.Imports, 1<<17)
	set(&l.BufferedBytes, 64<<20)
	set(&l.MapCalls, 1<<20)
	return l
}

// Validate refuses negative limits; zero means the default.
func (l Limits) Validate() error {
	for _, field := range []struct {
		name  string
		value int
	}{
		{"MessageBytes", l.MessageBytes}, {"Depth", l.Depth}, {"BigIntDigits", l.BigIntDigits},
		{"Calls", l.Calls}, {"CallBytes", l.CallBytes}, {"Exports", l.Exports}, {"HeldBytes", l.HeldBytes},
		{"Imports", l.Imports}, {"BufferedBytes", l.BufferedBytes}, {"MapCalls", l.MapCalls},
	} {
		if field.value < 0 {
			return fmt.Errorf("limit %s is %d: want 0 for the default, or more", field.name, field.value)
		}
	}
	return nil
}
