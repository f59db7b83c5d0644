package haengine

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestANewNodeServesLikeAStandAloneServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.want(ha.InOff, ha.Active)
		if code, body, epoch := r.page(ha.StatusPage); code != 200 || body != "MOBILEIRON-STATUS: OK" || epoch != "" {
			t.Errorf("got %d %q epoch %q", code, body, epoch)
		}
		r.app.sick = true
		if code, _, _ := r.page(ha.StatusPage); code != 503 {
			t.Errorf("an application that is not well: got %d", code)
		}
		if r.peer.count() != 0 {
			t.Error("it asked its peer though High Availability is disabled")
		}
	})
}

func TestANodeServesAloneUntilItIsActiveForTheFirstTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		want := func(phase ha.Phase, alone bool) {
			t.Helper()
			r.want(phase, ha.Active)
			if got := r.Alone(); got != alone {
				t.Errorf("%v: it serves alone: %t", phase, got)
			}
			if kept := r.keeps != 0; kept == alone {
				t.Errorf("%v: what it writes counts: %t", phase, kept)
			}
		}
		want(ha.InOff, true)
		r.enable(ha.Primary)
		time.Sleep(time.Minute)
		want(ha.InActive, false)
		r.say(ha.OnDisable)
		want(ha.InOff, false)
		r.restart()
		want(ha.InOff, false)
	})
}

func TestASecondaryIsPromotedAfterExactlyAsManyFailuresAsWereSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.peer.set(serving(1), nil)
		r.enable(ha.Secondary)
		r.want(ha.InStandby, ha.Standby)
		if code, body, _ := r.page(ha.HAStatusPage); code != 200 || body != "MOBILEIRON-STATUS: OK (Mode: Standby)" {
			t.Errorf("got %d %q", code, body)
		}
		if code, _, _ := r.page(ha.StatusPage); code != 503 {
			t.Errorf("a stand-by's status page: got %d", code)
		}
		r.saves(map[string]string{"heartbeat interval": "1s", "consecutive_heartbeat_failures_before_failover": "3", "re-check interval": "500ms", "attempt timeout": "500ms", "promotion-hold": "100ms"})
		time.Sleep(30*time.Second + 500*time.Millisecond) // the interval from before is over; now between two
		looks := r.peer.count()
		time.Sleep(10 * time.Second)
		if got := r.peer.count() - looks; got != 10 {
			t.Errorf("%d heartbeats in ten intervals", got)
		}
		r.peer.set(Sight{}, errDown)
		for r.now.Load().Member.Misses == 0 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(998 * time.Millisecond)
		if phase := r.now.Load().Member.Phase; phase >= ha.InDeciding {
			t.Fatalf("%v before the third failure", phase)
		}
		time.Sleep(200 * time.Millisecond)
		r.want(ha.InActive, ha.Active)
		if code, body, epoch := r.page(ha.HAStatusPage); code != 200 || body != "MOBILEIRON-STATUS: OK (Mode: Primary)" || epoch != "2" {
			t.Errorf("got %d %q epoch %q", code, body, epoch)
		}
		h := r.history.transitions()
		if last := h[len(h)-1]; last.To != ha.InActive || last.Epoch != 2 || last.Loss != NoDataset || !strings.Contains(last.Peer, "connection refused") {
			t.Errorf("the history says %+v", last)
		}
	})
}

func TestAPrimaryThatReturnsAfterAPromotionWaitsForAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.enable(ha.Primary)
		r.want(ha.InActive, ha.Active)
		r.stop()
		r.peer.set(serving(5), nil)
		r.start()
		r.want(ha.OutSuperseded, ha.NotAvailable)
		if code, body, _ := r.page(ha.HAStatusPage); code != 503 || body != "MOBILEIRON-STATUS: NOT OK (superseded)" {
			t.Errorf("got %d %q", code, body)
		}
		time.Sleep(time.Hour)
		r.restart()
		r.want(ha.OutSuperseded, ha.NotAvailable)
		r.say(ha.OnModeSecondary)
		r.want(ha.InStandby, ha.Standby)
		r.say(ha.OnModePrimary)
		r.want(ha.InActive, ha.Active)
		if got := r.Status().Served; got != 6 {
			t.Errorf("epoch %d, want 6: the next above 5 that is this node's", got)
		}
	})
}

