package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// hookTo gives a Webhook that posts to a URL.
func hookTo(t *testing.T, url string, edit func(*WebhookConfig)) (*Webhook, *journal) {
	t.Helper()
	cfg := WebhookConfig{URL: url}
	if edit != nil {
		edit(&cfg)
	}
	log := &journal{}
	w, err := NewWebhook(cfg, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	return w, log
}

func receiver(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.URL
}

func decoded(t *testing.T, r *http.Request) Message {
	t.Helper()
	var m Message
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		t.Error(err)
	}
	return m
}

func secretIn(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := errors.Join(os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAWebhookPostsTheMessageAsJSON(t *testing.T) {
	t.Parallel()
	type seen struct {
		method, path string
		header       http.Header
		body         map[string]any
	}
	got := make(chan seen, 1)
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		s := seen{method: r.Method, path: r.RequestURI, header: r.Header}
		if err := json.NewDecoder(r.Body).Decode(&s.body); err != nil {
			t.Error(err)
		}
		got <- s
		w.WriteHeader(http.StatusNoContent)
	})
	w, _ := hookTo(t, url+"/hook?token=x", nil)
	stage := newStage()
	stage.play(t, strings.Fields("core1=Active core2=Active dr1=Standby"))
	m := stage.all[0]
	m.ID = newID(m.At)
	if err := w.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	s := <-got
	if s.method != "POST" || s.path != "/hook?token=x" || s.header.Get("Content-Type") != "application/json" || s.header.Get("Idempotency-Key") != m.ID {
		t.Errorf("got %s %s %v", s.method, s.path, s.header)
	}
	if s.header.Get("X-Understudy-Signature") != "" {
		t.Error("signed without a secret")
	}
	for key, want := range map[string]any{
		"version": 1.0, "id": m.ID, "key": "mdm/unknown", "group": "mdm", "event": "unknown", "severity": "alarm",
		"at": "2026-01-02T03:04:10Z", "epoch": 1.0, "text": m.Text, "do": m.Do,
	} {
		if s.body[key] != want {
			t.Errorf("%s: got %v, want %v", key, s.body[key], want)
		}
	}
	if readings, _ := s.body["evidence"].([]any); len(readings) != 3 {
		t.Errorf("evidence: got %v, want three readings", s.body["evidence"])
	}
}

func TestTheSignatureVerifies(t *testing.T) {
	t.Parallel()
	const secret = "horse battery staple"
	wrong := make(chan string, 2)
	url := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(secret))
		_, _ = io.WriteString(mac, r.Header.Get("X-Understudy-Timestamp")+"."+string(body))
		got, want := r.Header.Get("X-Understudy-Signature"), "sha256="+hex.EncodeToString(mac.Sum(nil))
		if got != want {
			wrong <- got + " is not " + want
		}
	})
	path := secretIn(t, secret+"\n", 0o600)
	w, log := hookTo(t, url, func(c *WebhookConfig) { c.SecretFile = path })
	if err := w.Send(t.Context(), say(1)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("another"), 0o600); err != nil { // it is read at each delivery
		t.Fatal(err)
	}
	if err := w.Send(t.Context(), say(2)); err != nil {
		t.Fatal(err)
	}
	if got := len(wrong); got != 1 {
		t.Errorf("%d of 2 signatures do not verify, want only that of the replaced secret", got)
	}
	if log.String() != "" {
		t.Errorf("logged %s", log)
	}
}

func TestASecretThatCannotBeUsedStopsTheDelivery(t *testing.T) {
	t.Parallel()
	url := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("a message went out unsigned") })
	for _, tt := range []struct{ content, want string }{
		{"", "is empty"}, {"\n", "is empty"}, {strings.Repeat("x", secretLimit+1), "larger than it may be"}, {"gone", "no such file"},
	} {
		path := secretIn(t, tt.content, 0o600)
		w, _ := hookTo(t, url, func(c *WebhookConfig) { c.SecretFile = path })
		if tt.content == "gone" {
			os.Remove(path)
		}
		err := w.Send(t.Context(), say(1))
		var no *Rejected
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) || errors.As(err, &no) {
			t.Errorf("got %v, want a passing error with %q", err, tt.want)
		}
	}
}

