//go:build linux

package console

import (
	"net/http"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// What a page may cost, and what those who follow it may.
const (
	mostCPU     = 20 * time.Millisecond
	mostPage    = 100 << 10
	followers   = 500
	mostStreams = 60 << 20
)

// used gives the processor time of this process.
func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// These two are not parallel, for they measure the whole process.

func TestAPageTakesLessThan20MillisecondsAnd100KB(t *testing.T) {
	d := open(t)
	d.day()
	for i := range 200 { // a node that flaps, and a long history
		d.groups.Advance(time.Minute)
		d.groups.Read("mdm", "core2", ha.State(i%2))
		d.alive()
	}
	c := d.as()
	for _, path := range []string{"/", "/groups/mdm", "/groups/mdm?days=30", "/groups/mdm/history", "/groups/mdm/switch"} {
		d.get(path, c)
		const times = 20
		begun, size := used(), 0
		for range times {
			r := d.get(path, c)
			if r.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s", path, r.Status)
			}
			size = len(bodyOf(r))
		}
		each := (used() - begun) / times
		t.Logf("%s: %v of processor time with the client's share, %d bytes", path, each, size)
		if each > mostCPU*slower || size > mostPage {
			t.Errorf("%s: %v of processor time, %d bytes", path, each, size)
		}
	}
}

func TestFiveHundredStreamsTakeLessThan60MB(t *testing.T) {
	d := open(t)
	d.groups.Pair()
	c := d.as()
	transport := &http.Transport{MaxIdleConnsPerHost: followers, DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range followers {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+"/console/live", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.AddCookie(c)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 200)); err != nil {
			t.Fatal(err)
		}
	}
	d.groups.Lose("mdm", "core1")
	runtime.GC()
	runtime.ReadMemStats(&after)
	took := after.HeapInuse + after.StackInuse - before.HeapInuse - before.StackInuse
	t.Logf("%d streams take %.1f MB, both ends together", followers, float64(took)/(1<<20))
	if took > mostStreams {
		t.Errorf("%d streams take %d bytes", followers, took)
	}
}
