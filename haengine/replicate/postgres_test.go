package replicate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/understudy-ha/understudy/haengine/replicate/dbtest"
)

var _ Dataset = (*Postgres)(nil)

const pgDevices = "CREATE TABLE devices (id bigserial PRIMARY KEY, name text NOT NULL); INSERT INTO devices (name) SELECT 'device ' || n FROM generate_series(1, 2000) n"

func TestPostgresACopyHasEverything(t *testing.T) {
	t.Parallel()
	two, err := dbtest.Postgres()
	if err != nil {
		absent(t, err)
	}
	owner := "owner" + strconv.FormatInt(time.Now().UnixNano(), 36)
	for _, c := range two {
		pgRun(t, pgOn(c, "x"), pgMaintenance, "CREATE ROLE "+owner, `DO $$ BEGIN CREATE ROLE "odd ""role"; EXCEPTION WHEN duplicate_object THEN END $$`)
	}
	source, sink := pgPair(t, pgDevices,
		"CREATE TABLE users (id serial PRIMARY KEY, device bigint REFERENCES devices ON DELETE CASCADE, parent int REFERENCES users DEFERRABLE INITIALLY DEFERRED)",
		"INSERT INTO users (device, parent) VALUES (7, 2), (8, 1)",
		`CREATE SCHEMA "odd "" schema"`, `CREATE TABLE "odd "" schema"."odd.table" (k text PRIMARY KEY, b bytea)`, `INSERT INTO "odd "" schema"."odd.table" VALUES (E'a\tb\\c\n', '\x00ff')`,
		"CREATE VIEW few AS SELECT * FROM devices WHERE id < 10",
		"CREATE MATERIALIZED VIEW many AS SELECT count(*) AS n FROM devices",
		"CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := NEW.name || '!'; RETURN NEW; END $$",
		"CREATE TRIGGER stamp BEFORE INSERT ON devices FOR EACH ROW EXECUTE FUNCTION stamp()",
		"CREATE SEQUENCE tickets START 500", "SELECT nextval('tickets')",
		"CREATE TABLE parts (at date NOT NULL, x int) PARTITION BY RANGE (at)", "CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')", "INSERT INTO parts VALUES ('2026-05-05', 1)",
		"SELECT lo_from_bytea(4242, 'large and small')",
		"ALTER TABLE users ENABLE ROW LEVEL SECURITY", "ALTER TABLE users FORCE ROW LEVEL SECURITY",
		"CREATE UNLOGGED TABLE cache (x int)", "INSERT INTO cache VALUES (1)",
		"CREATE EXTENSION pgcrypto",
	)
	pgRun(t, source, pgMaintenance,
		"ALTER DATABASE "+source.Database+" OWNER TO "+owner,
		"ALTER DATABASE "+source.Database+` SET search_path = "$user", 'odd " schema', public`,
		"ALTER DATABASE "+source.Database+` SET work_mem = '5MB'`,
		`ALTER ROLE "odd ""role" IN DATABASE `+source.Database+` SET datestyle = 'ISO, DMY'`,
		"REVOKE CONNECT ON DATABASE "+source.Database+" FROM PUBLIC", "GRANT CONNECT, TEMPORARY ON DATABASE "+source.Database+` TO "odd ""role" WITH GRANT OPTION`,
		"COMMENT ON DATABASE "+source.Database+` IS 'it''s \ here'`, "ALTER DATABASE "+source.Database+" CONNECTION LIMIT 17")
	o := offerOf(t, source)
	want := map[string]int64{"public.devices": 2000, "public.users": 2, `odd " schema.odd.table`: 1, "public.parts_a": 1, "public.cache": 1, "large objects": 1}
	if diff := cmp.Diff(want, o.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(o.Server, "PostgreSQL 1") {
		t.Errorf("the server is %q", o.Server)
	}
	must(t, sink.Switch(t.Context(), take(t, sink, o, 1)))
	for _, query := range []string{
		"SELECT count(*) FROM few", "SELECT n FROM many", "SELECT md5(string_agg(d::text, ',' ORDER BY id)) FROM devices d",
		`SELECT md5(k) || encode(b, 'hex') FROM "odd "" schema"."odd.table"`, "SELECT last_value FROM tickets", "SELECT last_value FROM devices_id_seq",
		"SELECT convert_from(lo_get(4242), 'UTF8')", "SELECT string_agg(conname || pg_get_constraintdef(oid), ';' ORDER BY conname) FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
		"SELECT string_agg(pg_get_triggerdef(oid), ';') FROM pg_trigger WHERE NOT tgisinternal", "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'users'",
		"SELECT string_agg(setconfig::text || setrole::regrole, ';' ORDER BY setconfig) FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
		"SELECT ROW((SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(datacl) a), pg_get_userbyid(datdba), encoding, datcollate, datctype, datlocprovider, datconnlimit, shobj_description(oid, 'pg_database')) FROM pg_database WHERE datname = current_database()",
		"SELECT string_agg(extname, ',' ORDER BY extname) FROM pg_extension", "SELECT octet_length(digest('x', 'sha256'))",
	} {
		got, want := pgText(t, sink, sink.Database, query), pgText(t, source, source.Database, query)
		if got != want || strings.Contains(want, "SQLSTATE") {
			t.Errorf("%s gives\n%s, and at the source\n%s", query, got, want)
		}
	}
	if got := pgText(t, sink, sink.Database, "SELECT name FROM devices WHERE id = 7"); got != "device 7" {
		t.Errorf("the trigger has run on what was restored: %q", got)
	}
	pgRun(t, sink, sink.Database, "INSERT INTO devices (name) VALUES ('next')")
	if got := pgText(t, sink, sink.Database, "SELECT id || name FROM devices ORDER BY id DESC LIMIT 1"); got != "2001next!" {
		t.Errorf("the next device is %q", got)
	}
}

func TestPostgresOnlyTheFilesOfChangedTablesDiffer(t *testing.T) {
	t.Parallel()
	var statements []string
	for n := range 20 {
		statements = append(statements, fmt.Sprintf("CREATE TABLE t%d (id int PRIMARY KEY, v text); INSERT INTO t%d SELECT i, md5(i::text) FROM generate_series(1, 500) i", n, n))
	}
	source, _ := pgPair(t, statements...)
	first, second := offerOf(t, source), offerOf(t, source)
	if first.Digest != second.Digest || first.Digest == "" {
		t.Errorf("digests %q and %q of the same database", first.Digest, second.Digest)
	}
	if diff := cmp.Diff(dumped(t, first), dumped(t, second)); diff != "" {
		t.Errorf("two dumps of the same differ:\n%s", diff)
	}
	pgRun(t, source, source.Database, "UPDATE t7 SET v = 'changed' WHERE id <= 10")
	third := offerOf(t, source)
	if first.Digest == third.Digest {
		t.Error("ten changed rows leave the digest as it was")
	}
	before, after := dumped(t, first), dumped(t, third)
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before[name] != after[name] {
			differ = append(differ, name)
		}
	}
	if len(differ) != 1 || len(before) != len(after) || !strings.HasSuffix(differ[0], ".dat") || differ[0] == "toc.dat" {
		t.Errorf("ten rows of one of twenty tables change the files %q", differ)
	}
	text, err := os.ReadFile(filepath.Join(third.Tree, dumpDir, differ[0]))
	must(t, err)
	if got := strings.Count(string(text), "\tchanged\n"); got != 10 {
		t.Errorf("that file has %d changed rows", got)
	}

	for _, s := range []string{
		"ALTER TABLE t3 ALTER v SET DEFAULT 'x'", "CREATE VIEW v AS SELECT 1", "CREATE OR REPLACE VIEW v AS SELECT 2",
		"COMMENT ON TABLE t4 IS 'y'", "CREATE INDEX ON t5 (v)", "ALTER DATABASE " + source.Database + " SET work_mem = '6MB'",
	} {
		before := offerOf(t, source)
		pgRun(t, source, source.Database, s)
		if before.Digest == offerOf(t, source).Digest {
			t.Errorf("%s leaves the digest as it was", s)
		}
	}
}

