package haengine

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// apart is how far the clocks of two nodes may differ. A Date has seconds.
const apart = 2 * time.Second

// Preflight looks at what a pair needs (EPMM guide, Table 2, and HA best practice
// recommendations). What only the peer itself knows is unknown without trust.
func (e *Engine) Preflight(ctx context.Context) []nodeapi.Item {
	const needsTrust = "only the peer's engine can say, and the nodes do not trust one another yet"
	ctx, cancel := context.WithTimeout(ctx, e.now.Load().Settings.AttemptTimeout)
	defer cancel()
	began := time.Now()
	s, err := e.Peer.Look(ctx)
	return []nodeapi.Item{
		reached(e.PeerName, s, err),
		item("port of this node, from the peer", nodeapi.ItemUnknown, needsTrust),
		tells(ctx, "release", e.Version, needsTrust),
		tells(ctx, "device count", e.Count, needsTrust),
		offset(s, began, time.Now()),
		zoned(),
		synchronized(),
		e.resources(),
		e.named(),
		item("trust", nodeapi.ItemUnknown, "not set up: the peer can be seen by its status pages and cannot be asked"),
	}
}

func reached(peer string, s Sight, err error) nodeapi.Item {
	if err != nil {
		return item("port of the peer", nodeapi.ItemFailed, fmt.Sprintf("the status pages of %s: %v", peer, err))
	}
	return item("port of the peer", nodeapi.ItemOK, fmt.Sprintf("the status pages of %s answer in %v", peer, s.Took.Round(time.Millisecond)))
}

func offset(s Sight, began, ended time.Time) nodeapi.Item {
	const name = "clock"
	if s.Date.IsZero() {
		return item(name, nodeapi.ItemUnknown, "the peer does not tell its time")
	}
	ahead := s.Date.Sub(ended)                // at least so far ahead
	behind := began.Sub(s.Date) - time.Second // a Date leaves its fraction out
	if by := max(ahead, behind); by > apart {
		return item(name, nodeapi.ItemFailed, fmt.Sprintf("the clocks differ by %v; both servers need the same time", by.Round(100*time.Millisecond)))
	}
	return item(name, nodeapi.ItemOK, fmt.Sprintf("the clocks agree within %v", apart))
}

func zoned() nodeapi.Item {
	name, shift := time.Now().Zone()
	return item("time zone", nodeapi.ItemOK, fmt.Sprintf("%s (UTC%+03d:%02d) here; StartTime is UTC", name, shift/3600, max(shift, -shift)/60%60))
}

func synchronized() nodeapi.Item {
	const name = "NTP"
	switch kept, err := clockKept(); {
	case err != nil:
		return item(name, nodeapi.ItemUnknown, "the kernel does not say: "+err.Error())
	case !kept:
		return item(name, nodeapi.ItemFailed, "nothing keeps this machine's clock; set up chrony or systemd-timesyncd")
	}
	return item(name, nodeapi.ItemOK, "this machine's clock is kept")
}

// tells runs one of the commands that tell something of the application.
func tells(ctx context.Context, name string, line []string, needs string) nodeapi.Item {
	if len(line) == 0 {
		return item(name, nodeapi.ItemUnknown, "no command for it is configured (app: in node.yaml)")
	}
	said, err := execute(ctx, line)
	if err != nil {
		return item(name, nodeapi.ItemFailed, err.Error())
	}
	return item(name, nodeapi.ItemUnknown, fmt.Sprintf("%.60q here; %s", said, needs))
}

func (e *Engine) resources() nodeapi.Item {
	free, err := freeBytes(e.Dir)
	if err != nil {
		return item("resources", nodeapi.ItemFailed, err.Error())
	}
	said := fmt.Sprintf("%d processors, %d MiB free below %s; compare with the peer", runtime.NumCPU(), free>>20, e.Dir)
	if free < 64<<20 {
		return item("resources", nodeapi.ItemFailed, said)
	}
	return item("resources", nodeapi.ItemOK, said)
}

func (e *Engine) named() nodeapi.Item {
	host, err := os.Hostname()
	if err != nil || host == "" || host == "localhost" {
		return item("host name", nodeapi.ItemFailed, fmt.Sprintf("this machine is called %q; every server needs a name of its own", host))
	}
	return item("host name", nodeapi.ItemOK, fmt.Sprintf("%s here, node %s; the peer is %s", host, e.Name, e.PeerName))
}

func item(name, result, said string) nodeapi.Item {
	return nodeapi.Item{Name: name, Result: result, Said: said}
}
