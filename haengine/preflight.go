package haengine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/remote"
)

// apart is how far the clocks of two nodes may differ. A Date has seconds.
const apart = 2 * time.Second

// Preflight looks at what a pair needs (EPMM guide, Table 2, and HA best practice
// recommendations). What only the peer itself knows is unknown without trust.
func (e *Engine) Preflight(ctx context.Context) []nodeapi.Item {
	tested := make(chan nodeapi.Item, 1)
	go func(ctx context.Context) { tested <- e.tested(ctx) }(ctx)
	ctx, cancel := context.WithTimeout(ctx, 3*e.now.Load().Settings.AttemptTimeout)
	defer cancel()
	began := time.Now()
	s, err := e.Peer.Look(ctx)
	ended := time.Now()
	own, peer, trust := e.facts(ctx), nodeapi.Facts{}, e.asks()
	if trust.Result == nodeapi.ItemOK {
		p, failed := e.peerFacts(ctx)
		if peer = p; failed != nil {
			trust = item("trust", nodeapi.ItemFailed, failed.Error())
		}
	}
	known := trust.Result == nodeapi.ItemOK
	return []nodeapi.Item{
		reached(e.PeerName, s, err),
		sawUs(e.PeerName, peer.Sees, known),
		compared("release", own.Release, peer.Release, known),
		compared("device count", own.Count, peer.Count, known),
		offset(s, began, ended),
		zoned(peer.Zone, known),
		synchronized(),
		settled(own.Settings, peer.Settings, e.PeerName, known),
		e.resources(),
		e.named(),
		trust,
		<-tested,
	}
}