// dumped gives the files of a dump, each as content and time.
func dumped(t *testing.T, o Offer) map[string]string {
	t.Helper()
	dir := filepath.Join(o.Tree, dumpDir)
	all := textsIn(t, dir)
	for name, text := range all {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		all[name] = fmt.Sprintf("%s %x", info.ModTime().UTC(), text)
	}
	return all
}

// Transfers between two accounts, each in a transaction of its own table, tell
// whether dump and counts are of one moment.
func TestPostgresDumpAndCountsAreOfOneMoment(t *testing.T) {
	t.Parallel()
	source, sink := pgPair(t, "CREATE TABLE a (x int)", "CREATE TABLE b (x int)", "INSERT INTO a SELECT generate_series(1, 20000)",
		"CREATE TABLE ballast AS SELECT repeat('x', 500) FROM generate_series(1, 5000)")
	ctx, cancel := context.WithCancel(t.Context())
	ended, moving := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- source.with(t.Context(), source.Database, func(conn *pgx.Conn) error {
			for n := 0; ctx.Err() == nil; n++ {
				if n == 2 {
					close(moving)
				}
				_, err := conn.Exec(t.Context(), "WITH gone AS (DELETE FROM public.a WHERE ctid IN (SELECT ctid FROM public.a LIMIT 3) RETURNING x) INSERT INTO public.b SELECT x FROM gone")
				if err != nil {
					return err
				}
			}
			return nil
		})
	}()
	<-moving
	o := offerOf(t, source)
	cancel()
	must(t, <-ended)
	if sum := o.Counts["public.a"] + o.Counts["public.b"]; sum != 20000 || o.Counts["public.b"] == 0 {
		t.Errorf("a and b have %d and %d rows, which makes %d", o.Counts["public.a"], o.Counts["public.b"], sum)
	}
	must(t, sink.Switch(t.Context(), take(t, sink, o, 1))) // its counts are those of the dump
}

