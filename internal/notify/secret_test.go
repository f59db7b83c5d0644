package notify

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestSecretsAreInNoLogAndNoError lets deliveries fail in every way, with the
// other side echoing what it was sent, and looks through all that was logged.
func TestSecretsAreInNoLogAndNoError(t *testing.T) {
	t.Parallel()
	const token, secret = "t0ken-in-the-url", "s3cret-in-the-file"
	path := secretIn(t, secret, 0o644)
	for name, answer := range map[string]func(c net.Conn, request []byte){
		"echo":        func(c net.Conn, request []byte) { _, _ = c.Write(request) },
		"echo status": func(c net.Conn, request []byte) { _, _ = c.Write(append([]byte("HTTP/1.1 "), request...)) },
		"echo header": func(c net.Conn, request []byte) { _, _ = c.Write(append([]byte("HTTP/1.1 200 OK\r\n"), request...)) },
		"hang up":     func(net.Conn, []byte) {},
		"reject": func(c net.Conn, request []byte) {
			_, _ = io.WriteString(c, "HTTP/1.1 400 "+token+"\r\nX: "+secret+"\r\n\r\n"+token+secret)
		},
		"redirect": func(c net.Conn, _ []byte) {
			_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: http://x/?"+token+"\r\nContent-Length: 0\r\n\r\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for _, url := range []string{"http://hook.test/path?key=" + token, "http://hook.test/" + token, "http://hook.test/" + token + "/?" + token} {
					n, hook := startHook(t, url, path, func(c net.Conn) {
						request := make([]byte, 64<<10)
						k, _ := c.Read(request)
						answer(c, request[:k])
						c.Close()
					})
					n.Tell(say(1))
					time.Sleep(time.Minute)
					n.stop()
					logged := n.log.String() + hook.String()
					if !strings.Contains(logged, "hook.test") {
						t.Errorf("no failure is logged: %s", logged)
					}
					if strings.Contains(logged, token) || strings.Contains(logged, secret) {
						t.Errorf("a secret is logged: %s", logged)
					}
				}
			})
		})
	}
}

// startHook runs a Notifier with one signed Webhook whose connections, all in
// memory, are handled by serve. It also gives the Webhook's own log.
func startHook(t *testing.T, url, secret string, serve func(net.Conn)) (*running, *journal) {
	t.Helper()
	hook, log := hookTo(t, url, func(c *WebhookConfig) { c.SecretFile = secret })
	hook.transport.DialContext = dialTo(serve)
	return start(t, t.TempDir(), nil, hook), log
}

// TestAWebhookOutlivesAnOutage is the whole way, from Tell to a real HTTP
// server, through a day in which that is down, busy and back.
func TestAWebhookOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got []string
		var asked []time.Time
		begin := time.Now()
		since := func(d time.Duration) bool { return time.Since(begin) >= d }
		conns := make(chan net.Conn)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, time.Now())
			if !since(13 * time.Hour) {
				w.Header().Set("Retry-After", "1800")
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			got = append(got, decoded(t, r).Text)
		})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(memoryListener{conns}) }()
		n, _ := startHook(t, "http://hook.test/", "", func(c net.Conn) {
			if !since(12 * time.Hour) {
				c.Close()
				return
			}
			conns <- c
		})
		for i := range 5 {
			n.Tell(say(i))
			time.Sleep(time.Hour)
		}
		time.Sleep(9 * time.Hour)
		same(t, "receiver", got, saying(0, 4))
		if busy := asked[1].Sub(asked[0]); busy != 30*time.Minute {
			t.Errorf("tried again after %s, want Retry-After's 30 minutes", busy)
		}
		n.stop()
		server.Close()
		<-served
	})
}