func TestANodeThatWasFrozenLooksAtItsPeerBeforeItSaysOK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.enable(ha.Primary)
		r.want(ha.InActive, ha.Active)
		r.peer.set(serving(9), nil)
		r.skew.Store(int64(time.Minute)) // frozen: nothing has turned, the clock went on
		if code, body, _ := r.page(ha.StatusPage); code != 503 || body != "MOBILEIRON-STATUS: NOT OK (frozen)" {
			t.Errorf("right after the thaw: got %d %q", code, body)
		}
		time.Sleep(tick)
		r.want(ha.OutSuperseded, ha.NotAvailable)
	})
}

func TestAThawedNodeIsNotOKWhileItLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.enable(ha.Primary)
		r.want(ha.InActive, ha.Active)
		r.peer.takes = 3 * time.Second
		r.peer.set(serving(9), nil)
		r.skew.Store(int64(time.Minute))
		for range 30 { // its loop turns again after at most a tick
			time.Sleep(100 * time.Millisecond)
			if code, body, _ := r.page(ha.StatusPage); code != 503 {
				t.Fatalf("got %d %q before it has seen its peer", code, body)
			}
		}
		if r.MayServe() {
			t.Error("the door would let in")
		}
		time.Sleep(2 * time.Second)
		r.want(ha.OutSuperseded, ha.NotAvailable)
	})
}

func TestWhatIsSaidOnTheWayIsDoneOnArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.app.mute = true
		r.enable(ha.Primary)
		r.want(ha.InPromoting, ha.NotAvailable)
		if out := r.say(ha.OnDisable); !out.Later || out.Refused != "" {
			t.Errorf("disable was answered with %+v", out)
		}
		r.app.told <- ha.OnAppUp
		r.want(ha.InOff, ha.Active)
	})
}

func TestANewIntervalCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.peer.set(serving(1), nil)
		r.saves(map[string]string{"heartbeat interval": "1h"})
		r.enable(ha.Secondary)
		looks := r.peer.count()
		r.saves(map[string]string{"heartbeat interval": "1s"})
		time.Sleep(3500 * time.Millisecond)
		if got := r.peer.count() - looks; got != 3 {
			t.Errorf("%d heartbeats in three and a half new intervals", got)
		}
	})
}

func TestADoorThatAPersonHasClosedStaysClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.enable(ha.Primary)
		r.want(ha.InActive, ha.Active)
		set := func(closed bool) {
			out, err := r.Save(t.Context(), func(s Settings) (Settings, error) { s.DoorClosed = closed; return s, nil }, "anna")
			if err != nil || out.Refused != "" {
				t.Fatal(out, err)
			}
		}
		set(true)
		for range 2 {
			if state, _ := r.State(); state != ha.Active || r.door.is() {
				t.Errorf("it is %v, door open: %t", state, r.door.is())
			}
			r.restart()
			synctest.Wait()
		}
		set(false)
		r.want(ha.InActive, ha.Active)
	})
}

func TestAFrozenNodeWhosePeerIsDownServesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.enable(ha.Primary)
		r.skew.Store(int64(time.Minute))
		time.Sleep(tick)
		r.want(ha.InActive, ha.Active)
	})
}

func TestADamagedStateIsNeverGuessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, damage := range damages() {
			r := newRig(t)
			r.enable(ha.Primary)
			r.stop()
			damage.do(t, r.dir)
			r.app.did = nil
			r.start()
			if state, _ := r.State(); state != ha.NotAvailable {
				t.Errorf("%s: it is %v", damage.name, state)
			}
			for _, page := range []ha.Page{ha.StatusPage, ha.HAStatusPage} {
				if code, body, _ := r.page(page); code != 503 || !strings.Contains(body, "state cannot be used") {
					t.Errorf("%s: got %d %q", damage.name, code, body)
				}
			}
			if out := r.say(ha.OnModePrimary); !strings.Contains(out.Refused, damage.says) {
				t.Errorf("%s: mode primary was answered with %q, want %q", damage.name, out.Refused, damage.says)
			}
			if len(r.app.did) > 0 || r.door.is() {
				t.Errorf("%s: it did %v, door open: %t", damage.name, r.app.did, r.door.is())
			}
			r.stop()
		}
	})
}

func TestAnEpochFromNowhereIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.enable(ha.Primary)
		r.peer.set(serving(1<<40), nil)
		time.Sleep(time.Minute)
		r.want(ha.InActive, ha.Active)
		if got := r.Status().Seen; got != 0 {
			t.Errorf("epoch %d was believed", got)
		}
	})
}

func TestAStartThatFailsLeavesTheNodeInStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.app.stuck = true
		r.peer.set(serving(1), nil)
		r.enable(ha.Secondary)
		r.app.did = nil
		r.peer.set(Sight{}, errDown)
		time.Sleep(time.Minute + 16*time.Second)
		r.want(ha.InHeld, ha.Standby)
		if got := strings.Join(r.app.did, " "); got != "start start start stop" {
			t.Errorf("it did: %s", got)
		}
	})
}

func TestAnActiveThatSeesAHigherEpochStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.enable(ha.Primary)
		r.want(ha.InActive, ha.Active)
		r.peer.set(serving(5), nil)
		time.Sleep(11 * time.Second)
		r.want(ha.OutSuperseded, ha.NotAvailable)
		if r.app.runs {
			t.Error("its application runs on")
		}
	})
}

func TestTwoThatStandByWaitForAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.enable(ha.Primary)
		r.peer.set(standing(0), nil)
		r.say(ha.OnModeSecondary)
		time.Sleep(time.Hour)
		r.want(ha.InHeld, ha.Standby)
		if got := r.Status().Mind; !strings.Contains(got, "nobody serves until a person says failover mode primary") {
			t.Errorf("the status says %q", got)
		}
		r.say(ha.OnModePrimary)
		r.want(ha.InActive, ha.Active)
	})
}

func TestModePrimaryAsksThePeerToStepDownAndSaysWhyItCannot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.peer.set(serving(1), nil)
		r.enable(ha.Secondary)
		time.Sleep(11 * time.Second) // a heartbeat has told the peer's epoch
		if out := r.say(ha.OnModePrimary); out.Refused != "" {
			t.Errorf("mode primary was refused: %s", out.Refused)
		}
		r.want(ha.InActive, ha.Active)
		if len(r.peer.downed) != 1 || r.peer.downed[0] != 1 {
			t.Errorf("asked to step down: %v, want once at epoch 1", r.peer.downed)
		}
		var log strings.Builder
		if err := r.journal.export(&log, 0); err != nil || !strings.Contains(log.String(), "the nodes do not trust one another yet") {
			t.Errorf("the log does not say why: %v\n%s", err, log.String())
		}
	})
}

func TestAnEngineThatHasEndedLeavesItsApplicationToTheSupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		if guards, _ := r.Guards(); guards {
			t.Error("High Availability is disabled, and the supervisor would stop the application")
		}
		r.enable(ha.Primary)
		r.want(ha.InActive, ha.Active)
		r.stop()
		if guards, _ := r.Guards(); !guards {
			t.Error("its supervisor would let the application run on, and nobody renews the lease")
		}
	})
}

func TestANodeThatCannotStoreEndsAndServesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no space left on device")
		app, door := &play{told: make(chan ha.On, 64)}, new(latch)
		writes := 0
		e, err := Open(Config{
			Name: "core2", PeerName: "core1", Dir: t.TempDir(), Peer: &twin{err: errDown}, App: app, Door: door, Log: slog.New(slog.DiscardHandler),
			store: func(path string, value any) error {
				if writes++; writes > 2 {
					return full
				}
				return save(path, value)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- e.Run(t.Context()) }()
		synctest.Wait()
		did := len(app.did)
		go func() { _, _ = e.Say(t.Context(), ha.Event{On: ha.OnEnable, Mode: ha.Primary}, "anna", "") }()
		if err := <-ended; !errors.Is(err, full) {
			t.Errorf("it ended with %v", err)
		}
		if state, why := e.State(); state != ha.NotAvailable || why != "ended" {
			t.Errorf("its page says %v (%s)", state, why)
		}
		if door.is() {
			t.Error("the door is open")
		}
		for _, one := range app.did[did:] {
			if one == "start" {
				t.Errorf("the application was started at an epoch that nobody has stored: %v", app.did)
			}
		}
		var kept ha.Kept
		if _, err := load(filepath.Join(e.Dir, memberFile), &kept); err != nil || kept.Epoch != 0 {
			t.Errorf("on the disk is %+v, %v", kept, err)
		}
	})
}
