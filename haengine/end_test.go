package haengine

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// vault is a register in memory, of which a test says what the other node does.
type vault struct {
	app *play

	mu      sync.Mutex // guards the fields below
	gone    chan struct{}
	holder  string
	attempt uint64
	epoch   uint64
	revoked []string // what ran while a lease was given up
}

func (v *vault) give(holder string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.holder = holder; holder == "" && v.gone != nil {
		close(v.gone)
		v.gone = nil
	}
}

func (v *vault) held() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.holder
}

func (v *vault) Take(_ context.Context, attempt uint64) (ha.Event, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.holder != "" {
		return ha.Event{On: ha.OnLeaseRefused}, nil
	}
	v.holder, v.attempt, v.epoch = "core2", attempt, v.epoch+10
	return ha.Event{On: ha.OnLeaseGranted, Epoch: v.epoch, Revision: v.epoch, Cluster: 1}, nil
}

func (v *vault) Renew(context.Context, uint64) (ha.Event, error) {
	return ha.Event{On: ha.OnLeaseRenewed, Revision: v.epoch, Cluster: 1}, nil
}

func (v *vault) Revoke(_ context.Context, attempt uint64) error {
	time.Sleep(30 * time.Millisecond)
	v.mu.Lock()
	own := v.holder == "core2" && v.attempt == attempt
	v.mu.Unlock()
	if own {
		v.give("")
		v.mu.Lock()
		defer v.mu.Unlock()
		v.revoked = append(v.revoked, map[bool]string{true: "runs", false: "stopped"}[v.app.Well()])
	}
	return nil
}

func (v *vault) Read(context.Context) (ha.Event, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := ha.Event{On: ha.OnRegisterRead, Held: v.holder != "", Revision: v.epoch, Cluster: 1}
	if e.Held {
		e.Epoch = v.epoch
	}
	return e, nil
}

func (v *vault) Await(ctx context.Context) error {
	v.mu.Lock()
	if v.gone == nil {
		v.gone = make(chan struct{})
	}
	gone := v.gone
	v.mu.Unlock()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v *vault) RecordServed(_ context.Context, epoch uint64) (ha.Event, error) {
	return ha.Event{On: ha.OnServedWritten, Epoch: epoch}, nil
}

func (v *vault) Raise(_ context.Context, above uint64) (ha.Event, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.epoch = above + 1
	return ha.Event{On: ha.OnRegisterRaised, Revision: v.epoch, Cluster: 1}, nil
}

// safeRig gives a node core2 of profile safe.
func safeRig(t *testing.T) (*rig, *vault) {
	r := bareRig(t)
	v := &vault{app: r.app}
	r.vault = v
	r.start()
	return r, v
}

func TestAnEngineThatIsToldToEndStopsItsApplicationThenGivesUpTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := safeRig(t)
		r.enable(ha.Primary)
		r.want(ha.InActive, ha.Active)
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > time.Second || v.held() != "" || !slices.Equal(v.revoked, []string{"stopped"}) {
			t.Errorf("it ended after %v; the lease is %q's, and was given up while the application was %q", took, v.held(), v.revoked)
		}
		if may, _ := r.Guards(); may {
			t.Error("the supervisor is to stop an application that has been stopped")
		}
		r.start() // nothing is against it
		r.want(ha.InActive, ha.Active)
	})
}

func TestAnEngineThatIsToldToEndWaitsForItsApplicationButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := safeRig(t)
		r.enable(ha.Primary)
		r.want(ha.InActive, ha.Active)
		r.app.mu.Lock()
		r.app.mute = true // it never stops
		r.app.mu.Unlock()
		began := time.Now()
		r.stop()
		if took, want := time.Since(began), 2*r.settings.StopTimeout; took < want || took > want+r.settings.Retry+time.Second {
			t.Errorf("it ended after %v", took)
		}
		if v.held() != "core2" || r.door.is() {
			t.Errorf("the lease is %q's while the application may run; the door is open: %t", v.held(), r.door.is())
		}
		if did := strings.Join(r.app.did, " "); !strings.HasSuffix(did, "stop kill kill") {
			t.Errorf("it did %s", did)
		}
		if may, _ := r.Guards(); !may {
			t.Error("the supervisor is to leave an application alone that may run")
		}
	})
}

func TestAStandbyTakesTheLeaseAsSoonAsItIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, v := safeRig(t)
		v.give("core1")
		r.peer.set(serving(1), nil)
		r.enable(ha.Secondary)
		r.want(ha.InStandby, ha.Standby)
		r.peer.set(Sight{}, errDown)
		s := DefaultSettings().rules(2)
		time.Sleep(s.Detect() + s.PromotionHold + s.RecheckInterval/2)
		r.want(ha.InHeld, ha.Standby)
		time.Sleep(3 * s.RecheckInterval) // tries again and again, without another hold
		r.want(ha.InHeld, ha.Standby)
		v.give("")
		time.Sleep(100 * time.Millisecond)
		r.want(ha.InActive, ha.Active)

		// Nothing watches a key that nobody waits for.
		r.say(ha.OnModeSecondary)
		v.give("core1")
		r.peer.set(serving(30), nil)
		time.Sleep(time.Minute)
		r.want(ha.InStandby, ha.Standby)
		v.give("")
		time.Sleep(time.Minute)
		r.want(ha.InStandby, ha.Standby)
	})
}
