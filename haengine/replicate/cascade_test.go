package replicate

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cascade makes the sink of d the source of another one: the node for disaster
// recovery copies from the Secondary (three servers).
func (d *duo) cascade(t *testing.T) *duo {
	t.Helper()
	dr := &duo{source: d.sink, sink: newSide(t, t.TempDir(), "dr1")}
	dr.sink.facts.Store(&Facts{Name: "dr1", Release: "1.0", Epoch: 1, Standby: true})
	dr.src = &Source{Dir: d.sink.dir, Sets: []Set{d.sink.set}, Book: d.sink.book, Log: quiet(), Facts: d.sink.tell}
	dr.serve(t)
	dr.cfg = Config{Dir: dr.sink.dir, Sets: []Set{dr.sink.set}, Book: dr.sink.book, Facts: dr.sink.tell, Log: quiet()}
	return dr
}

// run syncs dr1 from core2.
func (d *duo) fromStandby(t *testing.T, want string) Report {
	t.Helper()
	got := d.replica(t).Run(t.Context(), Order{From: "core2"}, d.how)
	if got.Result != want {
		t.Fatalf("got %s: %s, want %s\n%s", got.Result, got.Detail, want, tasks(got))
	}
	return got
}

func TestADRNodeCopiesACommittedGenerationFromTheSecondary(t *testing.T) {
	t.Parallel()
	d := newDuo(t)
	put(t, d.source.tree, map[string]string{"a": "1", "b": "1"})
	dr := d.cascade(t)
	if r := dr.fromStandby(t, Failure); !strings.Contains(r.Detail, "has never been copied to this node") {
		t.Errorf("it says %q", r.Detail)
	}
	d.sync(t, Success)
	dr.fromStandby(t, Success)
	equalTrees(t, d.source.tree, dr.sink.tree)

	// While the DR node fetches, the Secondary's next copy does not go live.
	put(t, d.source.tree, map[string]string{"a": "2", "b": "2"})
	d.sync(t, Success)
	put(t, d.source.tree, map[string]string{"a": "3", "b": "3"})
	second := d.replica(t)
	second.Behind(dr.src)
	ended := make(chan Report, 1)
	begun := false
	dr.cfg.step = func(at string) error {
		if at == "transfer files" && !begun {
			begun = true
			go func() { ended <- second.Run(context.WithoutCancel(t.Context()), Order{From: "core1"}, d.how) }()
			for p, _ := second.Progress(); p.Phase != "commit"; p, _ = second.Progress() {
				time.Sleep(time.Millisecond)
			}
			if got := has(t, filepath.Join(d.sink.tree, "a")); got != "2" {
				t.Errorf("the Secondary's copy went live under the DR node: %q", got)
			}
		}
		return nil
	}
	dr.fromStandby(t, Success)
	if a, b := has(t, filepath.Join(dr.sink.tree, "a")), has(t, filepath.Join(dr.sink.tree, "b")); a != "2" || b != "2" {
		t.Errorf("the DR node has %q and %q, a mixture or another generation", a, b)
	}
	if r := <-ended; r.Result != Success {
		t.Errorf("the Secondary: %s: %s", r.Result, r.Detail)
	}
	if got := has(t, filepath.Join(d.sink.tree, "a")); got != "3" {
		t.Errorf("the Secondary has %q", got)
	}
}
