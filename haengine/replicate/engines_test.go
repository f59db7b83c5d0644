package replicate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// an engine is a kind of database, as an application sees it on both nodes.
type engine struct {
	kind         string
	source, sink Dataset
	put          func(t *testing.T, id int, name string) // a device, at the source
	drop         func(t *testing.T, from int)            // those from an id on
	devices      func(t *testing.T, at Dataset) string   // count and a digest of all
}

// offerOf gives what a source offers.
func offerOf(t *testing.T, source Dataset) Offer {
	t.Helper()
	o, err := source.Offer(t.Context(), t.TempDir())
	must(t, err)
	return o
}

// take lets a sink take an offer as a generation, up to the switch.
func take(t *testing.T, sink Dataset, o Offer, generation uint64) Change {
	t.Helper()
	p, err := sink.Prepare(t.Context(), Staged{Generation: generation, Dir: o.Tree, Offer: o, Source: "core1"})
	must(t, err)
	if diff := cmp.Diff(o.Counts, p.Counts); diff != "" {
		t.Errorf("counts differ (-offered +prepared):\n%s", diff)
	}
	return Change{Dataset: "db", Generation: generation, Data: p.Data}
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

// filesEngine is a tree with a file for each device.
func filesEngine(t *testing.T) engine {
	source, sink := filepath.Join(t.TempDir(), "there"), filepath.Join(t.TempDir(), "here")
	device := func(id int) string { return filepath.Join("devices", fmt.Sprint(id)) }
	for id := range 150 {
		put(t, source, map[string]string{device(id): fmt.Sprintf("device %d", id)})
	}
	return engine{
		"files", NewFiles(source), NewFiles(sink),
		func(t *testing.T, id int, name string) { put(t, source, map[string]string{device(id): name}) },
		func(t *testing.T, from int) {
			for id := from; os.Remove(filepath.Join(source, device(id))) == nil; id++ {
			}
		},
		func(t *testing.T, at Dataset) string { return snapshot(t, at.(*Files).tree) },
	}
}

// setOf is a dataset with the name of its type.
func setOf(d Dataset) Set {
	switch d := d.(type) {
	case *Postgres:
		return Set{Name: "postgres", Type: "postgres", Dataset: d}
	case *MariaDB:
		return Set{Name: "mariadb", Type: "mariadb", Dataset: d}
	case *SQLite:
		return Set{Name: "sqlite", Type: "sqlite", Dataset: d}
	case *Files:
		return Set{Name: "files", Type: "files", Tree: d.tree, Dataset: d}
	}
	return Set{Name: "exec", Type: "exec", Dataset: d}
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
		d.src.Sets = append(d.src.Sets, setOf(e.source))
		d.cfg.Sets = append(d.cfg.Sets, setOf(e.sink))
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
	all := append(engines(t), filesEngine(t))
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
		case *Files:
			name = has(t, filepath.Join(at.tree, "devices", "5"))
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
