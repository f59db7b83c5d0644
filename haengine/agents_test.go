package haengine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// sensors are agents of a test, each of which says every 30 s which node it
// reaches. say gives what it says; empty is nothing.
func (r *rig) sensors(n int, say func(sensor int) string) (stop func()) {
	h := r.Control(func(*http.Request) string { return "agent" })
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			timer := time.NewTimer(time.Duration(i) * 30 * time.Second / time.Duration(n))
			for {
				select {
				case <-ctx.Done():
					return
				case <-timer.C:
					timer.Reset(30 * time.Second)
				}
				if node := say(i); node != "" {
					w := httptest.NewRecorder()
					h.ServeHTTP(w, httptest.NewRequest("PUT", fmt.Sprintf("/ha/v1/agents/sensor%d", i), strings.NewReader(fmt.Sprintf(`{"reaches":%q}`, node))))
					if w.Code != 200 {
						r.t.Errorf("sensor%d: %d %s", i, w.Code, w.Body)
					}
				}
			}
		})
	}
	stop = func() { cancel(); all.Wait() }
	r.t.Cleanup(stop)
	return stop
}

// Microsoft Defender for IoT guide, failover process.
func TestMoreThanHalfOfAThousandAgentsPromoteTheSecondaryAndHalfDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.peer.set(serving(1), nil) // the nodes see one another well
		r.peer.yields = true
		r.enable(ha.Secondary)
		r.saves(map[string]string{"client majority": "yes"})
		var moved atomic.Int64
		defer r.sensors(1000, func(i int) string {
			if int64(i) < moved.Load() {
				return "core2"
			}
			return "core1"
		})()
		time.Sleep(time.Minute)
		r.want(ha.InStandby, ha.Standby)
		moved.Store(500) // exactly half: both serve, nothing changes
		time.Sleep(5 * time.Minute)
		r.want(ha.InStandby, ha.Standby)
		if a := r.Status().Agents; a == nil || a.Known != 1000 || a.Here != 500 || a.Peer != 500 || a.Silent != 0 {
			t.Fatalf("the agents are %+v", a)
		}
		moved.Store(501)
		time.Sleep(2 * time.Minute)
		r.want(ha.InStandby, ha.Standby)
		if said := strings.Join(r.Status().Warnings, "\n"); !strings.Contains(said, "501 of 1000 reach core2, 499 reach core1") {
			t.Errorf("status says %s", said)
		}
		time.Sleep(2 * time.Minute)
		r.want(ha.InActive, ha.Active)
		if len(r.peer.downed) == 0 || r.peer.downed[0] != 1 {
			t.Errorf("core1 was asked to step down from %v", r.peer.downed)
		}
		if told, _ := r.post.take(); strings.Join(told, ", ") != "alarm notice, warning becomes-primary" {
			t.Errorf("people were told %q", told)
		}
		if said := strings.Join(r.Status().Warnings, "\n"); !strings.Contains(said, "It stays Active when they go back to core1 (Resume: manual)") {
			t.Errorf("status says %s", said)
		}
		r.saves(map[string]string{"resume": "client_majority"})
		if said := strings.Join(r.Status().Warnings, "\n"); !strings.Contains(said, "When more than half are back with core1, it becomes Active again by itself") {
			t.Errorf("status says %s", said)
		}
	})
}

func TestASupersededPrimaryComesBackByItsAgentsOnlyWhereThatIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, resume := range []string{"manual", "client_majority"} {
			r := newRig(t)
			r.enable(ha.Primary)
			r.peer.set(serving(6), nil)
			r.saves(map[string]string{"client majority": "yes", "resume": resume})
			time.Sleep(time.Minute)
			r.want(ha.OutSuperseded, ha.NotAvailable)
			stop := r.sensors(1000, func(int) string { return "core2" }) // they keep the loop awake all the time
			r.peer.set(Sight{Heard: true, Report: ha.Report{State: ha.NotAvailable, Served: 6, Yielded: true}}, nil)
			time.Sleep(10 * time.Minute)
			if resume == "manual" {
				r.want(ha.OutSuperseded, ha.NotAvailable)
			} else {
				r.want(ha.InActive, ha.Active)
			}
			stop()
			r.stop()
		}
	})
}

func TestAgentsThatWereHeardCountAfterARestartAsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.peer.set(serving(1), nil)
		r.enable(ha.Secondary)
		r.saves(map[string]string{"client majority": "yes"})
		stop := r.sensors(10, func(i int) string { return "core1" })
		time.Sleep(time.Minute)
		stop()
		r.restart()
		defer r.sensors(5, func(int) string { return "core2" })() // the other half is cut off from this node
		time.Sleep(20 * time.Minute)
		r.want(ha.InStandby, ha.Standby)
		if a := r.Status().Agents; a == nil || a.Known != 10 || a.Here != 5 || a.Silent != 5 {
			t.Errorf("the agents are %+v", a)
		}
	})
}

func TestAnAgentIsNamedPlainlyAndCanBeDropped(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	ctx := t.Context()
	if _, err := d.Save(ctx, map[string]string{"client majority": "yes"}, ""); err != nil {
		t.Fatal(err)
	}
	var no *nodeapi.Refused
	if err := d.Reach(ctx, "a b", "core1"); !errors.As(err, &no) || no.Code != 400 {
		t.Errorf("a name with a blank: %v", err)
	}
	if err := d.Reach(ctx, "a", "elsewhere"); !errors.As(err, &no) || no.Code != 400 || !strings.Contains(no.Do, "core2 or core1") {
		t.Errorf("another node: %v", err)
	}
	for _, one := range []string{"b", "a", "b"} {
		if err := d.Reach(ctx, one, "core2"); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.DropAgent(ctx, "c"); !errors.As(err, &no) || no.Code != 409 {
		t.Errorf("drop of one that is not there: %v", err)
	}
	if err := d.DropAgent(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if a, err := d.Agents(ctx); err != nil || a.Known != 1 || a.Here != 1 || strings.Join(a.Names, " ") != "b" {
		t.Errorf("got %+v, %v", a, err)
	}
}