func TestASecretThatEveryoneCanReadIsWarnedOfOnce(t *testing.T) {
	t.Parallel()
	url := receiver(t, func(http.ResponseWriter, *http.Request) {})
	path := secretIn(t, "open secret", 0o604)
	w, log := hookTo(t, url, func(c *WebhookConfig) { c.SecretFile = path })
	for range 3 {
		if err := w.Send(t.Context(), say(1)); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(log.String(), "level=WARN"); got != 1 || strings.Contains(log.String(), "open secret") {
		t.Errorf("got %s, want one warning without the secret", log)
	}
}

func TestAnswersAreJudged(t *testing.T) {
	t.Parallel()
	var code atomic.Int64
	var after atomic.Value
	after.Store("")
	url := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		if s, _ := after.Load().(string); s != "" {
			w.Header().Set("Retry-After", s)
		}
		w.WriteHeader(int(code.Load()))
	})
	w, _ := hookTo(t, url, nil)
	const passes, rejects = "passes", "rejects"
	for _, tt := range []struct {
		code  int
		after string
		want  string
	}{
		{200, "", "ok"},
		{201, "", "ok"},
		{202, "", "ok"},
		{204, "", "ok"},
		{299, "", "ok"},
		{300, "", passes},
		{301, "", passes},
		{302, "", passes},
		{304, "", passes},
		{307, "", passes},
		{308, "", passes},
		{400, "", rejects},
		{401, "", rejects},
		{403, "", rejects},
		{404, "", rejects},
		{410, "", rejects},
		{413, "", rejects},
		{422, "", rejects},
		{499, "", rejects},
		{408, "", passes},
		{425, "", passes},
		{429, "", passes},
		{500, "", passes},
		{502, "", passes},
		{503, "", passes},
		{504, "", passes},
		{429, "120", "2m0s"},
		{503, "7", "7s"},
		{503, "99999999", "1h0m0s"},
		{429, "-1", passes},
		{429, "soon", passes},
		{503, "0", passes},
		{503, "Fri, 02 Jan 1970 00:00:00 GMT", passes},
		{503, time.Now().Add(24 * time.Hour).UTC().Format(http.TimeFormat), "1h0m0s"},
		{500, "120", passes},
		{404, "120", rejects},
	} {
		code.Store(int64(tt.code))
		after.Store(tt.after)
		err := w.Send(t.Context(), say(1))
		var no *Rejected
		var busy *Busy
		got := passes
		switch {
		case err == nil:
			got = "ok"
		case errors.As(err, &no):
			got = rejects
		case errors.As(err, &busy):
			got = busy.After.String()
		}
		if got != tt.want {
			t.Errorf("%d, Retry-After %q: got %s (%v), want %s", tt.code, tt.after, got, err, tt.want)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	other := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	for _, location := range []string{other + "/?token=loc4tion", "http://%zz?token=loc4tion"} {
		url := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		w, _ := hookTo(t, url, nil)
		err := w.Send(t.Context(), say(1))
		if err == nil || !strings.Contains(err.Error(), "answered 307, and redirects are not followed") || strings.Contains(err.Error(), "loc4tion") {
			t.Errorf("got %v", err)
		}
	}
}

func TestAReceiverThatHangsIsCutOff(t *testing.T) {
	t.Parallel()
	free := make(chan struct{})
	silent := receiver(t, func(http.ResponseWriter, *http.Request) { <-free })
	t.Cleanup(func() { close(free) })                  // before the receiver is closed
	listening, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listening.Close() })
	for _, url := range []string{silent, "http://" + listening.Addr().String(), "https://" + listening.Addr().String()} {
		w, _ := hookTo(t, url, func(c *WebhookConfig) { c.Timeout = 50 * time.Millisecond })
		err := w.Send(t.Context(), say(1))
		if err == nil || !strings.HasSuffix(err.Error(), "no answer within 50ms") {
			t.Errorf("got %v", err)
		}
	}
}

