package replicate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// moment is when a process is killed: some time after it has done a step of a
// run, or after its start if the step is empty.
type moment struct {
	After string
	Later time.Duration
}

// killSteps are where the moments of a soak begin.
var killSteps = []string{"", "connect", "begin", "compare", "transfer", "verify", "prepare", "hello again", "staged", "committed", "switched", "booked"}

// killed gives a few moments, or a hundred that UNDERSTUDY_SEED draws in a soak:
// most of them soon after the step, for the steps of a commit take little time.
func killed(t *testing.T) []moment {
	t.Helper()
	if os.Getenv("UNDERSTUDY_SOAK") == "" {
		return []moment{{"transfer", 0}, {"verify", 50 * time.Millisecond}, {"committed", 0}}
	}
	seed, err := strconv.ParseUint(os.Getenv("UNDERSTUDY_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano()) // #nosec G115 -- a seed
	}
	t.Logf("seed %d", seed)
	draw := rand.New(rand.NewPCG(seed, seed)) // #nosec G404 -- a sample
	var all []moment
	for range 100 {
		later := 50 * math.Pow(4000, draw.Float64()) // 50 microseconds to 200 milliseconds
		all = append(all, moment{killSteps[draw.IntN(len(killSteps))], time.Duration(later) * time.Microsecond})
	}
	return all
}

// sinkProcess is how a process is told what it is the sink of, and when it is
// killed.
type sinkProcess struct {
	Dir, SSH, Socket string
	Kill             moment
	Returned         bool      // it is core1, and copies from core2 what replaces its own
	Postgres         *Postgres `json:",omitempty"`
	MariaDB          *MariaDB  `json:",omitempty"`
	Exec             *Exec     `json:",omitempty"`
	SQLite           string    `json:",omitempty"`
	Files            string    `json:",omitempty"`
}

// dataset gives the dataset of the process.
func (s sinkProcess) dataset() (Dataset, error) {
	switch {
	case s.Postgres != nil:
		return NewPostgres(*s.Postgres)
	case s.MariaDB != nil:
		return NewMariaDB(*s.MariaDB)
	case s.Exec != nil:
		return NewExec(*s.Exec)
	case s.Files != "":
		return NewFiles(s.Files), nil
	}
	return NewSQLite(s.SQLite, "app.db")
}

// beSink is a process that syncs one dataset once, unless it is killed.
func beSink(arg string) int {
	var s sinkProcess
	err := json.Unmarshal([]byte(arg), &s)
	if err == nil {
		err = s.sync()
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func (s sinkProcess) sync() error {
	step := func(at string) error {
		if strings.HasPrefix(at, s.Kill.After) {
			time.AfterFunc(s.Kill.Later, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
			if s.Kill.Later == 0 {
				select {}
			}
		}
		return nil
	}
	if s.Kill.After == "" {
		_ = step("")
	}
	book, err := OpenBook(s.Dir)
	if err != nil {
		return err
	}
	own, err := s.dataset()
	if err != nil {
		return err
	}
	name, from, args := "core2", "core1", []string{s.Socket}
	if s.Returned {
		name, from, args = "core1", "core2", append(args, "as=core1")
	}
	tell := func(context.Context) (Facts, error) {
		return Facts{Name: name, Release: "1.0", Epoch: 1, Standby: true}, nil
	}
	r, err := Open(Config{Dir: s.Dir, Sets: []Set{setOf(own)}, Book: book, Facts: tell, Log: slog.New(slog.DiscardHandler), step: step})
	if err == nil {
		err = r.Recover(context.Background())
	}
	if err != nil {
		return err
	}
	got := r.Run(context.Background(), Order{From: from}, func() (Remote, error) {
		return Remote{SSH: s.SSH, Args: args, Address: "127.0.0.1"}, nil
	})
	if got.Result != Success {
		return fmt.Errorf("%s: %s", got.Result, got.Detail)
	}
	return nil
}

// process tells a process that it is the sink of an engine.
func (e engine) process(d *duo, kill moment) sinkProcess {
	s := sinkProcess{Dir: d.sink.dir, SSH: d.remote.SSH, Socket: d.remote.Args[0], Kill: kill}
	switch at := e.sink.(type) {
	case *Postgres:
		s.Postgres = at
	case *MariaDB:
		s.MariaDB = at
	case *Exec:
		s.Exec = at
	case *SQLite:
		s.SQLite = at.tree
	case *Files:
		s.Files = at.tree
	}
	return s
}

// diesAt lets a process run until it is killed, and says whether it was: it may
// have been faster.
func diesAt(t *testing.T, program string, s sinkProcess) bool {
	t.Helper()
	arg, err := json.Marshal(s)
	must(t, err)
	said, err := exec.Command(program, string(arg)).CombinedOutput() // #nosec G204 -- ourselves
	var ended *exec.ExitError
	if err != nil && (!errors.As(err, &ended) || ended.Exited()) {
		t.Fatalf("killed at %+v: %v: %s", s.Kill, err, said)
	}
	return err != nil
}

// sinkProgram is this test's program by the name at which it is a sink.
func sinkProgram(t *testing.T) string {
	t.Helper()
	own, err := os.Executable()
	must(t, err)
	as := filepath.Join(t.TempDir(), "understudy-sink")
	must(t, os.Symlink(own, as))
	return as
}

func TestAKillAtAnyMomentLeavesTheOldOrTheNewGeneration(t *testing.T) {
	t.Parallel()
	as := sinkProgram(t)
	for _, e := range append(engines(t), filesEngine(t)) {
		t.Run(e.kind, func(t *testing.T) {
			t.Parallel()
			e.kill(t, as, killed(t))
		})
	}
}

// kill kills the sink of an engine at some moments.
func (e engine) kill(t *testing.T, program string, moments []moment) {
	t.Helper()
	d := dataDuo(t, e)
	d.sync(t, Success)
	forward, back, late := 0, 0, 0
	for i, m := range moments {
		old := e.here(t)
		e.put(t, 5, fmt.Sprint("kill ", i))
		e.put(t, 2000+i, "more")
		if !diesAt(t, program, e.process(d, m)) {
			late++
		} else if i%4 == 3 { // and again, while it recovers or begins anew
			diesAt(t, program, e.process(d, moment{Later: m.Later}))
		}
		var err error
		d.cfg.Book, err = OpenBook(d.sink.dir)
		must(t, err)
		d.replica(t) // rolls forward or discards
		switch e.here(t) {
		case old:
			back++
		case e.there(t):
			forward++
		default:
			t.Fatalf("kill %d (%+v): the sink has %.300q", i, m, e.here(t))
		}
		d.sync(t, Success)
		if got, want := e.here(t), e.there(t); got != want {
			t.Fatalf("after kill %d (%+v) and a sync the sink has %.300q, the source %.300q", i, m, got, want)
		}
	}
	t.Logf("%d kills, %d of them too late: %d times the old generation, %d times the new", len(moments)-late, late, back, forward)
	if back == 0 || forward == late {
		t.Error("no kill was before the commit, or none after it")
	}
}
