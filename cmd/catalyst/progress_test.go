package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// TestAJoinOnATerminalIsOneLineThatChanges until something is said that stays.
func TestAJoinOnATerminalIsOneLineThatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen bytes.Buffer
		p := &progress{out: &screen, terminal: true}
		p.joining(joinEvent{Phase: "nonvoter"})
		p.joining(joinEvent{Phase: "catching_up", Bytes: 1_000_000, Total: 30_000_000})
		time.Sleep(2 * time.Second)
		p.joining(joinEvent{Phase: "catching_up", Bytes: 16_000_000, Total: 30_000_000})
		p.joining(joinEvent{Phase: "catching_up", Bytes: 31_000_000, Total: 30_000_000})
		p.joining(joinEvent{Phase: "catching_up", Bytes: 30_000_000, Total: 30_000_000, Entries: 50, TotalEntries: 200})
		p.joining(joinEvent{Phase: "voter"})
		p.joining(joinEvent{Phase: "celebrates\x1b[31m"})
		p.clear()
		want := "the node is a member, without a vote until it has caught up\n" +
			"\r\x1b[Ktaking in the snapshot    3%  1.0 MB of 30.0 MB" +
			"\r\x1b[Ktaking in the snapshot   53%  16.0 MB of 30.0 MB  7.5 MB/s" +
			"\r\x1b[Ktaking in the snapshot  100%  31.0 MB of 30.0 MB  15.0 MB/s" +
			"\r\x1b[Kcatching up   25%  50 entries of 200 entries" +
			"\r\x1b[Kthe node votes\n" +
			"celebrates [31m\n"
		if got := screen.String(); got != want {
			t.Errorf("screen\n%q\nwant\n%q", got, want)
		}
	})
}

// TestADiagnosisOnATerminal uses signs, one column wide.
func TestADiagnosisOnATerminal(t *testing.T) {
	var screen bytes.Buffer
	printChecks(&screen, []check{{"disk", "ok", "7 GB free", ""}, {"clock", "warn", "20s ahead", "set it"}, {"quorum", "fail", "lost", ""}}, signs)
	want := "✓ disk    7 GB free\n" +
		"! clock   20s ahead\n  set it\n" +
		"✗ quorum  lost\n"
	if got := screen.String(); got != want {
		t.Errorf("screen\n%s\nwant\n%s", got, want)
	}
}