func pgRows(t *testing.T, p *Postgres, want string) {
	t.Helper()
	if got := pgText(t, p, p.Database, "SELECT count(*) FROM devices"); got != want {
		t.Errorf("%s devices, want %s", got, want)
	}
}

func TestPostgresASwitchMayBeDoneTwiceAndUndone(t *testing.T) {
	t.Parallel()
	source, sink := pgPair(t, pgDevices)
	first := take(t, sink, offerOf(t, source), 1)
	must(t, sink.Switch(t.Context(), first))
	must(t, sink.Switch(t.Context(), first))
	pgRows(t, sink, "2000")
	pgRun(t, source, source.Database, "DELETE FROM devices WHERE id > 1900")
	second := take(t, sink, offerOf(t, source), 2)
	pgRows(t, sink, "2000")
	must(t, sink.Switch(t.Context(), second))
	must(t, sink.Switch(t.Context(), second))
	pgRows(t, sink, "1900")
	must(t, sink.Back(t.Context(), second))
	must(t, sink.Back(t.Context(), second))
	pgRows(t, sink, "2000")
	must(t, sink.Switch(t.Context(), second))
	pgRows(t, sink, "1900")
	must(t, sink.Drop(t.Context(), second, New)) // it is in force
	pgRows(t, sink, "1900")
	must(t, sink.Drop(t.Context(), second, Old))
	must(t, sink.Drop(t.Context(), second, Old))
	must(t, sink.Drop(t.Context(), first, Old)) // there was none
	if got := pgText(t, sink, pgMaintenance, "SELECT count(*) FROM pg_database WHERE datname LIKE '"+sink.Database+"%'"); got != "1" {
		t.Errorf("%s databases are left", got)
	}
	if err := sink.Back(t.Context(), second); err == nil {
		t.Error("it goes back to what was dropped")
	}
	pgRows(t, sink, "1900")
}

