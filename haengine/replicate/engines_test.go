package replicate

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// an engine is a kind of database, as an application sees it on both nodes.
type engine struct {
	kind         string
	source, sink Dataset
	put          func(t *testing.T, id int, name string) // a device, at the source
	drop         func(t *testing.T, from int)            // those from an id on
	devices      func(t *testing.T, at Dataset) string   // count and a digest of all
}

// engines gives one of each kind, with 150 devices at the source.
func engines(t *testing.T) []engine {
	t.Helper()
	return []engine{pgEngine(t), mariaEngine(t), liteEngine(t), execEngine(t)}
}

func pgEngine(t *testing.T) engine {
	source, sink := pgPair(t, "CREATE TABLE devices (id int PRIMARY KEY, name text)", "CREATE TABLE names (name text)", "INSERT INTO devices SELECT n, 'device ' || n FROM generate_series(0, 149) n")
	conn, err := source.connect(t.Context(), source.Database)
	must(t, err)
	t.Cleanup(func() { closePG(conn) })
	do := func(t *testing.T, query string, args ...any) {
		t.Helper()
		_, err := conn.Exec(t.Context(), query, args...)
		must(t, err)
	}
	return engine{
		"postgres", source, sink,
		func(t *testing.T, id int, name string) {
			do(t, "INSERT INTO public.devices VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name", id, name)
		},
		func(t *testing.T, from int) { do(t, "DELETE FROM public.devices WHERE id >= $1", from) },
		func(t *testing.T, at Dataset) string {
			p := at.(*Postgres)
			return pgText(t, p, p.Database, "SELECT count(*) || ' ' || COALESCE(md5(string_agg(id || name, ',' ORDER BY id)), '') FROM devices")
		},
	}
}

func mariaEngine(t *testing.T) engine {
	source, sink := mariaPair(t, "CREATE TABLE devices (id INT PRIMARY KEY, name TEXT)", "CREATE TABLE log (name TEXT)", "CREATE TRIGGER trg AFTER INSERT ON devices FOR EACH ROW INSERT INTO log VALUES (NEW.name)", "CREATE VIEW few AS SELECT * FROM devices WHERE id < 10",
		"INSERT INTO devices SELECT seq, CONCAT('device ', seq) FROM seq_0_to_149")
	do := func(t *testing.T, query string, args ...any) {
		t.Helper()
		must(t, source.with(t.Context(), func(conn *sql.Conn) error {
			if err := exec1(t.Context(), conn, "USE "+source.Database); err != nil {
				return err
			}
			return exec1(t.Context(), conn, query, args...)
		}))
	}
	return engine{
		"mariadb", source, sink,
		func(t *testing.T, id int, name string) {
			do(t, "INSERT INTO devices VALUES (?, ?) ON DUPLICATE KEY UPDATE name = VALUES(name)", id, name)
		},
		func(t *testing.T, from int) { do(t, "DELETE FROM devices WHERE id >= ?", from) },
		func(t *testing.T, at Dataset) string {
			return mariaText(t, at.(*MariaDB), "SELECT CONCAT(COUNT(*), ' ', MD5(GROUP_CONCAT(CONCAT(id, name) ORDER BY id)), ' ', (SELECT COUNT(*) FROM few), ' ', (SELECT COUNT(*) FROM log), ' ', (SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE())) FROM devices")
		},
	}
}

func liteEngine(t *testing.T) engine {
	folder, db := liteMade(t, "PRAGMA journal_mode=wal", "CREATE TABLE devices (id INTEGER PRIMARY KEY, name TEXT)",
		"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 149) INSERT INTO devices SELECT i, 'device ' || i FROM n")
	live := filepath.Join(t.TempDir(), "db")
	return engine{
		"sqlite", lite(t, folder), lite(t, live),
		func(t *testing.T, id int, name string) {
			_, err := db.Exec("INSERT INTO devices VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name", id, name)
			must(t, err)
		},
		func(t *testing.T, from int) {
			_, err := db.Exec("DELETE FROM devices WHERE id >= ?", from)
			must(t, err)
		},
		func(t *testing.T, at Dataset) (text string) {
			path := filepath.Join(at.(*SQLite).tree, "app.db")
			if _, err := os.Stat(path); err != nil {
				return err.Error()
			}
			db := liteOpen(t, path)
			defer db.Close()
			must(t, db.QueryRow("SELECT count(*) || ' ' || COALESCE(group_concat(id || name), '') FROM (SELECT * FROM devices ORDER BY id)").Scan(&text))
			return text
		},
	}
}

