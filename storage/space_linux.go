package storage

import (
	"fmt"
	"syscall"
)

// Space returns how many bytes the disk under dir has, and how many of them
// this process may still use. Where that cannot be told both are 0.
func Space(dir string) (free, total uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	unit := uint64(s.Bsize)
	return s.Bavail * unit, s.Blocks * unit, nil
}
