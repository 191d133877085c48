package clustertests

import "testing"

// TestOnlyTheAllowedCome: an operator's lists of origins and hosts are all that a browser gets in by.
func TestOnlyTheAllowedCome(t *testing.T) {
	n := newNode(t, "picky", "--gateway-endpoint=", "--bootstrap", "--allow-origin", "console.example", "--allow-host", "api.example:3000,localhost:3000")
	n.start(t, anyPort)
	eventually(t, "healthy", n.healthy)
	for _, try := range []struct {
		host, origin string
		want         int
	}{
		{"api.example:3000", "", 101},
		{"localhost:3000", "", 101},
		{"api.example:3000", "https://console.example", 101},
		{"api.example:3000", "https://console.example.evil.example", 403},
		{"api.example:3000", "https://evil.example", 403},
		{"api.example:3001", "", 403},
		{"evil.example", "https://console.example", 403},
		{"", "", 403}, // its address is none of the names
	} {
		if got := upgrade(t, n, try.host, try.origin); got != try.want {
			t.Errorf("upgrade with host %q and origin %q: status %d, want %d", try.host, try.origin, got, try.want)
		}
		posted := map[int]int{101: 200, 403: 403}[try.want]
		if got := postFrom(t, n, try.host, try.origin); got != posted {
			t.Errorf("post with host %q and origin %q: status %d, want %d", try.host, try.origin, got, posted)
		}
	}
}
