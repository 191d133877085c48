package storage

import "testing"

const mib = 1 << 20

func TestADiskIsLowBeforeItIsFull(t *testing.T) {
	for _, c := range []struct {
		name        string
		total, mark uint64 // in MiB
	}{
		{"5 %", 10_000, 500},
		{"at least 64 MiB", 500, 64},
		{"at most 1 GiB", 1_000_000, 1024},
		{"a quarter of a very small disk", 80, 20},
	} {
		if !Low(c.mark*mib-1, c.total*mib) || Low(c.mark*mib, c.total*mib) {
			t.Errorf("%s: a disk of %d MiB is not low just below %d", c.name, c.total, c.mark)
		}
	}
	if Low(0, 0) {
		t.Error("a disk that nothing is known of is low")
	}
}

func TestALowDiskIsHealthyOnlyWithSomeRoomMore(t *testing.T) {
	var w Watch
	for _, c := range []struct {
		free uint64 // in MiB, of 10,000
		low  bool
	}{{501, false}, {499, true}, {501, true}, {749, true}, {750, false}, {501, false}, {400, true}} {
		if low := w.Look(c.free*mib, 10_000*mib); low != c.low {
			t.Errorf("%d MiB free: got %v, want %v", c.free, low, c.low)
		}
	}
}

func TestTheDiskOfADirectoryIsFound(t *testing.T) {
	free, total, err := Space(t.TempDir())
	if err != nil || free > total {
		t.Errorf("got %d of %d free, %v", free, total, err)
	}
	if _, _, err := Space("/no/such/directory"); err == nil && total > 0 {
		t.Error("there is room where there is no directory")
	}
}
