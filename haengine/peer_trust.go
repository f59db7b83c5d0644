package haengine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/remote"
)

// Trusted is a Peer that can be asked, once the nodes trust one another: by its
// engine's API, over TLS with pinned keys. Until then it is its Pages, and they
// stay the second path of every look.
type Trusted struct {
	name  string
	trust *remote.Trust
	pages *Pages

	mu   sync.Mutex // guards the fields below
	host remote.Host
	peer *remote.Peer // nil: not called yet
}

// NewTrusted gives the peer of a name.
func NewTrusted(name string, trust *remote.Trust, pages *Pages) *Trusted {
	return &Trusted{name: name, trust: trust, pages: pages}
}

// call gives the client of the peer as it is trusted now, nil if it is not. A
// host that was paired anew has another one.
func (t *Trusted) call() *remote.Peer {
	host, err := t.trust.Hosts.Get(t.name)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil || host.Name != t.name || host.Role != remote.Node || host.Pin == (remote.Pin{}) {
		t.forget()
		return nil
	}
	if t.peer == nil || t.host.Pin != host.Pin || t.host.Address() != host.Address() || t.host.Port != host.Port {
		t.forget()
		t.host, t.peer = host, t.trust.Peer(host, time.Hour) // the caller's time is shorter
	}
	return t.peer
}

// forget ends what is known of the peer; mu is held.
func (t *Trusted) forget() {
	if t.peer != nil {
		t.peer.Close()
		t.peer = nil
	}
}

// Trust says whether the peer can be asked.
func (t *Trusted) Trust() bool { return t.call() != nil }

// Test calls the peer over TLS and over SSH, each with the key that is trusted.
func (t *Trusted) Test(ctx context.Context) error {
	host, err := t.trust.Hosts.Get(t.name)
	if err != nil {
		return err
	}
	return t.trust.Test(ctx, host)
}

// Look asks the engine and looks at the pages at the same time. What the engine
// says counts; pages that say OK are believed where it does not answer within
// half of the time, so that a heartbeat fails only if both paths do.
func (t *Trusted) Look(ctx context.Context) (Sight, error) {
	p := t.call()
	if p == nil {
		return t.pages.Look(ctx)
	}
	return t.both(ctx, func(ctx context.Context) (remote.Peered, error) { return p.Report(ctx) })
}

// Ask asks the engine whether this node may be Active.
func (t *Trusted) Ask(ctx context.Context, own ha.Report) (Sight, error) {
	return t.tell(ctx, remote.Telling{Report: own, Asks: true})
}

// Tell tells the engine how this node is.
func (t *Trusted) Tell(ctx context.Context, own ha.Report) (Sight, error) {
	return t.tell(ctx, remote.Telling{Report: own})
}

func (t *Trusted) tell(ctx context.Context, what remote.Telling) (Sight, error) {
	p := t.call()
	if p == nil {
		return t.pages.Look(ctx)
	}
	return t.both(ctx, func(ctx context.Context) (remote.Peered, error) { return p.Tell(ctx, what) })
}

// StepDown asks the engine to stop serving. One that does not answer may still
// be seen not to serve.
func (t *Trusted) StepDown(ctx context.Context, epoch uint64, firm bool) error {
	p := t.call()
	if p == nil {
		return t.pages.StepDown(ctx, epoch, firm)
	}
	return p.StepDown(ctx, remote.StepDown{Epoch: epoch, Firm: firm})
}

// way is what one way to the peer has shown.
type way struct {
	Sight
	err  error
	came bool
}

// both goes both ways to the peer.
func (t *Trusted) both(ctx context.Context, ask func(context.Context) (remote.Peered, error)) (Sight, error) {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	engines, pages := make(chan way, 1), make(chan way, 1)
	go func() {
		p, err := ask(ctx)
		engines <- way{sightOf(p, time.Since(began)), err, true}
	}()
	go func() {
		s, err := t.pages.Look(ctx)
		pages <- way{s, err, true}
	}()
	half := time.NewTimer(until(ctx) / 2)
	defer half.Stop()
	var engine, page way
	for late := false; ; {
		select {
		case engine = <-engines:
		case page = <-pages:
		case <-half.C:
			late = true
		}
		switch {
		case engine.came && engine.err == nil:
			return engine.Sight, nil
		case page.came && page.err == nil && (engine.came || late):
			if engine.err == nil {
				engine.err = errors.New("no answer yet")
			}
			page.Said += fmt.Sprintf(" (not by its engine: %v)", engine.err)
			return page.Sight, nil
		case page.came && engine.came:
			return Sight{Took: time.Since(began)}, fmt.Errorf("%w; its status pages: %w", engine.err, page.err)
		}
	}
}

// until gives the time that is left.
func until(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return time.Until(end)
	}
	return time.Hour
}

// sightOf gives what the engine says of itself.
func sightOf(p remote.Peered, took time.Duration) Sight {
	return Sight{Well: p.Report.State == ha.Active, Heard: true, Report: p.Report, Said: p.Said, Date: p.At, Took: took}
}

// client gives the client of the peer's whole API.
func (t *Trusted) client() (*nodeapi.Client, error) {
	host, err := t.trust.Hosts.Get(t.name)
	if err != nil {
		return nil, err
	}
	return nodeapi.NewTLS(host.URL(), t.trust.TLS(host)), nil
}

// pagesOf gives the status pages of a peer alone, where it has them.
func pagesOf(p Peer) interface {
	Look(ctx context.Context) (Sight, error)
} {
	if t, ok := p.(*Trusted); ok {
		return t.pages
	}
	return p
}