// blow ends the context at the nth statement, as a kill between two of them.
type blow struct {
	left int
	end  context.CancelFunc
}

func (b *blow) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if b.left--; b.left == 0 {
		b.end()
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx
	}
	return ctx
}

func (b *blow) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestPostgresASwitchThatIsCutOffAnywhereIsRolledForward(t *testing.T) {
	t.Parallel()
	source, sink := pgPair(t, pgDevices)
	must(t, sink.Switch(t.Context(), take(t, sink, offerOf(t, source), 1)))
	pgRun(t, source, source.Database, "DELETE FROM devices WHERE id > 1000")
	second := take(t, sink, offerOf(t, source), 2)
	for n := 1; ; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		cut := *sink
		cut.trace = &blow{n, cancel}
		err := cut.Switch(ctx, second)
		cancel()
		if got := pgText(t, sink, sink.Database, "SELECT count(*) FROM devices"); err != nil && got != "2000" && got != "1000" {
			t.Fatalf("cut off at statement %d the database has %q devices", n, got)
		}
		must(t, sink.Switch(t.Context(), second))
		pgRows(t, sink, "1000")
		must(t, sink.Back(t.Context(), second))
		pgRows(t, sink, "2000")
		if err == nil {
			if n < 10 {
				t.Errorf("a switch has only %d statements", n)
			}
			return
		}
	}
}

func TestPostgresARestoreThatIsCutOffLeavesNothing(t *testing.T) {
	t.Parallel()
	source, sink := pgPair(t, pgDevices)
	o := offerOf(t, source)
	step := 3
	if os.Getenv("UNDERSTUDY_SOAK") != "" {
		step = 1
	}
	for n := 1; ; n += step {
		ctx, cancel := context.WithCancel(t.Context())
		cut := *sink
		cut.trace = &blow{n, cancel}
		_, err := cut.Prepare(ctx, Staged{Generation: uint64(n), Dir: o.Tree, Offer: o})
		cancel()
		must(t, sink.Drop(t.Context(), Change{Generation: uint64(n)}, New))
		must(t, sink.Drop(t.Context(), Change{Generation: uint64(n)}, New))
		if got := pgText(t, sink, pgMaintenance, "SELECT count(*) FROM pg_database WHERE datname LIKE '"+sink.Database+"%'"); got != "0" {
			t.Fatalf("cut off at statement %d it leaves %s databases", n, got)
		}
		if err == nil {
			if n < 8 {
				t.Errorf("a restore has only %d statements", n)
			}
			return
		}
	}
}

func TestPostgresSessionsAreEndedAndOneThatStaysFailsTheSwitch(t *testing.T) {
	t.Parallel()
	source, sink := pgPair(t, pgDevices)
	must(t, sink.Switch(t.Context(), take(t, sink, offerOf(t, source), 1)))
	pgRun(t, source, source.Database, "DELETE FROM devices WHERE id > 1000")
	second := take(t, sink, offerOf(t, source), 2)

	// One that cannot hear that it is ended.
	deaf, err := sink.connect(t.Context(), sink.Database)
	must(t, err)
	pid := int(deaf.PgConn().PID())
	must(t, syscall.Kill(pid, syscall.SIGSTOP))
	err = sink.Switch(t.Context(), second)
	must(t, syscall.Kill(pid, syscall.SIGCONT))
	wantError(t, err, fmt.Sprintf("1 sessions do not leave although they were ended: process %d, understudy", pid))
	pgRows(t, sink, "2000") // and it is open

	// Those that hear it, with a transaction open and in the middle of a query.
	for _, query := range []string{"BEGIN; DELETE FROM public.devices", "SELECT pg_sleep(600)"} {
		busy, err := sink.connect(t.Context(), sink.Database)
		must(t, err)
		defer closePG(busy)
		r := busy.PgConn().Exec(context.Background(), query)
		if !strings.Contains(query, "sleep") {
			must(t, r.Close())
		}
	}
	must(t, sink.Switch(t.Context(), second))
	pgRows(t, sink, "1000")
}