func execEngine(t *testing.T) engine {
	own, source, sink := commands(t)
	lines := map[int]string{}
	for id := range 150 {
		lines[id] = fmt.Sprintf("device %d", id)
	}
	write := func(t *testing.T) {
		t.Helper()
		var ids []int
		for id := range lines {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		var text strings.Builder
		for _, id := range ids {
			fmt.Fprintf(&text, "%d %s\n", id, lines[id])
		}
		put(t, source, map[string]string{"next": text.String()})
		must(t, os.Rename(filepath.Join(source, "next"), filepath.Join(source, "data")))
	}
	write(t)
	return engine{
		"exec", own, own,
		func(t *testing.T, id int, name string) { lines[id] = name; write(t) },
		func(t *testing.T, from int) {
			for id := range lines {
				if id >= from {
					delete(lines, id)
				}
			}
			write(t)
		},
		// Both nodes have the same commands here, and two folders.
		func(t *testing.T, at Dataset) string {
			path := filepath.Join(sink, "live")
			if at == nil {
				path = filepath.Join(source, "data")
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err.Error()
			}
			return string(text)
		},
	}
}

// there and here give what an application finds on source and sink.
func (e engine) there(t *testing.T) string {
	t.Helper()
	if e.kind == "exec" {
		return e.devices(t, nil)
	}
	return e.devices(t, e.source)
}

func (e engine) here(t *testing.T) string { t.Helper(); return e.devices(t, e.sink) }

// dataDuo gives source and sink of these engines, without an engine of ours.
func dataDuo(t *testing.T, all ...engine) *duo {
	t.Helper()
	d := newDuo(t)
	d.src.Sets, d.cfg.Sets = nil, nil
	for _, e := range all {
		d.src.Sets = append(d.src.Sets, Set{Name: e.kind, Type: e.kind, Dataset: e.source})
		d.cfg.Sets = append(d.cfg.Sets, Set{Name: e.kind, Type: e.kind, Dataset: e.sink})
	}
	must(t, d.src.Open())
	return d
}

func TestDatabasesAreCopiedAndThenOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	all := engines(t)
	d := dataDuo(t, all...)
	equal := func() {
		t.Helper()
		for _, e := range all {
			if got, want := e.here(t), e.there(t); got != want {
				t.Errorf("%s: the sink has %.300q, the source %.300q", e.kind, got, want)
			}
		}
	}
	first := d.sync(t, Success)
	equal()
	if r := d.sync(t, Success); r.Detail != "no changes" || r.Generation != 0 {
		t.Errorf("%+v\n%s", r, tasks(r))
	}
	old := all[0].here(t)
	for _, e := range all {
		e.put(t, 7, "renamed")
		e.put(t, 1000, "new")
	}
	second := d.sync(t, Success)
	equal()
	t.Log("\n" + tasks(first) + tasks(second))

	// One has changed, the others have not.
	all[0].put(t, 8, "renamed")
	r := d.sync(t, Success)
	equal()
	if got := tasks(r); strings.Count(got, "no changes") != len(all)-1 {
		t.Errorf("%s", got)
	}

	g, err := d.replica(t).Rollback(t.Context(), first.Generation)
	must(t, err)
	if g.Number != first.Generation || all[0].here(t) != old {
		t.Errorf("rolled back to %+v with %.200s, want %.200s", g, all[0].here(t), old)
	}
	for _, e := range all {
		if strings.Contains(e.here(t), "renamed") {
			t.Errorf("%s: not rolled back: %s", e.kind, e.here(t))
		}
	}
	d.sync(t, Success)
	equal()
}

func TestDatabasesThatLostTheirRowsAreNotCopied(t *testing.T) {
	t.Parallel()
	all := engines(t)
	d := dataDuo(t, all...)
	d.sync(t, Success)
	before := all[1].here(t)
	for _, e := range all {
		e.drop(t, 20)
		r := d.sync(t, "Refused: guard")
		if !strings.Contains(r.Detail, "--accept-deletions") {
			t.Errorf("%s", r.Detail)
		}
	}
	if got := all[1].here(t); got != before {
		t.Errorf("the copy has changed: %s", got)
	}
	d.sync(t, Success, func(o *Order) { o.AcceptDeletions = true })
	for _, e := range all {
		if got, want := e.here(t), e.there(t); got != want {
			t.Errorf("%s: the sink has %.300q, the source %.300q", e.kind, got, want)
		}
	}
}

