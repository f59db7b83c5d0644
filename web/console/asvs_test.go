package console

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web/account"
)

// The tests of this file are named after the items of OWASP ASVS 5.0 that they
// prove; docs/reference/asvs.md lists them.

// tls opens the console behind TLS.
func overTLS(t *testing.T) *desk { return openBy(t, httptest.NewTLSServer) }

// post sends a form as a page of the console does.
func (d *desk) post(path string, form url.Values, with *http.Cookie) *http.Response {
	d.t.Helper()
	return d.do(http.MethodPost, "/console"+path, form, with)
}

func (d *desk) get(path string, with *http.Cookie) *http.Response {
	d.t.Helper()
	return d.do(http.MethodGet, "/console"+path, nil, with)
}

// loginAs gives the cookie of another user's session.
func (d *desk) loginAs(name string, role account.Role) *http.Cookie {
	d.t.Helper()
	if err := d.book.AddUser(name, password, role); err != nil {
		d.t.Fatal(err)
	}
	r := d.post("/login", url.Values{"name": {name}, "password": {password}}, nil)
	return r.Cookies()[0]
}

func TestASVS2_3_1AnActIsOnlyDoneAfterWhatItDoesWasShown(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.groups.Pair()
	c := d.as()
	d.post("/groups/mdm/hold", url.Values{"reason": {"a try"}}, c) // the first step alone
	if s, _ := d.groups.Situation("mdm"); s.Traffic.Hold != nil {
		t.Error("the first step has done it")
	}
	d.groups.Lose("mdm", "core1")
	s, _ := d.groups.Situation("mdm")
	stale := url.Values{"step": {"do"}, "reason": {"x"}, "node": {"core1"}, "to": {"core1"}, "epoch": {"1"}, "force": {"yes"}}
	if r := d.post("/groups/mdm/switch", stale, c); r.StatusCode != http.StatusConflict || s.Traffic.Serving != "core2" {
		t.Errorf("what was shown for epoch 1 is done in epoch %d: %s", s.Traffic.Epoch, r.Status)
	}
}

func TestASVS2_3_4AHoldOfARunKeepsOthersOut(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.groups.Pair()
	c := d.as()
	if r := d.post("/groups/mdm/hold", url.Values{"step": {"do"}, "reason": {"upgrade"}}, c); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("hold: %s %s", r.Status, bodyOf(r))
	}
	if r := d.post("/groups/mdm/switch", url.Values{"step": {"do"}, "reason": {"x"}, "to": {"core2"}, "node": {"core2"}}, c); r.StatusCode != http.StatusConflict {
		t.Errorf("a switch under hold: %s", r.Status)
	}
}

func TestASVS2_4_1And6_3_1GuessingIsSlowedDown(t *testing.T) {
	t.Parallel()
	d := open(t)
	last := 0
	for range 7 {
		last = d.post("/login", url.Values{"name": {"anna"}, "password": {"wrong wrong wrong"}}, nil).StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the seventh guess is answered %d", last)
	}
}

func TestASVS3_3_1To3_3_4TheCookieIsHostBoundSecureHttpOnlyAndStrict(t *testing.T) {
	t.Parallel()
	c := overTLS(t).as()
	if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || len(c.Value) < 40 {
		t.Errorf("the cookie is %+v", c)
	}
}

func TestASVS3_4_1To3_4_6EveryAnswerHasTheHeadersThatKeepOthersOut(t *testing.T) {
	t.Parallel()
	d := overTLS(t)
	d.groups.Pair()
	c := d.as()
	for _, path := range []string{"/", "/groups/mdm", "/login", "/nothing", "/users"} {
		h := d.get(path, c).Header
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy %q has no %s", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy is %q", path, csp)
		}
		for name, want := range map[string]string{
			"Strict-Transport-Security": "max-age=31536000", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			"Access-Control-Allow-Origin": "", "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestASVS3_5_1To3_5_3AnotherSitesPageCanDoNothing(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.groups.Pair()
	c := d.as()
	send := func(method string, set func(*http.Request)) int {
		req, err := http.NewRequestWithContext(t.Context(), method, d.URL+"/console/groups/mdm/hold?step=do&reason=x", strings.NewReader("step=do&reason=x"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.AddCookie(c)
		set(req)
		return d.send(req).StatusCode
	}
	for name, set := range map[string]func(*http.Request){
		"by fetch metadata": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"of a subdomain":    func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"by its origin":     func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
	} {
		if code := send(http.MethodPost, set); code != http.StatusForbidden {
			t.Errorf("a form %s is answered %d", name, code)
		}
	}
	send(http.MethodGet, func(*http.Request) {})
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, "TRACE"} {
		if code := send(method, func(*http.Request) {}); code < 400 {
			t.Errorf("%s is answered %d", method, code)
		}
	}
	if s, _ := d.groups.Situation("mdm"); s.Traffic.Hold != nil {
		t.Error("something of it has held the group")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+"/console/", nil) // rebinding
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	req.AddCookie(c)
	if r := d.send(req); r.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("under another's name: %s", r.Status)
	}
}

