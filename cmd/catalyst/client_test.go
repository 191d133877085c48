package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestAddressesAsPeopleWriteThem(t *testing.T) {
	got, err := parseAddresses(" localhost:3000, ws://a:1 ,http://b/,https://c/api/rpc,[::1]:3000,ws://d:3000/rpc,", "ws")
	want := "ws://localhost:3000/rpc ws://a:1/rpc ws://b/rpc wss://c/api/rpc ws://[::1]:3000/rpc ws://d:3000/rpc"
	if err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %v, %v; want %s", got, err, want)
	}
	for _, wrong := range []string{"", ",", "ftp://x", "ws://", "ws://:3000", "http://["} {
		if got, err := parseAddresses(wrong, "ws"); err == nil {
			t.Errorf("%q is taken for %v", wrong, got)
		}
	}
}

// TestAnAddressWithoutASchemeTakesTheSitesOwn: what is written out stays.
func TestAnAddressWithoutASchemeTakesTheSitesOwn(t *testing.T) {
	got, err := parseAddresses("localhost:3000,ws://a:1,http://b,https://c", "wss")
	want := "wss://localhost:3000/rpc ws://a:1/rpc ws://b/rpc wss://c/rpc"
	if err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %v, %v; want %s", got, err, want)
	}
}

func TestFiguresForPeople(t *testing.T) {
	for got, want := range map[string]string{
		count(1, "failure"): "1 failure", count(0, "failure"): "0 failures", count(1234567, "route"): "1,234,567 routes",
		size(999): "999 B", size(1234): "1.2 kB", size(30_000_000): "30.0 MB", size(2_500_000_000): "2.5 GB",
		entries(1): "1 entry", entries(1200): "1,200 entries", until(0): "never", instant(0): "",
		thousands(999): "999", thousands(1000): "1,000",
		span(-time.Second): "0s", span(90 * time.Second): "90s", span(3 * time.Minute): "3m", span(47 * time.Hour): "47h", span(49 * time.Hour): "2d",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestProgressLeavesTheScreenClean lets a refusal come between two progress lines.
func TestProgressLeavesTheScreenClean(t *testing.T) {
	var screen bytes.Buffer
	y := tally{out: &screen, begun: time.Now()}
	y.accept(7)
	y.progress(true, 50, 100)
	y.refuse(3, "conflict", "taken")
	y.clear()
	want := "\r\x1b[K 50%  1 done, 0 refused, "
	if got := screen.String(); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "/s\r\x1b[Kline 3: taken (conflict)\n") {
		t.Errorf("screen %q", got)
	}
	for range 20 {
		y.refuse(4, "conflict", "taken")
	}
	if lines := strings.Count(screen.String(), "\n"); lines != mostReasons+1 {
		t.Errorf("%d lines for 21 refusals, want %d and one that says so", lines, mostReasons)
	}
	if s := y.summary(); s.Done != 1 || s.Refused != 21 || len(s.Reasons) != mostReasons || s.Index != 7 {
		t.Errorf("summary %+v", s)
	}
}
