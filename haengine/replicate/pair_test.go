package replicate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/understudy-ha/understudy/haengine/replicate/dbtest"
)

// TestMain is the tests, or, under another name, what they run.
func TestMain(m *testing.M) {
	switch as := filepath.Base(os.Args[0]); {
	case as == "understudy-sink":
		os.Exit(beSink(os.Args[1]))
	case !strings.HasSuffix(as, ".test"): // or it would run every test, which starts it again
		fmt.Fprintf(os.Stderr, "the tests have no part called %s\n", as)
		os.Exit(2)
	}
	room, err := newRoom()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	dbtest.End()
	_ = os.RemoveAll(room)
	os.Exit(code)
}

// newRoom makes the folder of all temporary ones: in memory, if that has room,
// for a sync writes out the whole file system before it commits, with all that
// others have written to it. The tests of power cuts have disks of their own, and
// a soak runs on the real one.
func newRoom() (string, error) {
	const memory, enough = "/dev/shm", 2 << 30
	in := ""
	if os.Getenv("UNDERSTUDY_SOAK") == "" && os.Getenv("TMPDIR") == "" && Room(memory, enough) == nil {
		in = memory
	}
	room, err := os.MkdirTemp(in, "us")
	if err != nil {
		return "", err
	}
	return room, errors.Join(os.Chmod(room, 0o777|os.ModeSticky), os.Setenv("TMPDIR", room)) // #nosec G302 -- database servers are other users
}

// fakeSSH builds what stands for ssh, sshd and the forced command.
var fakeSSH = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.TempDir(), "understudy-fake-ssh")
	if said, err := exec.Command("go", "build", "-o", path, "./testdata/fakessh").CombinedOutput(); err != nil { // #nosec G204 -- ours
		return "", fmt.Errorf("%w: %s", err, said)
	}
	return path, nil
})

// side is one node of a pair without an engine.
type side struct {
	t     testing.TB
	dir   string
	tree  string
	book  *Book
	facts atomic.Pointer[Facts]
	set   Set
}

func newSide(t testing.TB, home, name string) *side {
	t.Helper()
	s := &side{t: t, dir: filepath.Join(home, name, "data"), tree: filepath.Join(home, name, "app")}
	must(t, os.MkdirAll(s.tree, 0o755))
	var err error
	s.book, err = OpenBook(s.dir)
	must(t, err)
	s.facts.Store(&Facts{Name: name, Release: "1.0", Epoch: 1})
	s.set = Set{Name: "files", Type: "files", Tree: s.tree, Dataset: NewFiles(s.tree)}
	return s
}

// duo is a source and a sink of one tree.
type duo struct {
	source, sink *side
	src          *Source
	remote       Remote
	cfg          Config
}

// quiet drops what is logged, unless the tests are verbose.
func quiet() *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

func newDuo(t testing.TB) *duo { return newDuoIn(t, t.TempDir()) }

func newDuoIn(t testing.TB, home string) *duo {
	t.Helper()
	if _, err := exec.LookPath("rsync"); err != nil {
		t.Fatal("these tests need rsync: install it")
	}
	return newDuoOf(t, newSide(t, home, "core1"), newSide(t, home, "core2"))
}

func newDuoOf(t testing.TB, source, sink *side) *duo {
	t.Helper()
	d := &duo{source: source, sink: sink}
	d.source.facts.Store(&Facts{Name: "core1", Release: "1.0", Epoch: 1, Active: true})
	d.sink.facts.Store(&Facts{Name: "core2", Release: "1.0", Epoch: 1, Standby: true})
	d.src = &Source{Dir: d.source.dir, Sets: []Set{d.source.set}, Book: d.source.book, Log: quiet(), Facts: d.source.tell}
	d.serve(t)
	d.cfg = Config{Dir: d.sink.dir, Sets: []Set{d.sink.set}, Book: d.sink.book, Facts: d.sink.tell, Log: quiet()}
	return d
}

// serve lets the source be fetched from.
func (d *duo) serve(t testing.TB) {
	t.Helper()
	must(t, d.src.Open())
	sockets, err := os.MkdirTemp("", "us") // a socket's path has to be short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(sockets) })
	socket := filepath.Join(sockets, "s")
	ssh, err := fakeSSH()
	must(t, err)
	l, err := net.Listen("unix", socket)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = d.src.Listen(ctx, l) })
	t.Cleanup(func() { stop(); running.Wait() })
	d.remote = Remote{SSH: ssh, Args: []string{socket}, Address: "127.0.0.1"}
}

func (d *duo) how() (Remote, error) { return d.remote, nil }

func (s *side) tell(context.Context) (Facts, error) { return *s.facts.Load(), nil }

// be changes what a side tells of itself.
func (s *side) be(change func(*Facts)) {
	f := *s.facts.Load()
	change(&f)
	s.facts.Store(&f)
}

func (d *duo) replica(t testing.TB) *Replica {
	t.Helper()
	r, err := Open(d.cfg)
	must(t, err)
	must(t, r.Recover(t.Context()))
	return r
}

// sync runs once and expects a result.
func (d *duo) sync(t testing.TB, want string, change ...func(*Order)) Report {
	t.Helper()
	o := Order{From: "core1"}
	for _, c := range change {
		c(&o)
	}
	got := d.replica(t).Run(t.Context(), o, d.how)
	if got.Result != want {
		t.Fatalf("got %s: %s, want %s\n%s", got.Result, got.Detail, want, tasks(got))
	}
	return got
}

func tasks(r Report) string {
	var b strings.Builder
	for _, one := range r.Tasks {
		fmt.Fprintf(&b, "%-12s %-8s %-10s %8s  %s\n", one.Name, one.Dataset, one.Result, one.Duration.Round(100_000), one.Detail)
	}
	return b.String()
}

// equalTrees fails the test unless rsync itself finds nothing to do between the
// two, comparing everything.
func equalTrees(t testing.TB, a, b string) {
	t.Helper()
	out, err := exec.Command("rsync", "-rlptgoHAXn", "--checksum", "--delete", "--modify-window=-1", "--out-format=%i %n", a+"/", b+"/").CombinedOutput()
	must(t, err)
	for l := range strings.SplitSeq(string(out), "\n") {
		if l != "" && !strings.HasPrefix(l, ".d..t") { // times of folders do not matter
			t.Errorf("differs: %s", l)
		}
	}
}
