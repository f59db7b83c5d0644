package haengine

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/remote"
)

// standsBy gives a node core2 that stands by; its peer core1 serves since epoch 3.
func standsBy(t *testing.T, owners ...string) *rig {
	t.Helper()
	r := newRig(t)
	r.owners = owners
	r.peer.set(serving(3), nil)
	r.enable(ha.Secondary)
	time.Sleep(11 * time.Second)
	r.want(ha.InStandby, ha.Standby)
	return r
}

// calls has a front tell that it has left core1 at an epoch; looks says whether
// it looks again where it is asked to.
func (r *rig) calls(front string, epoch uint64, looks bool) (asked bool) {
	r.t.Helper()
	d := remote.TrafficDecided{Group: "mdm", Node: "core2", Epoch: 7, Left: "core1", LeftEpoch: epoch}
	word, err := r.Desk().TrafficDecided(r.t.Context(), front, d)
	if err != nil {
		r.t.Fatal(err)
	}
	if looks && word != "" {
		d.Again = word
		if more, err := r.Desk().TrafficDecided(r.t.Context(), front, d); err != nil || more != "" {
			r.t.Errorf("asked for a third time: %q, %v", more, err)
		}
	}
	synctest.Wait()
	return word != ""
}

func TestTheHoldEndsEarlyWhenEveryOwnerOfTrafficHasDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := standsBy(t, "front1", "front2")
		r.peer.set(Sight{}, errDown)
		time.Sleep(11 * time.Second)
		r.want(ha.InSuspect, ha.Standby)
		r.calls("front1", 3, true)
		r.want(ha.InSuspect, ha.Standby)
		time.Sleep(time.Second)
		r.calls("front2", 3, true)
		r.want(ha.InActive, ha.Active)
		if got := r.Status().Fronts; len(got) != 2 || got[0].Front != "front1" || got[1].Serving != "core2" {
			t.Errorf("status shows %+v", got)
		}
	})
}

func TestWhatAFrontHasOnlySaidBeforeDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := standsBy(t, "front1", "front2")
		r.peer.set(Sight{}, errDown)
		time.Sleep(11 * time.Second)
		r.calls("front1", 3, true)
		time.Sleep(2 * recent)
		r.calls("front2", 3, true) // front1 may have gone back since
		r.want(ha.InSuspect, ha.Standby)
		r.calls("front1", 3, false) // it is asked to look again, and does not
		r.want(ha.InSuspect, ha.Standby)
		d := remote.TrafficDecided{Group: "mdm", Node: "core2", Left: "core1", LeftEpoch: 3, Again: "AAAA"}
		if word, err := r.Desk().TrafficDecided(t.Context(), "front1", d); err != nil || word == "" {
			t.Errorf("a word that was not given: %q, %v", word, err)
		}
		r.want(ha.InSuspect, ha.Standby)
		if r.calls("somebody", 3, true) {
			t.Error("a front that is no owner of traffic was asked to look again")
		}
	})
}

func TestADecisionAboutAnEarlierReignOfThePeerIsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := standsBy(t, "front1")
		r.calls("front1", 2, true)
		r.want(ha.InStandby, ha.Standby)
		if len(r.peer.downed) > 0 {
			t.Errorf("the peer was asked to step down from %v", r.peer.downed)
		}
		r.calls("front1", 3, true)
		if !slices.Contains(r.peer.downed, 3) {
			t.Errorf("clients cannot reach the peer, but it was asked to step down from %v", r.peer.downed)
		}
		r.want(ha.InStandby, ha.Standby)
		yielded := standing(3)
		yielded.Report.State, yielded.Report.Yielded = ha.NotAvailable, true
		r.peer.set(yielded, nil)
		if _, _, err := r.Desk().Hear(t.Context(), "core1", remote.Telling{Report: yielded.Report}); err != nil {
			t.Fatal(err)
		}
		r.want(ha.InActive, ha.Active)
	})
}

func TestOnlyThePeerIsHeardAndObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.enable(ha.Primary)
		r.want(ha.InActive, ha.Active)
		own, said, err := r.Desk().Hear(t.Context(), "dr1", remote.Telling{Report: serving(9).Report})
		if err != nil || own.State != ha.Active || said != "MOBILEIRON-STATUS: OK (Mode: Primary)" {
			t.Errorf("got %+v %q %v", own, said, err)
		}
		var no *ha.Refusal
		if err := r.Desk().StepDown(t.Context(), "dr1", remote.StepDown{Epoch: 9, Firm: true}); !errors.As(err, &no) {
			t.Errorf("got %v", err)
		}
		r.want(ha.InActive, ha.Active)
		if err := r.Desk().StepDown(t.Context(), "core1", remote.StepDown{Epoch: 0, Firm: true}); err != nil {
			t.Error(err)
		}
		r.want(ha.InActive, ha.Active) // about an epoch that is over
		if err := r.Desk().StepDown(t.Context(), "core1", remote.StepDown{Epoch: own.Reign, Firm: true}); err != nil {
			t.Error(err)
		}
		r.want(ha.OutYielded, ha.NotAvailable)
		h := r.history.transitions()
		if last := h[len(h)-1]; last.By != "" && last.To == ha.OutYielded || h[len(h)-2].By != "node core1" {
			t.Errorf("the history says %+v", h[len(h)-2:])
		}
		if own, _, err = r.Desk().Hear(t.Context(), "core1", remote.Telling{Report: serving(own.Reign + 1).Report}); err != nil || own.State != ha.NotAvailable {
			t.Errorf("got %+v %v", own, err)
		}
		r.want(ha.OutSuperseded, ha.NotAvailable)
	})
}
