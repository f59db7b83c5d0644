package haengine

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// told is a twin whose API can be asked: that of another desk.
type told struct {
	*twin
	api *nodeapi.Client
}

func (p told) API() *nodeapi.Client { return p.api }

func TestASwapIsRefusedWithTheFactThatIsAgainstIt(t *testing.T) {
	t.Parallel()
	sync := false
	q := nodeapi.Request{Role: "primary", DataSyncFirst: &sync}
	peer := newDeskOf(t, func(c *Config) { c.Name, c.PeerName = "core1", "core2" })
	d := newDeskOf(t, func(c *Config) { c.Peer = told{c.Peer.(*twin), nodeapi.NewLocal(peer.http)} })
	refused := func(says string) {
		t.Helper()
		_, err := d.Swap(t.Context(), q)
		var no *nodeapi.Refused
		if !errors.As(err, &no) || !strings.Contains(no.Why, says) {
			t.Errorf("got %v, want a refusal that says %q", err, says)
		}
	}
	refused("High Availability is disabled on one of the nodes")
	for _, one := range []*desk{d, peer} {
		if _, err := one.Enable(t.Context(), "secondary", ""); err != nil {
			t.Fatal(err)
		}
		one.await(ha.Standby)
	}
	refused("core1 is not Active but Standby: there is nothing to swap")
	q.Role = "king"
	if _, err := d.Swap(t.Context(), q); err == nil || !strings.Contains(err.Error(), `the mode "king" is not known`) {
		t.Errorf("got %v", err)
	}
	alone := newDesk(t)
	if _, err := alone.Swap(t.Context(), nodeapi.Request{Role: "primary", DataSyncFirst: &sync}); err == nil || !strings.Contains(err.Error(), "do not trust one another") {
		t.Errorf("without trust: got %v", err)
	}
	if got, err := alone.LastSwap(t.Context()); err != nil || got.ID != "" {
		t.Errorf("there was no swap: got %+v, %v", got, err)
	}
}

func TestADamagedJournalOfASwapStopsTheEngineFromDeciding(t *testing.T) {
	t.Parallel()
	r := t.TempDir()
	if err := save(filepath.Join(r, swapFile), "not a swap"); err != nil {
		t.Fatal(err)
	}
	s, err := openSwaps(r, save)
	var damaged *Damaged
	if s == nil || !errors.As(err, &damaged) {
		t.Errorf("got %v, %v", s, err)
	}
	if err := s.keep(nodeapi.Swap{ID: "a", State: nodeapi.SwapDone}); err != nil || !s.now.Load().Over() {
		t.Error("a swap that is done is over")
	}
	if got := (nodeapi.Swap{State: nodeapi.SwapUndoing}); got.Over() {
		t.Error("a swap that is being undone is not over")
	}
}
