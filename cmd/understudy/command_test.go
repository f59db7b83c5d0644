package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/apitest"
	"github.com/understudy-ha/understudy/internal/ha"
)

func TestExitCodesAndSentences(t *testing.T) {
	t.Parallel()
	tests := []struct {
		line string
		code int
		want string // in what is said
	}{
		{"status", 0, "failover armed"},
		{"status mdm", 0, "If core1 failed now"},
		{"status --check", 0, "mdm: armed"},
		{"why", 0, "STAY: serving (row 3)"},
		{"why --json", 0, `"watcher": "front-a"`},
		{"history", 0, "started"},
		{"history --json", 0, `"cause": "started"`},
		{"hold --reason x --for 2h", 0, "held by anna@desk until"},
		{"hold --reason x --until 2099-01-02T06:00:00+01:00", 0, "until 2099-01-02 05:00:00 UTC"},
		{"hold --reason x --json", 0, `"cause": "held_by"`},
		{"hold --reason x --dry-run", 0, "Nothing was changed."},
		{"hold --reason x --for soon", 1, "not a duration"},
		{"hold --reason x --until noon", 1, "not a time"},
		{"hold --reason x --for 1h --until 2099-01-02T06:00:00Z", 1, "exclude one another"},
		{"hold --reason x --until 2001-01-02T06:00:00Z", 1, "has passed"},
		{"hold", 1, "no reason was given"},
		{"switch --reason x", 1, "no node was named"},
		{"switch --reason x --to nosuch", 1, `no node "nosuch"`},
		{"switch --reason x --to core2", 4, "core2 is in Standby and core1 serves well"},
		{"switch --reason x --to core2 --force", 0, "traffic → core2, before core1"},
		{"resume --reason x", 4, "core1 serves already"},
		{"reorder --reason x", 1, "no order was given"},
		{"reorder --reason x --order core2", 1, "does not name each"},
		{"reorder --reason x --order core2,core1,dr1 --force", 1, "unknown flag: --force"},
		{"release --reason x", 4, "nothing holds it"},
		{"version now", 1, "takes no argument"},
		{"probe", 1, "it takes one URL"},
		{"probe http://a http://b", 1, "it takes one URL"},
		{"probe ftp://a", 1, "must begin with http"},
		{"probe http://a --profile other", 1, "epmm or generic"},
		{"probe http://a --profile generic", 1, "needs --primary-path"},
		{"probe http://a --primary-path /x", 1, "for --profile generic"},
		{"probe http://a --page third", 1, "status, hastatus or both"},
		{"probe http://a --timeout 0s", 1, "must be above zero"},
		{"completion nosuch", 1, `unknown command "nosuch"`},
		{"failover nosuch", 1, `unknown command "nosuch"`},
		{"failover sync", 1, "failover: nothing was done\n  why:  it takes HOST; 0 are given"},
		{"upgrade report a b", 1, "it takes one RUN, and no more: b"},
		{"demo --for -1s", 1, "is not above zero"},
		{"node --config nosuch.yaml", 2, "Name a file that can be read"},
		{"sidecar --config nosuch.yaml", 2, "Name a file that can be read"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			t.Parallel()
			got := newFront(t).ask(t, strings.Fields(tt.line)...)
			if got.code != tt.code || !strings.Contains(got.out+got.err, tt.want) {
				t.Errorf("got %+v, want code %d and %q", got, tt.code, tt.want)
			}
			if got.code != 0 && (got.out != "" || strings.Count(got.err, "\n") != 4) {
				t.Errorf("got %q and %q, want four lines on stderr alone", got.out, got.err)
			}
		})
	}
}

func TestAGroupIsNamedWhereThereAreSeveral(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.Add("sentry", []string{"s1"})
	if got := f.ask(t, "status"); got.code != 0 || !strings.Contains(got.out, "mdm ") || !strings.Contains(got.out, "sentry   starting") {
		t.Errorf("status: got %+v", got)
	}
	if got := f.ask(t, "status", "--check"); got.code != exitRefused {
		t.Errorf("status --check with one not armed: got %+v", got)
	}
	if got := f.ask(t, "hold", "--reason", "x"); got.code != exitUsage || !strings.Contains(got.err, "Name one of these: mdm, sentry") {
		t.Errorf("hold: got %+v", got)
	}
	if got := f.ask(t, "resume", "sentry", "--reason", "x"); got.code != exitRefused || !strings.Contains(got.err, "not every node has been read") {
		t.Errorf("resume of one that starts: got %+v", got)
	}
}