func TestPostgresAPreparedTransactionFailsTheSwitchAndItIsSaid(t *testing.T) {
	t.Parallel()
	source, sink := pgPair(t, pgDevices)
	must(t, sink.Switch(t.Context(), take(t, sink, offerOf(t, source), 1)))
	second := take(t, sink, offerOf(t, source), 2)
	id := "two-phase " + sink.Database
	pgRun(t, sink, sink.Database, "BEGIN; DELETE FROM public.devices; PREPARE TRANSACTION '"+id+"'")
	wantError(t, sink.Switch(t.Context(), second), "There is 1 prepared transaction")
	pgRows(t, sink, "2000")
	pgRun(t, sink, sink.Database, "ROLLBACK PREPARED '"+id+"'")
	must(t, sink.Switch(t.Context(), second))
}

func TestPostgresADatabaseThatSomebodyRenamedIsLeftAlone(t *testing.T) {
	t.Parallel()
	source, sink := pgPair(t, pgDevices)
	must(t, sink.Switch(t.Context(), take(t, sink, offerOf(t, source), 1)))
	second := take(t, sink, offerOf(t, source), 2)
	pgRun(t, sink, pgMaintenance, "ALTER DATABASE "+sink.Database+" RENAME TO "+sink.Database+"_mine", "CREATE DATABASE "+sink.Database)
	wantError(t, sink.Switch(t.Context(), second), "somebody has renamed or made it")
}

func TestPostgresWhatCannotBeRestoredIsRefused(t *testing.T) {
	t.Parallel()
	source, sink := pgPair(t, pgDevices)
	for name, tt := range map[string]struct {
		harm func(*Offer)
		want string
	}{
		"no facts":      {func(o *Offer) { must(t, os.Remove(filepath.Join(o.Tree, factsFile))) }, factsFile},
		"odd facts":     {func(o *Offer) { must(t, os.WriteFile(filepath.Join(o.Tree, factsFile), []byte("{"), 0o600)) }, "cannot be read"},
		"another major": {func(o *Offer) { rewrite(t, o, `"major":15`, `"major":14`) }, "both nodes need the same major release"},
		"no owner":      {func(o *Offer) { rewrite(t, o, `"owner":"understudy"`, `"owner":"x\"; DROP"`) }, `role "x\"; DROP" of the database on core1 is not here`},
		"an odd grant": {func(o *Offer) {
			rewrite(t, o, `"granted":false`, `"granted":true,"grants":[{"privilege":"ALL; DROP"}]`)
		}, "which this release does not know"},
		"an odd locale": {func(o *Offer) { rewrite(t, o, `"collate":"C.UTF-8"`, `"collate":"xx_YY'"`) }, "invalid locale name"},
		"no contents":   {func(o *Offer) { must(t, os.Remove(filepath.Join(o.Tree, dumpDir, "toc.dat"))) }, "pg_restore"},
		"a lost table": {func(o *Offer) {
			files, _ := filepath.Glob(filepath.Join(o.Tree, dumpDir, "[0-9]*.dat"))
			must(t, os.Remove(files[0]))
		}, "could not open input file"},
		"a cut table": {func(o *Offer) {
			files, _ := filepath.Glob(filepath.Join(o.Tree, dumpDir, "[0-9]*.dat"))
			must(t, os.WriteFile(files[0], []byte("1\tone\n2\n"), 0o600))
		}, `missing data for column \"name\"`},
	} {
		o := offerOf(t, source)
		tt.harm(&o)
		_, err := sink.Prepare(t.Context(), Staged{Generation: 1, Dir: o.Tree, Offer: o, Source: "core1"})
		t.Log(name, err)
		wantError(t, err, tt.want)
		if strings.Contains(err.Error(), "CONTEXT") {
			t.Errorf("%s: the error tells rows", name)
		}
		var refused *Refused
		if got := errors.As(err, &refused); got != (name == "another major") {
			t.Errorf("%s: refused %v", name, got)
		}
		must(t, sink.Drop(t.Context(), Change{Generation: 1}, New))
	}
}

