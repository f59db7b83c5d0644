package dnsgtm

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
	"github.com/understudy-ha/understudy/internal/register"
	"github.com/understudy-ha/understudy/probes"
)

// watched gives a watcher of two real nodes that tells a server, with readings
// every few milliseconds.
func watched(t *testing.T, s *Server, dir string, nodes ...*hatest.Node) *probes.Watcher {
	t.Helper()
	stored, err := register.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	rules := ha.DefaultRules()
	rules.Interval, rules.FastInterval, rules.Timeout = 50*time.Millisecond, 20*time.Millisecond, time.Second
	plan := probes.Plan{Rules: rules}
	for i, n := range nodes {
		checker, err := probes.NewChecker(probes.Target{Node: fmt.Sprintf("core%d", i+1), URL: n.URL(), Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(checker.Close)
		plan.Nodes = append(plan.Nodes, probes.Node{Name: fmt.Sprintf("core%d", i+1), Key: n.URL(), Looker: checker})
	}
	w := probes.NewWatcher("mdm", stored, discard)
	stop := w.Follow(s.Tell)
	ctx, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx, plan) }()
	t.Cleanup(func() {
		stop()
		end()
		<-done
		_ = stored.Close()
	})
	return w
}

// TestClientsFollowTheRuleThroughAResolver is the whole way: two real nodes, a
// watcher with its register, the name server, unbound in front with 0x20 and
// strict minimisation, and a client that asks unbound.
func TestClientsFollowTheRuleThroughAResolver(t *testing.T) {
	t.Parallel()
	need(t, "unbound")
	core1, core2 := hatest.New(t, hatest.Config{Name: "core1", State: ha.Active}), hatest.New(t, hatest.Config{Name: "core2", State: ha.Standby})
	dir := t.TempDir()
	c, anchor := signedExample(t)
	c.StateDir = dir
	c.Zones[0].Names = []Name{{Name: "mdm", Group: "mdm", TTL: time.Second}}
	c.Listen = []string{"127.0.0.1:" + freePort(t)}
	s := running(t, c)
	w := watched(t, s, filepath.Join(dir, "register"), core1, core2)
	_, port := splitPort(c.Listen[0])
	resolver := unbound(t, anchor, port)
	seen := func(want string) func() bool {
		return func() bool { return tries(resolver, "mdm.example.com", dns.TypeA) == want }
	}
	await(t, "core1 through the resolver", seen("A 192.0.2.10"))

	core2.Set(ha.NotAvailable)
	await(t, "core2 as not available", func() bool { return w.Situation().View.Of("core2").Down() })
	core1.Kill()
	await(t, "core1 as down", func() bool { return w.Situation().View.Of("core1").Down() })
	if got := s.says(t, "mdm", dns.TypeA); got != "A 192.0.2.10" {
		t.Errorf("nobody stands by, and the answer is %s", got)
	}
	core2.Set(ha.Standby)
	await(t, "core2 once it stands by", seen("A 192.0.2.11"))
	core2.Set(ha.Active)
	core1.Start()
	await(t, "core1 back", func() bool { return w.Situation().View.Of("core1").Available() })
	if got := s.says(t, "mdm", dns.TypeA); got != "A 192.0.2.11" {
		t.Errorf("core1 is back, and the answer is %s", got)
	}

	serial := s.serial() // a restart of the name server answers the same at once
	_ = s.Close()
	s = told2(t, c, w)
	if got := s.says(t, "mdm", dns.TypeA); got != "A 192.0.2.11" || s.serial() != serial {
		t.Errorf("after a restart: %s with serial %d, want core2 with %d", got, s.serial(), serial)
	}
	if _, err := w.Act(t.Context(), ha.HoldTraffic, ha.Wish{Reason: "night work", Actor: "anna"}, false); err != nil {
		t.Fatal(err)
	}
	core2.Kill()
	await(t, "the hold", func() bool { return w.Situation().Decision.Reason == ha.Held })
	if got := s.says(t, "mdm", dns.TypeA); got != "A 192.0.2.11" {
		t.Errorf("held: the answer is %s", got)
	}
	core2.Start()
	core2.Set(ha.Standby)
	if _, err := w.Act(t.Context(), ha.Release, ha.Wish{Reason: "done", Actor: "anna"}, false); err != nil {
		t.Fatal(err)
	}
	core2.Kill()
	await(t, "core2 down", func() bool { return w.Situation().View.Of("core2").Down() })
	if got := s.says(t, "mdm", dns.TypeA); got != "A 192.0.2.11" {
		t.Errorf("traffic moved up the order by itself: %s", got)
	}
	resume := func() bool {
		_, err := w.Act(t.Context(), ha.Resume, ha.Wish{Reason: "core1 is whole", Actor: "anna", Force: true}, false)
		return err == nil
	}
	await(t, "a resume that is taken", resume)
	await(t, "core1 after the resume", seen("A 192.0.2.10"))
}

// told2 gives a started server that a watcher has told of its group.
func told2(t *testing.T, c Config, w *probes.Watcher) *Server {
	t.Helper()
	s, err := New(c, logger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Follow(s.Tell))
	s.Tell(ha.Situation{Traffic: ha.Traffic{Group: "sentry"}})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
