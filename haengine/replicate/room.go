package replicate

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// The part of a file system that a sync leaves free, whatever it is: the
// smaller of the two.
const (
	spareBytes = 512 << 20
	sparePart  = 20 // a twentieth
)

// Room says whether a file system has room for so many bytes and some to spare:
// a copy must not stop the application that it is made for.
func Room(dir string, bytes int64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("look how much room %s has: %w", dir, err)
	}
	free := int64(s.Bavail) * s.Bsize                                  // #nosec G115 -- bytes of a disk
	spare := min(spareBytes, int64(s.Blocks)*int64(s.Bsize)/sparePart) // #nosec G115
	if free-spare >= bytes {
		return nil
	}
	return fmt.Errorf("%s has %s free, and %s are needed besides %s that a sync leaves free: make room there", dir, size(free), size(bytes), size(spare))
}

// size writes bytes for people.
func size(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/step, 0
	for value >= step && unit < 4 {
		value, unit = value/step, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[unit])
}