func rewrite(t *testing.T, o *Offer, old, text string) {
	t.Helper()
	path := filepath.Join(o.Tree, factsFile)
	was, err := os.ReadFile(path)
	must(t, err)
	if !strings.Contains(string(was), old) {
		t.Fatalf("%s has no %s", was, old)
	}
	must(t, os.WriteFile(path, []byte(strings.Replace(string(was), old, text, 1)), 0o600))
}

func TestPostgresASourceThatCannotBeDumpedSaysWhatToDo(t *testing.T) {
	t.Parallel()
	source, _ := pgPair(t, pgDevices)
	offer := func(change func(*Postgres)) error {
		other := *source
		change(&other)
		_, err := other.Offer(t.Context(), t.TempDir())
		t.Log(err)
		return err
	}
	wantError(t, offer(func(p *Postgres) { p.Database = "nothing" }), "make it, or correct database in node.yaml")
	wantError(t, offer(func(p *Postgres) { p.User = "nobody" }), "see user and password_file in node.yaml")
	wantError(t, offer(func(p *Postgres) { p.Host = t.TempDir() }), "no such file or directory")
	wantError(t, offer(func(p *Postgres) { p.PasswordFile = "/nowhere" }), "read the password")
	wantError(t, offer(func(p *Postgres) { p.Programs = "/nowhere" }), "no /nowhere/pg_dump: install it")

	open := filepath.Join(t.TempDir(), "open")
	must(t, os.WriteFile(open, []byte("secret\n"), 0o644))
	wantError(t, offer(func(p *Postgres) { p.PasswordFile = open }), "can be read by everybody")
	must(t, os.Chmod(open, 0o600))
	err := offer(func(p *Postgres) { p.PasswordFile = open })
	wantError(t, err, "password authentication failed")
	if strings.Contains(err.Error(), "secret") {
		t.Error("the password stands in the error")
	}
}

func TestPostgresThePasswordIsInNoArgument(t *testing.T) {
	t.Parallel()
	source, _ := pgPair(t, pgDevices)
	dir := t.TempDir()
	args := filepath.Join(dir, "arguments")
	must(t, os.WriteFile(filepath.Join(dir, "pg_dump"), []byte("#!/bin/sh\necho \"$*\" >"+args+"\nenv >>"+args+"\nls -l \"$PGPASSFILE\" >>"+args+"\nexit 3\n"), 0o755))
	other := *source
	other.Programs = dir
	_, err := other.Offer(t.Context(), t.TempDir())
	wantError(t, err, "exit status 3")
	text, err := os.ReadFile(args)
	must(t, err)
	if !strings.Contains(string(text), "--snapshot=") || strings.Contains(string(text), "a:secret") || strings.Contains(string(text), `a\:secret`) || !strings.Contains(string(text), "-rw------- ") {
		t.Errorf("pg_dump was called with\n%s", text)
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "PGPASSFILE="); ok {
			if _, err := os.Stat(path); err == nil {
				t.Errorf("%s is left", path)
			}
		}
	}
}

func TestPostgresNamesAndPlacesThatCannotBeUsedAreRefused(t *testing.T) {
	t.Parallel()
	for _, p := range []Postgres{
		{},
		{Database: "a b"},
		{Database: `a"b`},
		{Database: "-a"},
		{Database: "dbname=x"},
		{Database: "postgres"},
		{Database: "template1"},
		{Database: strings.Repeat("a", 41)},
		{Database: "a", Port: -1},
		{Database: "a", Port: 70000},
		{Database: "a", Jobs: 100},
		{Database: "a", Programs: "bin"},
		{Database: "a", Host: "db.example.com"},
		{Database: "a", Host: "192.0.2.1"},
		{Database: "a", User: "a\nb"},
	} {
		if _, err := NewPostgres(p); err == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	if p, err := NewPostgres(Postgres{Database: strings.Repeat("a", 40)}); err != nil || len(p.aside(999999999999999999)+"_") > 63 {
		t.Errorf("a name of 40 letters: %v", err)
	}
}
