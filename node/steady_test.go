package node

import (
	"testing"
	"testing/synctest"
	"time"
)

// A node that was away for long gets the log at once when it is back: its
// leader has not been waiting longer and longer between attempts.
func TestALongAbsenceCostsNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 61, "n1", "n2", "n3")
		defer w.shutdown()
		w.found([]string{"n1", "n2", "n3"}, nil)
		for _, away := range []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute} {
			id := w.leader().cfg.ID
			w.halt(id)
			time.Sleep(away)
			n := w.start(id, nil)
			begun := time.Now()
			w.eventually("it is ready", func() bool { return n.notReady() == "" })
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("after %s away it was ready in %s, want less than 2 s, of the 10 that Raft would wait", away, took)
			}
		}
	})
}
