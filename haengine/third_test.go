package haengine

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// remoteSite is the pages of a node for disaster recovery: the epoch at which it is
// Active, 0 while it is down.
type remoteSite struct{ epoch atomic.Uint64 }

func (s *remoteSite) RoundTrip(r *http.Request) (*http.Response, error) {
	epoch := s.epoch.Load()
	if epoch == 0 {
		return nil, errDown
	}
	w := httptest.NewRecorder()
	w.Header().Set(epochHeader, strconv.FormatUint(epoch, 10))
	text := "MOBILEIRON-STATUS: OK"
	if !strings.HasSuffix(r.URL.Path, ha.Profile{}.Path(ha.StatusPage)) {
		text += " (Mode: Primary)"
	}
	_, _ = w.WriteString(text)
	return w.Result(), nil
}

func newThird() (*Third, *remoteSite) {
	s := new(remoteSite)
	p := NewPages("http://dr1")
	p.client.Transport = s
	return &Third{Name: "dr1", Pages: p}, s
}

func TestWhoReturnsBesideTheThirdNodeWaitsForAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, safe := range []bool{false, true} {
			r := bareRig(t)
			if safe {
				r.vault = &vault{app: r.app}
			}
			var site *remoteSite
			r.third, site = newThird()
			r.start()
			r.enable(ha.Primary)
			r.want(ha.InActive, ha.Active)
			r.stop()
			site.epoch.Store(1 << 40) // no epoch of ours
			r.start()
			r.want(ha.InActive, ha.Active)
			r.stop()
			site.epoch.Store(50)
			r.start()
			time.Sleep(time.Second)
			r.want(ha.OutSuperseded, ha.NotAvailable)
			if said := strings.Join(r.Status().Warnings, "\n"); !strings.Contains(said, "dr1, for disaster recovery, was Active at epoch 50") {
				t.Errorf("safe %t: status says %s", safe, said)
			}
			r.say(ha.OnModePrimary) // a person may, whatever the third node does
			time.Sleep(time.Minute)
			if safe { // its epochs are the register's revisions, which are below dr1's
				r.want(ha.OutWentBack, ha.NotAvailable)
				r.say(ha.OnModePrimary)
				time.Sleep(time.Minute)
			}
			r.want(ha.InActive, ha.Active)
			if epoch := r.Status().Served; epoch <= 50 {
				t.Errorf("it serves at epoch %d", epoch)
			}
			r.stop()
		}
	})
}

func TestAnActiveNodeStopsForAThirdThatWasBroughtOnlineMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := bareRig(t)
		var site *remoteSite
		r.third, site = newThird()
		r.start()
		r.peer.set(standing(0), nil)
		r.enable(ha.Primary)
		r.want(ha.InActive, ha.Active)
		time.Sleep(time.Minute)
		r.want(ha.InActive, ha.Active)
		site.epoch.Store(3)
		time.Sleep(time.Minute)
		r.want(ha.OutSuperseded, ha.NotAvailable)
	})
}