func TestASVS5_3_2PathsLeadNowhereElse(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := d.as()
	for _, path := range []string{"/static/..%2f..%2fusers.json", "/static/look.css", "/groups/..%2f..%2fetc%2fpasswd", "/groups/%00", "/%2e%2e/%2e%2e/etc/passwd"} {
		if r := d.get(path, c); r.StatusCode != http.StatusNotFound && r.StatusCode != http.StatusMovedPermanently {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	for _, next := range []string{"https://evil.example/", "//evil.example/", `/console/\evil`, "/consoleevil"} {
		r := d.post("/login", url.Values{"name": {"anna"}, "password": {password}, "next": {next}}, nil)
		if to := r.Header.Get("Location"); to != "/console/" {
			t.Errorf("after a login %q leads to %q", next, to)
		}
	}
}

func TestASVS6_3_2NobodyGetsInWithoutAnAccountOfTheirOwn(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.groups.Pair()
	for _, name := range []string{"admin", "root", "understudy", ""} {
		for _, word := range []string{"admin", "password", "understudy", ""} {
			if r := d.post("/login", url.Values{"name": {name}, "password": {word}}, nil); r.StatusCode == http.StatusSeeOther {
				t.Errorf("%s with %q is let in", name, word)
			}
		}
	}
	for _, path := range []string{"/", "/groups/mdm", "/groups/mdm/history", "/users", "/audit", "/live", "/account"} {
		if r := d.get(path, nil); r.StatusCode != http.StatusSeeOther && r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a session: %s", path, r.Status)
		}
	}
}

func TestASVS7_2_4ASessionIsMadeAnewAtLoginAndTheOldOneEnds(t *testing.T) {
	t.Parallel()
	d := open(t)
	first := d.as()
	r := d.do(http.MethodPost, "/console/login", url.Values{"name": {"anna"}, "password": {password}}, first)
	if second := r.Cookies()[0]; second.Value == first.Value {
		t.Error("the session goes on under its old token")
	}
	if r := d.get("/", first); r.StatusCode != http.StatusSeeOther {
		t.Errorf("the old token still lets in: %s", r.Status)
	}
	fixed := &http.Cookie{Name: first.Name, Value: "chosen-by-somebody-else"}
	if r := d.do(http.MethodPost, "/console/login", url.Values{"name": {"anna"}, "password": {password}}, fixed); r.Cookies()[0].Value == fixed.Value {
		t.Error("a token that others have chosen is taken")
	}
}

func TestASVS7_3_1And7_3_2ASessionEndsWhenNobodyIsThereAndAtItsEnd(t *testing.T) {
	t.Parallel()
	d := open(t)
	idle, busy := d.as(), d.as()
	for range 33 {
		d.groups.Advance(14 * time.Minute)
		d.get("/", busy)
	}
	if r := d.get("/", idle); r.StatusCode != http.StatusSeeOther {
		t.Errorf("an idle session: %s", r.Status)
	}
	if r := d.get("/", busy); r.StatusCode != http.StatusOK {
		t.Errorf("a busy session after %v: %s", 33*14*time.Minute, r.Status)
	}
	d.groups.Advance(14 * time.Minute)
	d.get("/", busy)
	d.groups.Advance(14 * time.Minute)
	if r := d.get("/", busy); r.StatusCode != http.StatusSeeOther {
		t.Errorf("a busy session after eight hours: %s", r.Status)
	}
	script := d.as() // what the script asks shows nobody
	for range 2 {
		d.groups.Advance(8 * time.Minute)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+"/console/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.AddCookie(script)
		req.Header.Set("X-Understudy-Live", "1")
		d.send(req)
	}
	if r := d.get("/", script); r.StatusCode != http.StatusSeeOther {
		t.Errorf("a page that looks by itself keeps its session alive: %s", r.Status)
	}
}

func TestASVS7_4_1And7_4_5And7_5_2SessionsEndByLogoutByTheirPersonAndByAnAdmin(t *testing.T) {
	t.Parallel()
	d := open(t)
	one, two := d.as(), d.as()
	if r := d.post("/logout", nil, one); r.StatusCode != http.StatusSeeOther {
		t.Errorf("logout: %s", r.Status)
	}
	if r := d.get("/", one); r.StatusCode != http.StatusSeeOther {
		t.Errorf("after the logout: %s", r.Status)
	}
	three := d.as()
	d.post("/account", url.Values{"do": {"end"}}, two) // the person's other sessions
	if r := d.get("/", three); r.StatusCode != http.StatusSeeOther {
		t.Errorf("after their person has ended them: %s", r.Status)
	}
	bob := d.loginAs("bob", account.Viewer)
	id := ""
	for _, s := range d.book.Sessions() {
		if s.User == "bob" {
			id = s.ID
		}
	}
	d.post("/users", url.Values{"do": {"end"}, "id": {id}}, two)
	if r := d.get("/", bob); r.StatusCode != http.StatusSeeOther {
		t.Errorf("after an admin has ended it: %s", r.Status)
	}
	carl := d.loginAs("carl", account.Viewer)
	if err := d.book.RemoveUser("carl"); err != nil {
		t.Fatal(err)
	}
	if r := d.get("/", carl); r.StatusCode != http.StatusSeeOther {
		t.Errorf("of a user who is gone: %s", r.Status)
	}
}

func TestASVS7_5_3WhoIsAndMayIsAskedForThePasswordAnew(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := d.as()
	d.groups.Advance(6 * time.Minute)
	add := url.Values{"do": {"add"}, "name": {"eve"}, "role": {"admin"}, "new": {password}}
	if r := d.post("/users", add, c); r.StatusCode != http.StatusUnprocessableEntity || len(d.book.Users()) != 1 {
		t.Errorf("without the password: %s, %d users", r.Status, len(d.book.Users()))
	}
	add.Set("password", "wrong wrong wrong")
	d.post("/users", add, c)
	add.Set("password", password)
	if r := d.post("/users", add, c); r.StatusCode != http.StatusSeeOther || len(d.book.Users()) != 2 {
		t.Errorf("with the password: %s, %d users", r.Status, len(d.book.Users()))
	}
}

func TestASVS8_2_1And8_3_1TheServerAsksForTheRoleOfNow(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.groups.Pair()
	viewer := d.loginAs("vera", account.Viewer)
	operator := d.loginAs("otto", account.Operator)
	for path, want := range map[string][2]int{"/groups/mdm": {200, 200}, "/groups/mdm/hold": {403, 200}, "/users": {403, 403}, "/audit": {403, 403}} {
		for i, c := range []*http.Cookie{viewer, operator} {
			if r := d.get(path, c); r.StatusCode != want[i] {
				t.Errorf("%s as %s: %s, want %d", path, []string{"viewer", "operator"}[i], r.Status, want[i])
			}
		}
	}
	if r := d.post("/groups/mdm/hold", url.Values{"step": {"do"}, "reason": {"x"}}, viewer); r.StatusCode != http.StatusForbidden {
		t.Errorf("a viewer holds: %s", r.Status)
	}
	if err := d.book.SetRole("otto", account.Viewer); err != nil {
		t.Fatal(err)
	}
	if r := d.post("/groups/mdm/hold", url.Values{"step": {"do"}, "reason": {"x"}}, operator); r.StatusCode != http.StatusForbidden {
		t.Errorf("who was an operator holds: %s", r.Status)
	}
}

func TestASVS1_2_1AndWhatOthersWroteIsShownAsText(t *testing.T) {
	t.Parallel()
	d := open(t)
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>`
	d.groups.Add("mdm", []string{"core1", "core2"})
	for range 2 {
		d.groups.Read("mdm", "core1", ha.Active)
		d.groups.Read("mdm", "core2", ha.Standby)
		d.groups.Advance(time.Second)
	}
	d.groups.ReadPage("mdm", "core2", evil)
	c := d.as()
	if r := d.post("/groups/mdm/hold", url.Values{"step": {"do"}, "reason": {evil}}, c); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s: %s", r.Status, bodyOf(r))
	}
	d.post("/login", url.Values{"name": {evil}, "password": {evil}}, nil)
	for _, path := range []string{"/", "/groups/mdm", "/groups/mdm/history", "/groups/mdm/release", "/audit", "/groups/" + url.PathEscape(evil), "/groups/mdm?days=" + url.QueryEscape(evil), "/login?next=" + url.QueryEscape(evil)} {
		if text := bodyOf(d.get(path, c)); strings.Contains(text, "<script>alert") || strings.Contains(text, "<img src=x") {
			t.Errorf("%s shows it as markup", path)
		}
	}
	if text := bodyOf(d.get("/groups/mdm", c)); !strings.Contains(text, "&lt;script&gt;alert(1)") {
		t.Error("the group's page does not show what the node and the person wrote at all")
	}
}

func TestASVS13_3AndSecretsStandInNoLogAndNoPage(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := d.as()
	d.post("/login", url.Values{"name": {"anna"}, "password": {"planted-canary-word"}}, nil)
	d.post("/users", url.Values{"do": {"add"}, "name": {"bob"}, "role": {"viewer"}, "new": {"planted-canary-word"}}, c)
	d.post("/account", url.Values{"password": {"planted-canary-word"}, "new": {"planted-canary-two"}, "again": {"planted-canary-two"}}, c)
	for _, place := range []string{d.log.String(), bodyOf(d.get("/audit", c)), bodyOf(d.get("/users", c))} {
		if strings.Contains(place, "canary") || strings.Contains(place, c.Value) || strings.Contains(place, "argon2id") {
			t.Errorf("a secret stands in %.400s", place)
		}
	}
}

func TestASVS15_4_2OfTwoWhoActAtOnceOneIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.groups.Pair()
	c := d.as()
	done := 0
	for range 2 { // both were shown epoch 1
		r := d.post("/groups/mdm/hold", url.Values{"step": {"do"}, "reason": {"x"}, "epoch": {"1"}}, c)
		if r.StatusCode == http.StatusSeeOther {
			done++
		}
	}
	if done != 1 {
		t.Errorf("%d of two were done", done)
	}
}

func TestASVS16_2_1And16_3_1To16_3_3WhatIsDoneAndTriedIsWrittenDown(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.groups.Pair()
	c := d.as()
	viewer := d.loginAs("vera", account.Viewer)
	d.post("/login", url.Values{"name": {"anna"}, "password": {"wrong wrong wrong"}}, nil)
	d.get("/users", viewer)
	d.post("/groups/mdm/hold", url.Values{"step": {"do"}, "reason": {"a reason\nforged=1"}}, c)
	all, err := d.book.Audit(100)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []account.Entry{
		{Who: "anna", Did: "logged in", Outcome: account.Done},
		{Who: "anna", Did: "tried to log in"},
		{Who: "vera", Did: "was refused at /console/users"},
		{Who: "anna", Did: "hold mdm", Reason: "a reason", Outcome: account.Done},
	} {
		found := false
		for _, e := range all {
			found = found || e.Who == want.Who && strings.HasPrefix(e.Did, want.Did) && strings.HasPrefix(e.Reason, want.Reason) &&
				(want.Outcome == "" || e.Outcome == want.Outcome) && e.From == "127.0.0.1" && !e.At.IsZero()
		}
		if !found {
			t.Errorf("nothing says %+v in\n%+v", want, all)
		}
	}
	for line := range strings.Lines(d.log.String()) { // 16.4.1: nobody forges a line
		if strings.HasPrefix(line, "forged=") {
			t.Errorf("a line of the log is forged: %s", line)
		}
	}
}

func TestASVS16_5_1AFaultOfOursTellsNothingOfTheInside(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.groups.Pair()
	c := d.as()
	d.groups.Break(io.ErrUnexpectedEOF)
	r := d.post("/groups/mdm/hold", url.Values{"step": {"do"}, "reason": {"x"}}, c)
	if text := bodyOf(r); r.StatusCode != http.StatusServiceUnavailable || strings.Contains(text, ".go:") || strings.Contains(text, "goroutine") {
		t.Errorf("%s: %.500s", r.Status, text)
	}
	huge := url.Values{"reason": {strings.Repeat("x", 100<<10)}, "step": {"do"}}
	if r := d.post("/groups/mdm/hold", huge, c); r.StatusCode != http.StatusBadRequest {
		t.Errorf("a form of 100 KiB: %s", r.Status)
	}
	if r := d.post("/groups/mdm/hold", url.Values{"reason": {strings.Repeat("x", 2000)}, "step": {"do"}}, c); r.StatusCode != http.StatusBadRequest {
		t.Errorf("a reason of 2,000 bytes: %s", r.Status)
	}
}

func TestASVS16_5_2TheStreamEndsWithItsSession(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.groups.Pair()
	c := d.as()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL+"/console/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(c)
	resp, err := d.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func() string {
		for lines.Scan() {
			if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				return event
			}
		}
		return "the end"
	}
	if got := next(); got != "beat" {
		t.Errorf("the stream begins with %s", got)
	}
	d.groups.Lose("mdm", "core1")
	if got := next(); got != "change" {
		t.Errorf("after a failover comes %s", got)
	}
	d.post("/logout", nil, c)
	for event := next(); event != "bye"; event = next() {
		if event == "the end" {
			t.Fatal("the stream ended without a word")
		}
	}
}
