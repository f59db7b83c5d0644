//go:build linux

package integration

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// TestAnApplicationThatIsStartedAnewLosesNoRequest closes the application of the
// serving node for a second, while its status page goes on to say Active: what
// comes in meanwhile waits, POSTs too, for none of it was sent.
func TestAnApplicationThatIsStartedAnewLosesNoRequest(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	at := loopback(freePort(t))
	serve := func() *http.Server {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Node", "core1") }), ReadHeaderTimeout: time.Minute}
		s.SetKeepAlivesEnabled(false) // a connection that ends while it is used is another story
		go func() { _ = s.Serve(l) }()
		return s
	}
	app := serve()
	f := startFront(t, plan{nodes: []node{core1, core2}, url: map[string]string{"core1": "http://" + at, "core2": core2.URL()}})
	client := &http.Client{Timeout: patience}
	ask := func(method string) (string, error) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+f.at.site, nil)
		if err != nil {
			return "", err
		}
		resp, err := client.Do(r)
		if err != nil {
			return "", err
		}
		_ = resp.Body.Close()
		return resp.Status, nil
	}
	if got, err := ask("GET"); got != "200 OK" {
		t.Fatalf("before: %s, %v", got, err)
	}
	if err := app.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		status string
		err    error
		after  time.Duration
	}
	began := time.Now()
	answers := make(chan answer)
	methods := []string{"GET", "POST", "PUT", "GET", "POST"}
	for _, m := range methods {
		go func() {
			status, err := ask(m)
			answers <- answer{status, err, time.Since(began)}
		}()
	}
	const away = time.Second
	elapse(away)
	app = serve()
	defer func() { _ = app.Close() }()
	for range methods {
		if a := <-answers; a.status != "200 OK" || a.after < away {
			t.Errorf("%s after %v, %v: want a good answer once the application is back", a.status, a.after, a.err)
		}
	}
	if g := f.group(); g.Serving != "core1" || g.Epoch != 1 {
		t.Errorf("traffic is on %s at epoch %d", g.Serving, g.Epoch)
	}
}
