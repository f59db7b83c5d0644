package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/apitest"
	"github.com/understudy-ha/understudy/internal/ha"
)

// serve starts the API of groups and stops it with the test.
func serve(t *testing.T, c api.Config) *httptest.Server {
	t.Helper()
	a := api.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	s := httptest.NewServer(a.Handler())
	t.Cleanup(func() {
		cancel()
		running.Wait()
		s.Close()
	})
	return s
}

func client(t *testing.T, groups api.Groups) *api.Client {
	t.Helper()
	c, err := api.NewClient(serve(t, api.Config{Groups: groups, Watcher: "front-a"}).URL, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func pair() *apitest.Memory {
	m := apitest.New()
	m.Pair()
	return m
}

// ask sends one request to the API of m and gives the answer and its body.
func ask(t *testing.T, m api.Groups, req *http.Request) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	api.New(api.Config{Groups: m, Watcher: "front-a"}).Handler().ServeHTTP(w, req)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

func post(path, body string) *http.Request {
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	return req
}

func TestAGroupIsToldInTheDocumentedShape(t *testing.T) {
	t.Parallel()
	resp, body := ask(t, pair(), httptest.NewRequest(http.MethodGet, "/understudy/groups/mdm", nil))
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: got %q", got)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	pretty, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "group_json", string(pretty)+"\n")
}

func TestTheListHasEveryGroup(t *testing.T) {
	t.Parallel()
	m := pair()
	m.Add("sentry", []string{"s1"})
	groups, err := client(t, m).Groups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, g := range groups {
		names = append(names, g.Name)
	}
	if diff := cmp.Diff([]string{"mdm", "sentry"}, names); diff != "" {
		t.Error(diff)
	}
	if !groups[1].Starting() || groups[0].Starting() {
		t.Errorf("got %+v, want only sentry starting", groups)
	}
}

func TestEveryWrongRequestIsAnsweredWithASentence(t *testing.T) {
	t.Parallel()
	const hold = "/understudy/groups/mdm/hold"
	get := func(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }
	with := func(req *http.Request, field, value string) *http.Request {
		req.Header.Set(field, value)
		return req
	}
	tests := []struct {
		name   string
		req    *http.Request
		status int
		want   string // in the answer
	}{
		{"unknown group", get("/understudy/groups/nosuch"), 404, `"groups":["mdm"]`},
		{"unknown group's history", get("/understudy/groups/nosuch/history"), 404, `"code":"unknown_group"`},
		{"unknown group's opinion", get("/understudy/opinion/nosuch"), 404, `there is no group \"nosuch\"`},
		{"unknown group's events", get("/understudy/events?group=nosuch"), 404, `"code":"unknown_group"`},
		{"unknown group's hold", post("/understudy/groups/nosuch/hold", `{}`), 404, `"code":"unknown_group"`},
		{"unknown path", get("/understudy/nodes"), 404, "/understudy/groups/{group}/switch"},
		{"unknown verb", post("/understudy/groups/mdm/promote", `{}`), 404, `"code":"not_here"`},
		{"wrong method of a read", post("/understudy/groups", `{}`), 405, "Use GET, HEAD."},
		{"wrong method of a wish", get(hold), 405, "Use POST."},
		{"limit 0", get("/understudy/groups/mdm/history?limit=0"), 400, "not a number from 1 to 1000"},
		{"limit x", get("/understudy/groups/mdm/history?limit=x"), 400, "not a number from 1 to 1000"},
		{"no events before Run", get("/understudy/events"), 503, "starting or shutting down"},
		{"form", with(post(hold, "reason=x"), "Content-Type", "application/x-www-form-urlencoded"), 400, "must be application/json"},
		{"no type", with(post(hold, `{"reason":"x"}`), "Content-Type", ""), 400, "must be application/json"},
		{"other site", with(post(hold, `{"reason":"x"}`), "Sec-Fetch-Site", "cross-site"), 403, `"code":"cross_site"`},
		{"other origin", with(post(hold, `{"reason":"x"}`), "Origin", "https://evil.example.com"), 403, `"code":"cross_site"`},
		{"empty", post(hold, " "), 400, "the body is empty"},
		{"no JSON", post(hold, "hold"), 400, "not what it must be"},
		{"two documents", post(hold, `{"reason":"x"}{}`), 400, "something stands after"},
		{"unknown field", post(hold, `{"reasn":"x"}`), 400, `unknown field \"reasn\"`},
		{"too long", post(hold, `{"reason":"`+strings.Repeat("x", 65<<10)+`"}`), 400, "more than 65536 bytes"},
		{"long text", post(hold, `{"reason":"`+strings.Repeat("x", 2000)+`"}`), 400, "a text has more than 1024 bytes"},
		{"field of another verb", post(hold, `{"reason":"x","to":"core2"}`), 400, `hold takes no field \"to\"`},
		{"until and for", post(hold, `{"reason":"x","for":"1h","until":"2099-01-01T00:00:00Z"}`), 400, "one of them is enough"},
		{"bad for", post(hold, `{"reason":"x","for":"soon"}`), 400, "is not a duration"},
		{"for back in time", post(hold, `{"reason":"x","for":"-2h"}`), 400, "is not a duration"},
		{"bad until", post(hold, `{"reason":"x","until":"tomorrow"}`), 400, "not what it must be"},
		{"switch to nobody", post("/understudy/groups/mdm/switch", `{"reason":"x"}`), 400, "switch needs to"},
		{"reorder without order", post("/understudy/groups/mdm/reorder", `{"reason":"x"}`), 400, "reorder needs order"},
		{"no reason", post(hold, `{}`), 409, `"code":"bad_wish"`},
		{"not safe", post("/understudy/groups/mdm/switch", `{"reason":"x","to":"core2"}`), 409, `"code":"needs_swap"`},
		{"stale", post(hold, `{"reason":"x","epoch":7}`), 409, `"code":"stale_epoch"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := pair()
			resp, body := ask(t, m, tt.req)
			if resp.StatusCode != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("got %d %s, want %d with %s", resp.StatusCode, body, tt.status, tt.want)
			}
			var f api.Fault
			if err := json.Unmarshal([]byte(body), &f); err != nil || f.Schema != 1 || f.Code == "" || f.What == "" || f.Why == "" || f.Do == "" || f.Read == "" {
				t.Errorf("got %s, want the four lines and a code (%v)", body, err)
			}
			if allow := resp.Header.Get("Allow"); (allow != "") != (tt.status == 405) {
				t.Errorf("Allow: got %q with %d", allow, resp.StatusCode)
			}
			if s := situation(t, m); s.Traffic.Epoch != 1 {
				t.Errorf("got epoch %d, want nothing changed", s.Traffic.Epoch)
			}
		})
	}
}

func TestWishesAreGranted(t *testing.T) {
	t.Parallel()
	m := pair()
	c := client(t, m)
	wish := func(verb string, b api.Body) api.Change {
		t.Helper()
		o, err := c.Act(t.Context(), "mdm", verb, b)
		if err != nil {
			t.Fatalf("%s: %v", verb, err)
		}
		return o.Change
	}
	if got := wish("hold", api.Body{Reason: "upgrade", For: "2h", Actor: "anna", Epoch: 1}); got.Hold == nil || got.Hold.Until.IsZero() || !got.Claimed || got.Actor != "anna" {
		t.Errorf("hold: got %+v", got)
	}
	if got := wish("release", api.Body{Reason: "done"}); got.Hold != nil || got.Actor != "somebody" {
		t.Errorf("release: got %+v", got)
	}
	if got := wish("switch", api.Body{Reason: "test", To: "dr1", Force: true}); got.From != "core1" || got.Serving != "dr1" || !got.Forced {
		t.Errorf("switch: got %+v", got)
	}
	if got := wish("resume", api.Body{Reason: "test"}); got.Serving != "core1" || got.Cause != ha.Resumed {
		t.Errorf("resume: got %+v", got)
	}
	if got := wish("reorder", api.Body{Reason: "swapped", Order: []string{"core2", "core1", "dr1"}}); got.Order[0] != "core2" {
		t.Errorf("reorder: got %+v", got)
	}
	if got := situation(t, m).Traffic.Epoch; got != 6 {
		t.Errorf("got epoch %d, want 6", got)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	t.Parallel()
	m := pair()
	o, err := client(t, m).Act(t.Context(), "mdm", "hold", api.Body{Reason: "x", DryRun: true})
	if err != nil || !o.DryRun || o.Change.Epoch != 2 || o.Change.Hold == nil {
		t.Errorf("got %+v, %v", o, err)
	}
	if s := situation(t, m); s.Traffic.Epoch != 1 || s.Traffic.Hold != nil {
		t.Errorf("got %+v, want nothing changed", s.Traffic)
	}
}

func TestAProvenNameIsNotClaimed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		proven     bool
		actor      string
		claimed    bool
	}{
		{"anna", `{"reason":"x","actor":"mallory"}`, true, "anna", false},
		{"anna", `{"reason":"x","actor":"bert"}`, false, "bert", true},
		{"anna", `{"reason":"x"}`, false, "anna", true},
		{"", `{"reason":"x"}`, false, "somebody", true},
	}
	for _, tt := range tests {
		m := pair()
		a := api.New(api.Config{Groups: m, Identify: func(*http.Request) (string, bool) { return tt.name, tt.proven }})
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, post("/understudy/groups/mdm/hold", tt.body))
		got := situation(t, m).Traffic
		if w.Code != 200 || got.Actor != tt.actor || got.Claimed != tt.claimed {
			t.Errorf("%s: got %d, actor %q claimed %v, want %q %v", tt.body, w.Code, got.Actor, got.Claimed, tt.actor, tt.claimed)
		}
	}
}

func TestAGroupThatStartsTakesNoWish(t *testing.T) {
	t.Parallel()
	m := apitest.New()
	m.Add("mdm", []string{"core1", "core2"})
	resp, body := ask(t, m, post("/understudy/groups/mdm/resume", `{"reason":"x"}`))
	if resp.StatusCode != 409 || !strings.Contains(body, `"code":"starting"`) {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
}

func TestWhatCannotBeStoredIs503(t *testing.T) {
	t.Parallel()
	m := pair()
	m.Break(errors.New("no space left on device"))
	resp, body := ask(t, m, post("/understudy/groups/mdm/hold", `{"reason":"x"}`))
	if resp.StatusCode != 503 || !strings.Contains(body, `"code":"not_stored"`) || !strings.Contains(body, "no space left") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	m.Break(ha.ErrStale)
	if resp, body := ask(t, m, post("/understudy/groups/mdm/hold", `{"reason":"x"}`)); resp.StatusCode != 409 || !strings.Contains(body, "stale_epoch") {
		t.Errorf("overtaken: got %d %s", resp.StatusCode, body)
	}
	if resp, body := ask(t, m, httptest.NewRequest(http.MethodGet, "/understudy/groups/mdm/history", nil)); resp.StatusCode != 503 || !strings.Contains(body, "no_history") {
		t.Errorf("history: got %d %s", resp.StatusCode, body)
	}
}

func TestHistorySaysWhoServedBefore(t *testing.T) {
	t.Parallel()
	m := pair()
	m.Lose("mdm", "core1")
	list, err := client(t, m).History(t.Context(), "mdm", 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].From != "core1" || list[0].Serving != "core2" || len(list[0].Evidence) != 3 {
		t.Errorf("got %+v", list)
	}
}

func TestTheOpinionHasTheLastReadings(t *testing.T) {
	t.Parallel()
	o, err := client(t, pair()).Opinion(t.Context(), "mdm")
	if err != nil {
		t.Fatal(err)
	}
	if o.Watcher != "front-a" || o.Name != "mdm" || len(o.Readings["core2"]) != 2 || o.Readings["core2"][1].State != api.Standby {
		t.Errorf("got %+v", o)
	}
}

func TestMetricsTellEachFamilyOnce(t *testing.T) {
	t.Parallel()
	m := pair()
	m.Add("sentry", []string{"s1"})
	resp, body := ask(t, m, httptest.NewRequest(http.MethodGet, "/understudy/metrics", nil))
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain") {
		t.Errorf("Content-Type: got %q", got)
	}
	for _, want := range []string{
		`understudy_serving{group="mdm",node="core1"} 1`,
		`understudy_serving{group="mdm",node="core2"} 0`,
		`understudy_failover_armed{group="mdm"} 1`,
		`understudy_failover_blocked{group="sentry",reason="starting"} 1`,
		`understudy_decision{group="mdm",verb="stay",reason="serving",row="3"} 1`,
		`understudy_node_state{group="mdm",node="core2",state="standby"} 1`,
		`understudy_node_state{group="sentry",node="s1",state="not_available"} 0`,
		`understudy_probe_duration_seconds{group="mdm",node="core1"} 0.003`,
		`understudy_api_streams 0`,
	} {
		if !slices.Contains(strings.Split(body, "\n"), want) {
			t.Errorf("no line %s in\n%s", want, body)
		}
	}
	if n := strings.Count(body, "# TYPE understudy_serving "); n != 1 {
		t.Errorf("understudy_serving: got %d types, want 1", n)
	}
}
