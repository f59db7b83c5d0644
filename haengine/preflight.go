package haengine

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"
)

// The results of an Item.
const (
	itemOK      = "ok"
	itemFailed  = "failed"
	itemUnknown = "unknown"
)

// apart is how far the clocks of two nodes may differ. A Date has seconds.
const apart = 2 * time.Second

// Preflight looks at what a pair needs (EPMM guide, Table 2, and HA best practice
// recommendations). What only the peer itself knows is unknown without trust.
func (e *Engine) Preflight(ctx context.Context) []Item {
	const needsTrust = "only the peer's engine can say, and the nodes do not trust one another yet"
	ctx, cancel := context.WithTimeout(ctx, e.now.Load().Settings.AttemptTimeout)
	defer cancel()
	began := time.Now()
	s, err := e.Peer.Look(ctx)
	return []Item{
		reached(e.PeerName, s, err),
		{"port of this node, from the peer", itemUnknown, needsTrust},
		tells(ctx, "release", e.Version, needsTrust),
		tells(ctx, "device count", e.Count, needsTrust),
		offset(s, began, time.Now()),
		zoned(),
		synchronized(),
		e.resources(),
		e.named(),
		{"trust", itemUnknown, "not set up: the peer can be seen by its status pages and cannot be asked"},
	}
}

func reached(peer string, s Sight, err error) Item {
	if err != nil {
		return Item{"port of the peer", itemFailed, fmt.Sprintf("the status pages of %s: %v", peer, err)}
	}
	return Item{"port of the peer", itemOK, fmt.Sprintf("the status pages of %s answer in %v", peer, s.Took.Round(time.Millisecond))}
}

func offset(s Sight, began, ended time.Time) Item {
	const name = "clock"
	if s.Date.IsZero() {
		return Item{name, itemUnknown, "the peer does not tell its time"}
	}
	ahead := s.Date.Sub(ended)                // at least so far ahead
	behind := began.Sub(s.Date) - time.Second // a Date leaves its fraction out
	if by := max(ahead, behind); by > apart {
		return Item{name, itemFailed, fmt.Sprintf("the clocks differ by %v; both servers need the same time", by.Round(100*time.Millisecond))}
	}
	return Item{name, itemOK, fmt.Sprintf("the clocks agree within %v", apart)}
}

func zoned() Item {
	name, shift := time.Now().Zone()
	return Item{"time zone", itemOK, fmt.Sprintf("%s (UTC%+03d:%02d) here; StartTime is UTC", name, shift/3600, max(shift, -shift)/60%60)}
}

func synchronized() Item {
	const name = "NTP"
	switch kept, err := clockKept(); {
	case err != nil:
		return Item{name, itemUnknown, "the kernel does not say: " + err.Error()}
	case !kept:
		return Item{name, itemFailed, "nothing keeps this machine's clock; set up chrony or systemd-timesyncd"}
	}
	return Item{name, itemOK, "this machine's clock is kept"}
}

// tells runs one of the commands that tell something of the application.
func tells(ctx context.Context, name string, line []string, needs string) Item {
	if len(line) == 0 {
		return Item{name, itemUnknown, "no command for it is configured (app: in node.yaml)"}
	}
	said, err := execute(ctx, line)
	if err != nil {
		return Item{name, itemFailed, err.Error()}
	}
	return Item{name, itemUnknown, fmt.Sprintf("%.60q here; %s", said, needs)}
}

func (e *Engine) resources() Item {
	free, err := freeBytes(e.Dir)
	if err != nil {
		return Item{"resources", itemFailed, err.Error()}
	}
	said := fmt.Sprintf("%d processors, %d MiB free below %s; compare with the peer", runtime.NumCPU(), free>>20, e.Dir)
	if free < 64<<20 {
		return Item{"resources", itemFailed, said}
	}
	return Item{"resources", itemOK, said}
}

func (e *Engine) named() Item {
	host, err := os.Hostname()
	if err != nil || host == "" || host == "localhost" {
		return Item{"host name", itemFailed, fmt.Sprintf("this machine is called %q; every server needs a name of its own", host)}
	}
	return Item{"host name", itemOK, fmt.Sprintf("%s here, node %s; the peer is %s", host, e.Name, e.PeerName)}
}
