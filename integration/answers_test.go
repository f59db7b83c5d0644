//go:build linux

package integration

import (
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// bad is a node whose pages are no good, and the cause that must be told.
type bad struct {
	name  string
	spoil func(*hatest.Node)
	cause ha.Cause
}

func breakPages(f hatest.Fault) func(*hatest.Node) {
	return func(n *hatest.Node) { n.BreakWith(hatest.Breakage{Fault: f, On: hatest.Pages}) }
}

func lie(body string) func(*hatest.Node) {
	return func(n *hatest.Node) { n.Lie(ha.StatusPage, body); n.Lie(ha.HAStatusPage, body) }
}

// allBad are the ways to be NotAvailable over plain HTTP. Those with no answer
// run into the probe's timeout.
var allBad = []bad{
	{"refused", func(n *hatest.Node) { n.Break(hatest.Refuse) }, ha.Refused},
	{"frozen", func(n *hatest.Node) { n.Break(hatest.Frozen) }, ha.Timeout},
	{"hang", breakPages(hatest.Hang), ha.Timeout},
	{"drip", breakPages(hatest.Drip), ha.Timeout},
	{"slow-headers", breakPages(hatest.SlowHeaders), ha.Timeout},
	{"reset", breakPages(hatest.Reset), ha.Reset},
	{"cut", breakPages(hatest.Cut), ha.Reset},
	{"garbage", breakPages(hatest.Garbage), ha.Reset},
	{"one-gib", breakPages(hatest.Oversize), ha.Oversize},
	{"gzip", breakPages(hatest.Gzip), ha.Body},
	{"redirect-to-itself", breakPages(hatest.Redirect), ha.Redirect},
	{"contradicts-itself", breakPages(hatest.Contradict), ha.Body},
	{"status-500", func(n *hatest.Node) { n.SetStatus(hatest.Pages, 500) }, ha.Status},
	{"status-404", func(n *hatest.Node) { n.SetStatus(hatest.Pages, 404) }, ha.Status},
	{"not-ok", lie("MOBILEIRON-STATUS: NOT OK"), ha.Body},
	{"okay", lie("MOBILEIRON-STATUS: OKAY"), ha.Body},
	{"login-page", lie("<html><body>Please log in</body></html>"), ha.Body},
	{"empty", lie(""), ha.Body},
	{"unknown-mode", lie("MOBILEIRON-STATUS: OK (Mode: Tertiary)"), ha.Body},
	{"tls-on-a-plain-port", func(n *hatest.Node) { n.SetTLS(hatest.TLSValid) }, ha.Status}, // Go's server says so in HTTP
}

// Each bad node is a further node of one group, behind a good pair: all are
// watched at once, and none disturbs the others.
func TestEveryBadAnswerReadsNotAvailableWithItsCause(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	nodes := []node{core1, core2}
	for _, b := range allBad {
		nodes = append(nodes, local(t, b.name, ha.Active))
	}
	p := plan{nodes: nodes, probe: map[string]string{"timeout": "800ms"}}
	for _, n := range nodes {
		p.manual = append(p.manual, n.Name())
	}
	f := newFront(t, p) // it is told every node's URL of now
	for i, b := range allBad {
		b.spoil(nodes[i+2].(*hatest.Node))
	}
	f.start()
	f.expectServing("core1")
	for _, b := range allBad {
		n := f.awaitCause(b.name, b.cause)
		if n.State != api.NotAvailable || n.Detail == "" {
			t.Errorf("%s: state %q, detail %q", b.name, n.State, n.Detail)
		}
		t.Logf("%-20s %-9s %s", b.name, n.Cause, n.Detail)
	}
	for i, b := range allBad {
		if sent := nodes[i+2].(*hatest.Node).Sent(); sent > 64<<20 {
			t.Errorf("%s: the front took %d bytes", b.name, sent)
		}
	}
	f.expectAllTo("core1")
	f.expectRow(row{3, api.Stay, ha.Serving, "", ""})
}

// awaitCause waits until a node reads NotAvailable by a cause.
func (f *front) awaitCause(name string, cause ha.Cause) api.Node {
	f.t.Helper()
	var n api.Node
	if !within(patience, func() bool {
		n, _ = f.group().Node(name)
		return n.Cause == cause
	}) {
		f.t.Errorf("%s: the cause is %q (%s), want %q", name, n.Cause, n.Detail, cause)
	}
	return n
}

// Any of them, as the serving node, is failed over from; and repaired, gets
// nothing.
func TestABadServingNodeIsLeft(t *testing.T) {
	t.Parallel()
	for _, fault := range []hatest.Fault{hatest.Garbage, hatest.Oversize, hatest.Redirect, hatest.SlowHeaders, hatest.Reset, hatest.Contradict} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			core1, core2 := localPair(t)
			f := startFront(t, plan{nodes: []node{core1, core2}, probe: map[string]string{"timeout": "400ms"}})
			core1.BreakWith(hatest.Breakage{Fault: fault, On: hatest.Pages})
			f.expectServing("core2")
			core1.Mend()
			f.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
			f.expectNothing(core1, "core2")
		})
	}
}

// A failing application behind good pages is not the rule's matter: traffic
// stays, and clients get what the application says.
func TestAnApplicationsErrorsAreItsOwn(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	core1.SetStatus(hatest.App, 503)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	for range 10 {
		if a := f.get(); a.status != 503 || a.node != "core1" || a.header.Get("X-Understudy-Reason") != "" {
			t.Errorf("got %s; want the application's own 503", a)
		}
	}
	if g := f.group(); g.Serving != "core1" || g.Epoch != 1 || g.Decision.Row != 3 {
		t.Errorf("%s serves in epoch %d by row %d", g.Serving, g.Epoch, g.Decision.Row)
	}
}

// A stall shorter than three timeouts does not trip fall 3.
func TestAStallIsNotADeath(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, probe: map[string]string{"timeout": "2s", "fast_interval": "100ms"}})
	l := f.pour(10*time.Millisecond, "/", plainGet, bodyPost)
	l.awaitAnswers(t, 20, "core1")
	core1.Break(hatest.Frozen)
	elapse(1200 * time.Millisecond)
	core1.Mend()
	l.awaitAnswers(t, 50, "core1")
	answers := l.end()
	f.expectFrom("core1", answers...)
	if g := f.group(); g.Serving != "core1" || g.Epoch != 1 {
		t.Errorf("%s serves in epoch %d, want core1 in epoch 1", g.Serving, g.Epoch)
	}
	t.Logf("a stall of 1.2 s: gap %s, slowest %s", gap(answers), slowest(answers))
}