// tested is the guide's Test Connection from this node's engine, which calls the
// peer as a sync does.
func (e *Engine) tested(ctx context.Context) nodeapi.Item {
	p, can := e.Peer.(interface{ Test(context.Context) error })
	if !can || !trusted(e.Peer) {
		return item(nodeapi.TestConnection, nodeapi.ItemUnknown, needsTrust)
	}
	if err := p.Test(ctx); err != nil {
		return item(nodeapi.TestConnection, nodeapi.ItemFailed, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return item(nodeapi.TestConnection, nodeapi.ItemOK, remote.TestOK)
}

// needsTrust is said of what cannot be compared yet.
const needsTrust = "only the peer's engine can say: first put trust right"

// facts gives what this node tells of itself.
func (e *Engine) facts(ctx context.Context) nodeapi.Facts {
	settings := e.now.Load().Settings
	f := nodeapi.Facts{Release: said(ctx, e.Version), Count: said(ctx, e.Count), Zone: zone(), Settings: settings.List()}
	ctx, cancel := context.WithTimeout(ctx, settings.AttemptTimeout)
	defer cancel()
	if _, err := pagesOf(e.Peer).Look(ctx); err != nil {
		f.Sees = err.Error()
	}
	return f
}

// asks says whether the peer can be asked.
func (e *Engine) asks() nodeapi.Item {
	if !trusted(e.Peer) {
		return item("trust", nodeapi.ItemUnknown, "not set up: the peer can be seen by its status pages and cannot be asked; failover trusted-hosts invite on one node, add on the other")
	}
	return item("trust", nodeapi.ItemOK, e.PeerName+" can be asked, and its key is the one that is trusted")
}

// peerFacts asks the peer for its own.
func (e *Engine) peerFacts(ctx context.Context) (nodeapi.Facts, error) {
	t, ok := e.Peer.(*Trusted)
	if !ok {
		return nodeapi.Facts{}, errors.New(needsTrust)
	}
	c, err := t.client()
	if err != nil {
		return nodeapi.Facts{}, err
	}
	defer c.Close()
	return c.Facts(ctx)
}

// sawUs says whether the peer sees this node.
func sawUs(peer, why string, known bool) nodeapi.Item {
	const name = "port of this node, from the peer"
	switch {
	case !known:
		return item(name, nodeapi.ItemUnknown, needsTrust)
	case why != "":
		return item(name, nodeapi.ItemFailed, fmt.Sprintf("%s does not see this node's status pages: %s; see peer.status in its node.yaml, and open that port of this node to it", peer, why))
	}
	return item(name, nodeapi.ItemOK, peer+" sees this node's status pages")
}

// compared says whether both nodes tell the same of the application.
func compared(name, own, peer string, known bool) nodeapi.Item {
	switch {
	case own == "":
		return item(name, nodeapi.ItemUnknown, "no command for it is configured here, or it fails (app: in node.yaml)")
	case !known:
		return item(name, nodeapi.ItemUnknown, fmt.Sprintf("%.60q here; %s", own, needsTrust))
	case peer == "":
		return item(name, nodeapi.ItemUnknown, fmt.Sprintf("%.60q here; the peer has no command for it, or it fails", own))
	case peer != own:
		return item(name, nodeapi.ItemFailed, fmt.Sprintf("%.60q here, %.60q on the peer: both need the same", own, peer))
	}
	return item(name, nodeapi.ItemOK, fmt.Sprintf("%.60q on both", own))
}

// settled says where the settings of the nodes differ. That is no fault: the
// guide sets them on the Secondary. But after a failover those of the other node
// count.
func settled(own, peer []nodeapi.Setting, name string, known bool) nodeapi.Item {
	if !known || len(peer) == 0 {
		return item("settings", nodeapi.ItemUnknown, needsTrust)
	}
	theirs := map[string]string{}
	for _, s := range peer {
		theirs[s.Name] = s.Value
	}
	var differ []string
	for _, s := range own {
		if v, ok := theirs[s.Name]; ok && v != s.Value {
			differ = append(differ, fmt.Sprintf("%s %.60q here, %.60q on %s", s.Name, s.Value, v, name))
		}
	}
	if len(differ) == 0 {
		return item("settings", nodeapi.ItemOK, "the same on both")
	}
	return item("settings", nodeapi.ItemOK, "those of the node that stands by count, and they differ: "+strings.Join(differ, "; "))
}

// said runs one of the commands that tell something of the application; empty
// if there is none, or it fails.
func said(ctx context.Context, line []string) string {
	if len(line) == 0 {
		return ""
	}
	text, err := output(ctx, line)
	if err != nil {
		return ""
	}
	return text
}

func reached(peer string, s Sight, err error) nodeapi.Item {
	if err != nil {
		return item("port of the peer", nodeapi.ItemFailed, fmt.Sprintf("the status pages of %s: %v; start its engine, or open its port status.listen to this node", peer, err))
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
		return item(name, nodeapi.ItemFailed, fmt.Sprintf("the clocks differ by %v; both servers need the same time: set up chrony or systemd-timesyncd on both", by.Round(100*time.Millisecond)))
	}
	return item(name, nodeapi.ItemOK, fmt.Sprintf("the clocks agree within %v", apart))
}

// zone names this machine's time zone.
func zone() string {
	name, shift := time.Now().Zone()
	return fmt.Sprintf("%s (UTC%+03d:%02d)", name, shift/3600, max(shift, -shift)/60%60)
}

func zoned(peer string, known bool) nodeapi.Item {
	switch own := zone(); {
	case known && peer != own:
		return item("time zone", nodeapi.ItemFailed, fmt.Sprintf("%s here, %.40s on the peer: logs and schedules are read by the wrong clock; give both the same (timedatectl set-timezone). StartTime is UTC", own, peer))
	case known:
		return item("time zone", nodeapi.ItemOK, own+" on both; StartTime is UTC")
	default:
		return item("time zone", nodeapi.ItemOK, own+" here; StartTime is UTC")
	}
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
		return item("host name", nodeapi.ItemFailed, fmt.Sprintf("this machine is called %q; every server needs a name of its own: hostnamectl set-hostname", host))
	}
	return item("host name", nodeapi.ItemOK, fmt.Sprintf("%s here, node %s; the peer is %s", host, e.Name, e.PeerName))
}

func item(name, result, said string) nodeapi.Item {
	return nodeapi.Item{Name: name, Result: result, Said: said}
}