// A run is ended after each of its steps, as a promotion ends it: what is in
// force is one generation of all databases, and the next run succeeds.
func TestDatabasesAreOfOneGenerationWhereverARunIsCutOff(t *testing.T) {
	t.Parallel()
	all := engines(t)
	d := dataDuo(t, all...)
	d.sync(t, Success)
	every := 9
	if os.Getenv("UNDERSTUDY_SOAK") != "" {
		every = 1
	}
	last, moments := "", 0
	for at := 0; last != "over"; at += every {
		old, moment := generation(t, all), fmt.Sprintf("moment %d", at)
		for _, e := range all {
			e.put(t, 5, moment)
		}
		n := 0
		d.cfg.step = func(step string) error {
			if n++; n > at {
				last = step
				return errors.New("cut off after " + step)
			}
			last = "over"
			return nil
		}
		r, err := Open(d.cfg)
		must(t, err)
		got := r.Run(t.Context(), Order{From: "core1"}, d.how)
		if last != "over" && got.Result == Success && got.Detail == "no changes" {
			t.Errorf("%s: %+v", moment, got)
		}
		d.cfg.step = nil
		d.replica(t) // rolls forward or discards
		if now := generation(t, all); now != old && now != moment {
			t.Fatalf("cut off after %s the databases are of %s, and were of %s", last, now, old)
		}
		d.sync(t, Success)
		if now := generation(t, all); now != moment {
			t.Fatalf("after %s and a sync the databases are of %s, not of %s", last, now, moment)
		}
		moments++
	}
	t.Logf("%d moments", moments)
}

// An upgrade or a promotion begins while the copies are prepared: nothing goes
// live, and the next run finds everything as it was.
func TestDatabasesStayWhenReleasesDifferOrANodeIsPromotedInTheMiddle(t *testing.T) {
	t.Parallel()
	all := engines(t)
	d := dataDuo(t, all...)
	for _, e := range all {
		e.put(t, 5, "before")
	}
	d.sync(t, Success)
	for _, e := range all {
		e.put(t, 5, "after")
	}
	for want, meanwhile := range map[string]func(end context.CancelFunc){
		"Refused: version": func(context.CancelFunc) { d.source.be(func(f *Facts) { f.Release = "1.1" }) },
		Cancelled:          func(end context.CancelFunc) { end() },
	} {
		ctx, end := context.WithCancel(t.Context())
		d.cfg.step = func(step string) error {
			if step == "prepare sqlite" {
				meanwhile(end)
			}
			return nil
		}
		r, err := Open(d.cfg)
		must(t, err)
		if got := r.Run(ctx, Order{From: "core1"}, d.how); got.Result != want {
			t.Errorf("got %s: %s, want %s", got.Result, got.Detail, want)
		}
		end()
		d.cfg.step = nil
		d.source.be(func(f *Facts) { f.Release = "1.0" })
		if now := generation(t, all); now != "before" {
			t.Errorf("%s: the databases are of %s", want, now)
		}
	}
	d.sync(t, Success)
	if now := generation(t, all); now != "after" {
		t.Errorf("after the next sync the databases are of %s", now)
	}
}

// generation gives what device 5 is called, if that is the same in all.
func generation(t *testing.T, all []engine) string {
	t.Helper()
	var names []string
	for _, e := range all {
		name := ""
		switch at := e.sink.(type) {
		case *Postgres:
			name = pgText(t, at, at.Database, "SELECT name FROM devices WHERE id = 5")
		case *MariaDB:
			name = mariaText(t, at, "SELECT name FROM devices WHERE id = 5")
		case *SQLite:
			db := liteOpen(t, filepath.Join(at.tree, "app.db"))
			must(t, db.QueryRow("SELECT name FROM devices WHERE id = 5").Scan(&name))
			must(t, db.Close())
		case *Exec:
			for line := range strings.Lines(e.here(t)) {
				if n, found := strings.CutPrefix(line, "5 "); found {
					name = strings.TrimSpace(n)
				}
			}
		}
		names = append(names, name)
	}
	if len(slices.Compact(slices.Clone(names))) > 1 {
		return fmt.Sprintf("several generations %q", names)
	}
	return names[0]
}

// sinkProcess is how a process is told what it is the sink of.
type sinkProcess struct {
	Dir, SSH, Socket string
	Postgres         *Postgres `json:",omitempty"`
	MariaDB          *MariaDB  `json:",omitempty"`
	Exec             *Exec     `json:",omitempty"`
	SQLite           string    `json:",omitempty"`
}

