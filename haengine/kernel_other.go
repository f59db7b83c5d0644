//go:build !linux

package haengine

import (
	"errors"
	"net"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

var began = time.Now()

// Boottime counts from the start of the process, and not while it is suspended:
// other systems than Linux are for trying things out.
func Boottime() ha.Instant { return ha.Instant(time.Since(began) + 1) }

var errOther = errors.New("this is not Linux")

func isQuiet(net.Conn) bool { return false }

func clockKept() (bool, error) { return false, errOther }

func freeBytes(string) (uint64, error) { return 0, errOther }
