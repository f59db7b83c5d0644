package haengine

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register"
	"github.com/understudy-ha/understudy/internal/register/member"
)

// newRegister runs a register of one member and gives its URL.
func newRegister(t *testing.T) string {
	t.Helper()
	at := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return "http://" + l.Addr().String()
	}
	c := member.Default()
	c.Name, c.DataDir, c.Peer, c.Client = "m0", t.TempDir(), at(), at()
	c.Members = map[string]string{"m0": c.Peer}
	m, err := member.Start(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := m.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return c.Client
}

// shares gives a node's way to a register.
func shares(t *testing.T, url, node, dir string) *Shared {
	t.Helper()
	c := register.DefaultEtcd()
	c.Endpoints, c.Watcher, c.Copies = []string{url}, node, filepath.Join(dir, "etcd")
	e, err := register.OpenEtcd(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	s, err := NewShared(e, "core1_core2", node, 60*time.Second, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOneOfTwoHasTheLeaseAndItsEpochOnlyGrows(t *testing.T) {
	t.Parallel()
	url := newRegister(t)
	dir := t.TempDir()
	one, two := shares(t, url, "core1", dir), shares(t, url, "core2", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	want := func(what string, on ha.On) func(ha.Event, error) ha.Event {
		return func(e ha.Event, err error) ha.Event {
			t.Helper()
			if err != nil || e.On != on {
				t.Fatalf("%s: got %v, %v, want %v", what, e.On, err, on)
			}
			return e
		}
	}
	first := want("core1 takes it", ha.OnLeaseGranted)(one.Take(ctx, 1))
	if first.Epoch == 0 || first.Cluster == 0 || first.Revision < first.Epoch {
		t.Errorf("got %+v", first)
	}
	want("core2 does not get it", ha.OnLeaseRefused)(two.Take(ctx, 1))
	want("core1 renews", ha.OnLeaseRenewed)(one.Renew(ctx, 1))
	want("about another attempt", ha.OnLeaseGone)(one.Renew(ctx, 9))
	want("core2 has none", ha.OnServedRefused)(two.RecordServed(ctx, first.Epoch))
	want("another epoch than its own", ha.OnServedRefused)(one.RecordServed(ctx, first.Epoch+1))
	want("core1 serves", ha.OnServedWritten)(one.RecordServed(ctx, first.Epoch))
	if e := want("core2 reads", ha.OnRegisterRead)(two.Read(ctx)); !e.Held || e.Epoch != first.Epoch || e.PeerServed != first.Epoch {
		t.Errorf("core2 reads %+v", e)
	}
	if e := want("core1 reads", ha.OnRegisterRead)(one.Read(ctx)); e.PeerServed != 0 {
		t.Errorf("core1 takes itself for its peer: %+v", e)
	}

	anew := shares(t, url, "core1", dir) // its engine died and starts again
	want("its old lease is not its own", ha.OnLeaseRefused)(anew.Take(ctx, 2))
	if err := anew.Revoke(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if e := want("core2 reads", ha.OnRegisterRead)(two.Read(ctx)); !e.Held {
		t.Error("to give up one attempt has ended another one's lease")
	}
	again := shares(t, url, "core1", t.TempDir())
	if err := again.Revoke(ctx, 1); err != nil {
		t.Error(err)
	}
	if e := want("core2 reads", ha.OnRegisterRead)(two.Read(ctx)); !e.Held {
		t.Error("a node that has forgotten everything has deleted the key")
	}
	brief, end := context.WithTimeout(ctx, 200*time.Millisecond)
	if err := two.Await(brief); err == nil {
		t.Error("the key is held, and core2 hears that it is gone")
	}
	end()
	gone := make(chan error, 1)
	go func() { gone <- two.Await(ctx) }()
	if err := one.Revoke(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := <-gone; err != nil {
		t.Errorf("core2 waits for the key: %v", err)
	}
	if err := two.Await(ctx); err != nil {
		t.Errorf("core2 waits for a key that is not there: %v", err)
	}
	want("gone by its own will", ha.OnLeaseGone)(one.Renew(ctx, 1))
	next := want("now core2 takes it", ha.OnLeaseGranted)(two.Take(ctx, 2))
	if next.Epoch <= first.Epoch || next.PeerServed != first.Epoch {
		t.Errorf("got %+v after %+v", next, first)
	}
}

func TestANodeThatIsStartedAnewGivesUpWhatItsLastRunHeld(t *testing.T) {
	t.Parallel()
	url, dir := newRegister(t), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if e, err := shares(t, url, "core1", dir).Take(ctx, 7); err != nil || e.On != ha.OnLeaseGranted {
		t.Fatal(e, err)
	}
	anew := shares(t, url, "core1", dir)
	if err := anew.Revoke(ctx, 7); err != nil {
		t.Fatal(err)
	}
	if e, err := anew.Read(ctx); err != nil || e.Held {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestARegisterThatWentBackIsSeenAndRaised(t *testing.T) {
	t.Parallel()
	url, dir := newRegister(t), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := shares(t, url, "core1", dir)
	e, err := s.Take(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	mark := fmt.Sprintf(`{"cluster":%d,"revision":%d}`, e.Cluster, e.Revision+50)
	if err := writeText(filepath.Join(dir, "etcd", "register.mark"), mark); err != nil {
		t.Fatal(err)
	}
	back := shares(t, url, "core1", dir)
	if got, err := back.Read(ctx); err != nil || got.On != ha.OnRegisterRead || got.Revision != 0 {
		t.Errorf("read: %+v, %v", got, err)
	}
	if got, err := back.Take(ctx, 2); err == nil && got.On == ha.OnLeaseGranted && got.Epoch != 0 {
		t.Errorf("took: %+v", got)
	}
	raised, err := back.Raise(ctx, e.Revision+60)
	if err != nil || raised.On != ha.OnRegisterRaised || raised.Revision <= e.Revision+60 || raised.Cluster != e.Cluster {
		t.Errorf("raised: %+v, %v", raised, err)
	}
}

func TestALeaseThatDoesNotFitTheSettingsIsRefusedInASentence(t *testing.T) {
	t.Parallel()
	e := &Engine{Config: Config{Name: "core1", PeerName: "core2", Lease: &Shared{}, Safety: DefaultSafety()}}
	if faults := e.check(DefaultSettings()); len(faults) > 0 {
		t.Errorf("the defaults do not fit one another: %q", faults)
	}
	if w := e.unwise(DefaultSettings()); len(w) > 0 {
		t.Errorf("warnings of what a lease prevents: %q", w)
	}
	e.Safety.Lease = 30 * time.Second
	if faults := e.check(DefaultSettings()); len(faults) != 1 || !strings.Contains(faults[0], "make the lease longer than") {
		t.Errorf("got %q", faults)
	}
}

func writeText(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }
