package gateway

import (
	"fmt"
	"time"
)

// Limits bound what clients and services can make the gateway do. A zero field
// takes its default.
type Limits struct {
	// BodyBytes is the longest request, and the longest message of a WebSocket
	// at /graphql. Default 1 MiB.
	BodyBytes int64
	// Tokens is how many tokens a document may have. Default 4,000.
	Tokens int
	// Depth is how deep selections may nest, fragments included. Default 32;
	// the introspection query of GraphiQL has 13.
	Depth int
	// Aliases is how many fields of an operation may have an alias, each counted
	// as often as its fragment is spread. Default 200.
	Aliases int
	// Fields is how many fields an operation may have, counted likewise. Default
	// 4,000.
	Fields int
	// ResponseBytes is the longest answer of a service, and the longest event of
	// a subscription. Default 16 MiB.
	ResponseBytes int64
	// Time is how long an operation may take that is no subscription. Default
	// 15 s.
	Time time.Duration
	// InFlight is how many requests one service gets at a time. As many again
	// may wait for their turn; the next are refused. Default 256.
	InFlight int
	// Subscriptions is how many operations may run over one WebSocket. Default
	// 100.
	Subscriptions int
	// Listeners is how many subscriptions may run at one service; the next are
	// refused. Default 1,000.
	Listeners int
	// Silence is how long a service may send nothing over a subscription that it
	// has shown to have a heartbeat: comments in server-sent events. Without a
	// heartbeat it is 30 times as long. Over a WebSocket it is asked for a sign of
	// life after an eighth of that. Default 2 min.
	Silence time.Duration
	// Plans is how many operations are kept planned. Default 1,000.
	Plans int
	// Services is how long the list of services may be. Default 1,000.
	Services int
	// SchemaBytes is the longest introspection of a service. Default 32 MiB.
	SchemaBytes int64
	// Types is how many types a service may have. Default 20,000.
	Types int
	// Probe is how long a service may take to say what it is. Default 5 s.
	Probe time.Duration
	// Patience is how long Update waits for services that it did not know.
	// Those that have not answered by then come when they do. Default 500 ms.
	Patience time.Duration
	// Refresh is after how long a service that is well is asked again what it
	// is. Default 1 min; negative never.
	Refresh time.Duration
}

func (l Limits) withDefaults() Limits {
	fill(&l.BodyBytes, 1<<20)
	fill(&l.Tokens, 4_000)
	fill(&l.Depth, 32)
	fill(&l.Aliases, 200)
	fill(&l.Fields, 4_000)
	fill(&l.ResponseBytes, 16<<20)
	fill(&l.Time, 15*time.Second)
	fill(&l.InFlight, 256)
	fill(&l.Subscriptions, 100)
	fill(&l.Listeners, 1_000)
	fill(&l.Silence, 2*time.Minute)
	fill(&l.Plans, 1_000)
	fill(&l.Services, 1_000)
	fill(&l.SchemaBytes, 32<<20)
	fill(&l.Types, 20_000)
	fill(&l.Probe, 5*time.Second)
	fill(&l.Patience, 500*time.Millisecond)
	fill(&l.Refresh, time.Minute)
	return l
}

func fill[N int | int64 | time.Duration](field *N, value N) {
	if *field == 0 {
		*field = value
	}
}

// Validate says which field cannot be meant.
func (l Limits) Validate() error {
	for name, n := range map[string]int64{
		"BodyBytes": l.BodyBytes, "Tokens": int64(l.Tokens), "Depth": int64(l.Depth), "Aliases": int64(l.Aliases),
		"Fields": int64(l.Fields), "ResponseBytes": l.ResponseBytes, "Time": int64(l.Time), "InFlight": int64(l.InFlight),
		"Subscriptions": int64(l.Subscriptions), "Listeners": int64(l.Listeners), "Silence": int64(l.Silence), "Plans": int64(l.Plans), "Services": int64(l.Services),
		"SchemaBytes": l.SchemaBytes, "Types": int64(l.Types), "Probe": int64(l.Probe), "Patience": int64(l.Patience),
	} {
		if n < 0 {
			return fmt.Errorf("limits: %s is %d: want a positive number, or 0 for the default", name, n)
		}
	}
	return nil
}