func (s sinkProcess) set() (set Set, err error) {
	switch {
	case s.Postgres != nil:
		set.Type = "postgres"
		set.Dataset, err = NewPostgres(*s.Postgres)
	case s.MariaDB != nil:
		set.Type = "mariadb"
		set.Dataset, err = NewMariaDB(*s.MariaDB)
	case s.Exec != nil:
		set.Type = "exec"
		set.Dataset, err = NewExec(*s.Exec)
	default:
		set.Type = "sqlite"
		set.Dataset, err = NewSQLite(s.SQLite, "app.db")
	}
	set.Name = set.Type
	return set, err
}

// beDataSink is a process that syncs one database once.
func beDataSink(arg string) int {
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
	book, err := OpenBook(s.Dir)
	if err != nil {
		return err
	}
	set, err := s.set()
	if err != nil {
		return err
	}
	tell := func(context.Context) (Facts, error) {
		return Facts{Name: "core2", Release: "1.0", Epoch: 1, Standby: true}, nil
	}
	step := func(at string) error { fmt.Println(at); return nil }
	r, err := Open(Config{Dir: s.Dir, Sets: []Set{set}, Book: book, Facts: tell, Log: slog.New(slog.DiscardHandler), step: step})
	if err == nil {
		err = r.Recover(context.Background())
	}
	if err != nil {
		return err
	}
	got := r.Run(context.Background(), Order{From: "core1"}, func() (Remote, error) {
		return Remote{SSH: s.SSH, Args: []string{s.Socket}, Address: "127.0.0.1"}, nil
	})
	fmt.Println(got.Result, got.Detail)
	return nil
}

func TestAKillOfTheSinkLeavesTheDatabaseOfOneGeneration(t *testing.T) {
	t.Parallel()
	own, err := os.Executable()
	must(t, err)
	as := filepath.Join(t.TempDir(), "understudy-data-sink")
	must(t, os.Symlink(own, as))
	for _, e := range engines(t) {
		d := dataDuo(t, e)
		d.sync(t, Success)
		s := sinkProcess{Dir: d.sink.dir, SSH: d.remote.SSH, Socket: d.remote.Args[0]}
		switch at := e.sink.(type) {
		case *Postgres:
			s.Postgres = at
		case *MariaDB:
			s.MariaDB = at
		case *Exec:
			s.Exec = at
		case *SQLite:
			s.SQLite = at.tree
		}
		arg, err := json.Marshal(s)
		must(t, err)
		moments := killed(t)
		forward, back := 0, 0
		for i, m := range moments {
			old := e.here(t)
			e.put(t, 5, fmt.Sprint("kill ", i))
			e.put(t, 2000+i, "more")
			cmd := exec.Command(as, string(arg)) // #nosec G204 -- ourselves
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			for lines := bufio.NewScanner(out); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), m.after) {
					break
				}
			}
			time.Sleep(m.later) // the moment is the test's subject
			must(t, cmd.Process.Signal(syscall.SIGKILL))
			_ = cmd.Wait()
			d.sink.book, err = OpenBook(d.sink.dir)
			must(t, err)
			d.cfg.Book = d.sink.book
			d.replica(t) // rolls forward or discards
			switch e.here(t) {
			case old:
				back++
			case e.there(t):
				forward++
			default:
				t.Fatalf("%s, kill %d: the sink has %.300q", e.kind, i, e.here(t))
			}
			d.sync(t, Success)
			if got, want := e.here(t), e.there(t); got != want {
				t.Fatalf("%s: after kill %d and a sync the sink has %.300q, the source %.300q", e.kind, i, got, want)
			}
		}
		t.Logf("%s: %d kills: %d times the old generation, %d times the new", e.kind, len(moments), back, forward)
	}
}

// moment is when a process is killed: some time after it has done a step.
type moment struct {
	after string
	later time.Duration
}

// killed gives a few moments, or a hundred that UNDERSTUDY_SEED draws in a soak.
func killed(t *testing.T) []moment {
	t.Helper()
	steps := []string{"connect", "begin", "transfer", "verify", "prepare", "hello again", "committed", "switched", "booked"}
	if os.Getenv("UNDERSTUDY_SOAK") == "" {
		return []moment{{"verify", 50 * time.Millisecond}, {"committed", 10 * time.Millisecond}}
	}
	seed, err := strconv.ParseUint(os.Getenv("UNDERSTUDY_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano()) // #nosec G115 -- a seed
	}
	t.Logf("seed %d", seed)
	draw := rand.New(rand.NewPCG(seed, seed)) // #nosec G404 -- a sample
	var all []moment
	for range 100 {
		all = append(all, moment{steps[draw.IntN(len(steps))], time.Duration(draw.Int64N(int64(200 * time.Millisecond)))})
	}
	return all
}
