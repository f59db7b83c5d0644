package console

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/apitest"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web/account"
	"github.com/understudy-ha/understudy/web/webtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	webtest.Close()
	os.Exit(code)
}

const password = "correct horse battery"

// desk is a console over groups in memory, with one admin.
type desk struct {
	dir    string // of the users and the audit log
	t      testing.TB
	groups *apitest.Memory
	book   *account.Book
	log    *said
	*Console
	*httptest.Server
	client *http.Client
}

// plenty is groups that a shared register and a name server have more to tell of.
type plenty struct{ *apitest.Memory }

func (p plenty) Situation(name string) (ha.Situation, bool) {
	s, ok := p.Memory.Situation(name)
	s.Rules.Watchers = 3
	for _, who := range []string{"front1", "front2"} {
		s.Votes = append(s.Votes, ha.Vote{Watcher: who, Group: name, Epoch: s.Traffic.Epoch, Serving: s.Traffic.Serving, Stance: ha.StanceGood, Since: p.Now(), Nodes: []ha.VotedNode{{Node: "core1", State: ha.Active, At: p.Now()}}})
	}
	return s, ok
}

func (p plenty) Resolvers(string) (api.Resolvers, bool) {
	return api.Resolvers{Answers: []string{"core1"}, TTLS: 5, Settled: p.Now()}, true
}

func (p plenty) Pools() []api.Pool {
	return []api.Pool{{Name: "sentries", Policy: "active_active", Answers: []string{"s1"}, Nodes: []api.PoolNode{
		{Name: "s1", State: api.Active, At: p.Now(), TookMS: 2}, {Name: "s2", State: api.NotAvailable, Cause: "refused", At: p.Now(), DownSince: p.Now(), Misses: 4},
	}}}
}

// said keeps a log.
type said struct {
	mu   sync.Mutex // guards the field below
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func open(t testing.TB) *desk { return openBy(t, httptest.NewServer) }

// openBy opens the console on a server of one's own.
func openBy(t testing.TB, serve func(http.Handler) *httptest.Server) *desk {
	t.Helper()
	d := &desk{t: t, groups: apitest.New(), log: new(said), dir: t.TempDir()}
	log := slog.New(slog.NewTextHandler(d.log, nil))
	var code string
	var err error
	if d.book, code, err = account.Open(account.Config{Dir: d.dir, Log: log, Now: d.groups.Now}); err != nil {
		t.Fatal(err)
	}
	if err := d.book.Setup(code, "anna", password, "here"); err != nil {
		t.Fatal(err)
	}
	d.Console, err = New(Config{Groups: plenty{d.groups}, Book: d.book, Dir: t.TempDir(), Place: "front1", Log: log, Now: d.groups.Now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); d.Console.Run(ctx) }()
	d.Server = serve(d.Console)
	t.Cleanup(func() {
		d.HangUp()
		d.Server.Close()
		end()
		<-ended
	})
	d.client = d.Server.Client()
	d.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return d
}

// as gives a cookie of a new session of anna.
func (d *desk) as() *http.Cookie {
	d.t.Helper()
	r := d.do(http.MethodPost, "/console/login", url.Values{"name": {"anna"}, "password": {password}}, nil)
	if len(r.Cookies()) != 1 {
		d.t.Fatalf("the login gave %s and no cookie", r.Status)
	}
	return r.Cookies()[0]
}

// do sends a request; the body of the answer has been read.
func (d *desk) do(method, path string, form url.Values, with *http.Cookie) *http.Response {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		d.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if with != nil {
		req.AddCookie(with)
	}
	return d.send(req)
}

func (d *desk) send(req *http.Request) *http.Response {
	d.t.Helper()
	r, err := d.client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Body = io.NopCloser(strings.NewReader(string(text)))
	return r
}

func bodyOf(r *http.Response) string {
	text, _ := io.ReadAll(r.Body)
	return string(text)
}

// day fills the lanes of the group mdm with what a day brings.
func (d *desk) day() {
	g := d.groups
	g.Pair()
	for range 3 {
		d.watch(90*time.Minute, "core1", "core2", "dr1")
	}
	g.Read("mdm", "core2", ha.NotAvailable)
	d.watch(40*time.Minute, "core1", "dr1")
	d.watch(3*time.Hour, "core1", "core2", "dr1")
}

// watch lets time pass in which some nodes are read as they were meant.
func (d *desk) watch(long time.Duration, nodes ...string) {
	for range 4 {
		d.groups.Advance(long / 4)
		for _, n := range nodes {
			state := ha.Standby
			if s, _ := d.groups.Situation("mdm"); s.Traffic.Serving == n {
				state = ha.Active
			}
			d.groups.Read("mdm", n, state)
		}
		d.alive()
	}
}