func TestWithoutAnyGroupNothingIsArmed(t *testing.T) {
	t.Parallel()
	f, stop := serve(apitest.New())
	defer stop()
	if got := f.ask(t, "status"); got.code != 0 || got.out != "" || !strings.Contains(got.err, "no group is configured") {
		t.Errorf("status: got %+v", got)
	}
	if got := f.ask(t, "status", "--check"); got.code != exitRefused {
		t.Errorf("status --check: got %+v", got)
	}
	if got := f.ask(t, "why"); got.code != exitUsage || !strings.Contains(got.err, "has no group") {
		t.Errorf("why: got %+v", got)
	}
}

func TestWhatCannotBeStoredIsNotReachable(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.Break(errors.New("no space left on device"))
	if got := f.ask(t, "hold", "--reason", "x"); got.code != exitUnreachable || !strings.Contains(got.err, "no space left on device") {
		t.Errorf("got %+v", got)
	}
}

// The epoch that a command has read goes along, so that a group that changed
// in between is left alone.
func TestAGroupThatChangesWhileACommandRunsIsLeftAlone(t *testing.T) {
	t.Parallel()
	m := apitest.New()
	m.Pair()
	inner := api.New(api.Config{Groups: m}).Handler()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, err := m.Act(r.Context(), "mdm", "hold", ha.Wish{Reason: "first", Actor: "bert"}, false)
			if err != nil {
				t.Error(err)
			}
		}
		inner.ServeHTTP(w, r)
	}))
	defer s.Close()
	got := runs(t, nil, "hold", "--api", s.URL, "--reason", "second")
	if got.code != exitRefused || !strings.Contains(got.err, "you were shown epoch 1, but it is 2 by now") {
		t.Errorf("got %+v", got)
	}
}

func TestTheTokenIsSent(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var sent []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = append(sent, r.Header.Get("Authorization"))
		_ = json.NewEncoder(w).Encode(api.GroupList{Schema: 1})
	}))
	defer s.Close()
	runs(t, nil, "status", "--api", s.URL, "--token-file", path)
	runs(t, []string{"UNDERSTUDY_TOKEN_FILE=" + path}, "status", "--api", s.URL)
	for _, got := range sent {
		if got != "Bearer secret" {
			t.Errorf("got %q", sent)
		}
	}
	if len(sent) != 4 { // each asks for groups and for pools
		t.Errorf("got %q", sent)
	}
	if got := runs(t, nil, "status", "--token-file", path+".not"); got.code != exitUsage || !strings.Contains(got.err, "the token cannot be read") {
		t.Errorf("no such file: got %+v", got)
	}
}

func TestNamesOfGroupsAreCompleted(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	if got := f.ask(t, "__complete", "status", ""); got.code != 0 || !strings.HasPrefix(got.out, "mdm\n") {
		t.Errorf("got %+v", got)
	}
	if got := runs(t, []string{"UNDERSTUDY_API=/no/such.sock"}, "__complete", "status", ""); got.code != 0 || !strings.HasPrefix(got.out, ":4") {
		t.Errorf("nobody there: got %+v", got)
	}
}

func TestColoursOnlyWhereTheyAreWanted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		terminal bool
		env      []string
		want     bool
	}{
		{true, nil, true},
		{false, nil, false},
		{true, []string{"NO_COLOR=1"}, false},
		{true, []string{"TERM=dumb"}, false},
	}
	for _, tt := range tests {
		s := &session{terminal: tt.terminal, getenv: lookup(tt.env)}
		if got := s.paint().Good != nil; got != tt.want {
			t.Errorf("%+v: got colours %v", tt, got)
		}
	}
}

func TestTheClaimedActorIsThePersonBehindSudo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		env  []string
		want string
	}{
		{[]string{"USER=root", "SUDO_USER=anna"}, "anna@desk"},
		{[]string{"USER=root"}, "root@desk"},
		{[]string{"LOGNAME=bert"}, "bert@desk"},
		{nil, "somebody@desk"},
	}
	for _, tt := range tests {
		if got := (&session{host: "desk", getenv: lookup(tt.env)}).actor(); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.env, got, tt.want)
		}
	}
}

func TestACommandThatIsToldToStopSaysSo(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, err strings.Builder
	s := &session{name: "understudy", args: []string{"status", "--api", f.url}, out: &out, err: &err, getenv: lookup(nil)}
	if code := run(ctx, s); code != exitAborted || !strings.Contains(err.String(), "broken off") {
		t.Errorf("got %d, %q", code, err.String())
	}
}