func TestAHugeAnswerIsNotRead(t *testing.T) {
	t.Parallel()
	wrote := make(chan int64, 1)
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(w, io.LimitReader(endless{}, 1<<30)) // ends when the connection does
		wrote <- n
	})
	w, _ := hookTo(t, url, nil)
	if err := w.Send(t.Context(), say(1)); err != nil {
		t.Errorf("got %v, want a delivery: the answer was 200", err)
	}
	if n := await(t, wrote); n == 1<<30 {
		t.Error("the whole answer was read")
	}
	url = receiver(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 2*headerLimit))
	})
	w, _ = hookTo(t, url, nil)
	if err := w.Send(t.Context(), say(1)); err == nil {
		t.Error("a header without end was read")
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestCertificatesAreVerified(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it will be refused
	s.StartTLS()
	t.Cleanup(s.Close)
	w, _ := hookTo(t, s.URL, nil)
	if err := w.Send(t.Context(), say(1)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: got %v", err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	w, _ = hookTo(t, s.URL, func(c *WebhookConfig) { c.TLSCA = ca })
	if err := w.Send(t.Context(), say(1)); err != nil {
		t.Errorf("own authority: got %v", err)
	}
	w, _ = hookTo(t, strings.Replace(s.URL, "127.0.0.1", "localhost", 1), func(c *WebhookConfig) { c.TLSCA = ca })
	if err := w.Send(t.Context(), say(1)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("another name: got %v", err)
	}
}

func TestTheProxyEnvironmentIsIgnored(t *testing.T) { // not parallel: it sets the environment
	proxy := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("went through the proxy") })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy)
	}
	w, _ := hookTo(t, "http://hook.invalid/", nil)
	if w.transport.Proxy != nil {
		t.Error("the transport asks for a proxy")
	}
	if err := w.Send(t.Context(), say(1)); err == nil {
		t.Error("delivered to a name that does not exist")
	}
}

func TestAFaultyWebhookIsRefusedWithoutShowingItsURL(t *testing.T) {
	t.Parallel()
	empty := secretIn(t, "", 0o600)
	for _, tt := range []struct {
		cfg  WebhookConfig
		want string
	}{
		{WebhookConfig{}, "url is missing"},
		{WebhookConfig{URL: "ftp://h/?tok3n"}, "url must begin with https:// or http://"},
		{WebhookConfig{URL: "h/tok3n"}, "url must begin with https:// or http://"},
		{WebhookConfig{URL: "https:///tok3n"}, "url has no host"},
		{WebhookConfig{URL: "https:tok3n"}, "url has no host"},
		{WebhookConfig{URL: "https://:8443/tok3n"}, "url has no host"},
		{WebhookConfig{URL: "https://u:tok3n@h/"}, "url must not carry a user or a password"},
		{WebhookConfig{URL: "https://tok3n@h/"}, "url must not carry a user or a password"},
		{WebhookConfig{URL: "https://h:tok3n/"}, "url is not a URL"},
		{WebhookConfig{URL: "https://h/%tok3n"}, "url is not a URL"},
		{WebhookConfig{URL: "https://h/\x7ftok3n"}, "url is not a URL"},
		{WebhookConfig{URL: "https://h/", SecretFile: "/nowhere/hook"}, "secret_file cannot be used: stat /nowhere/hook: no such file"},
		{WebhookConfig{URL: "https://h/", TLSCA: "/nowhere/ca"}, "tls_ca cannot be used: stat /nowhere/ca: no such file"},
		{WebhookConfig{URL: "https://h/", TLSCA: empty}, "tls_ca " + empty + " holds no certificate"},
		{WebhookConfig{URL: "https://h/", Timeout: -1}, "timeout -1ns must not be negative"},
	} {
		_, err := NewWebhook(tt.cfg, (&journal{}).logger())
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "tok3n") {
			t.Errorf("%+v: got %v, want %s", tt.cfg, err, tt.want)
		}
	}
	err := WebhookConfig{URL: "x", SecretFile: "/nowhere", Timeout: -1}.Check()
	if got := strings.Count(err.Error(), "\n"); got != 2 {
		t.Errorf("got %v, want three faults at once", err)
	}
}

func TestAWebhookNamesItselfWithoutItsToken(t *testing.T) {
	t.Parallel()
	name := func(url string) string {
		w, _ := hookTo(t, url, nil)
		return w.Name()
	}
	a := name("https://Chat.example.com:8443/hook/tok3n?x=tok3n")
	if !strings.HasPrefix(a, "webhook-chat.example.com_8443-") || strings.Contains(a, "tok3n") {
		t.Errorf("got %s", a)
	}
	if a != name("https://Chat.example.com:8443/hook/tok3n?x=tok3n") || a == name("https://Chat.example.com:8443/hook/other") {
		t.Error("the name must be the same for the same URL, and another for another")
	}
	for _, url := range []string{"https://[2001:db8::1%25eth0]:1/", "https://" + strings.Repeat("a", 250) + "/", "http://ümlaut/"} {
		if err := checkName(name(url)); err != nil {
			t.Error(err)
		}
	}
}
