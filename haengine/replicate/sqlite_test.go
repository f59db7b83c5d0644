package replicate

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// liteMade gives a folder with a database that these statements have made.
func liteMade(t *testing.T, statements ...string) (folder string, db *sql.DB) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "db")
	must(t, os.Mkdir(folder, 0o700))
	db = liteOpen(t, filepath.Join(folder, "app.db"))
	runSQL(t, db, statements...)
	return folder, db
}

func liteOpen(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func runSQL(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func number(t *testing.T, db *sql.DB, query string) (n int64) {
	t.Helper()
	must(t, db.QueryRow(query).Scan(&n))
	return n
}

func wantError(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want one with %q", err, part)
	}
}

func lite(t *testing.T, folder string) *SQLite {
	t.Helper()
	s, err := NewSQLite(folder, "app.db")
	must(t, err)
	return s
}

// liteOffer gives what the source offers.
func liteOffer(t *testing.T, folder string) (Offer, error) {
	t.Helper()
	return lite(t, folder).Offer(t.Context(), t.TempDir())
}

const devices = `CREATE TABLE devices (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
	WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
	INSERT INTO devices SELECT i, 'device ' || i FROM n`

func TestSQLiteACopyHasEverythingAndTheSourceIsUntouched(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete", "truncate"} {
		folder, db := liteMade(t, "PRAGMA journal_mode="+mode, devices,
			"PRAGMA user_version=42", "PRAGMA application_id=77",
			`CREATE TABLE "odd "" name" (k TEXT PRIMARY KEY, v) WITHOUT ROWID`, `INSERT INTO "odd "" name" VALUES ('a', x'00ff')`,
			"CREATE VIRTUAL TABLE words USING fts5(text)", "INSERT INTO words VALUES ('hello there')",
			"CREATE VIEW few AS SELECT * FROM devices WHERE id < 10",
			"CREATE TABLE child (d INTEGER REFERENCES devices(id))", "INSERT INTO child VALUES (1), (99999)",
			"UPDATE devices SET name = 'only in the WAL' WHERE id = 7")
		before := textsIn(t, folder)
		o, err := liteOffer(t, folder)
		must(t, err)
		after := textsIn(t, folder)
		delete(before, "app.db-shm") // holds the locks of readers
		delete(after, "app.db-shm")
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s: the source was changed", mode)
		}
		want := map[string]int64{"app.db/devices": 2000, "app.db/odd \" name": 1, "app.db/child": 2}
		for name, n := range want {
			if o.Counts[name] != n {
				t.Errorf("%s: counts %v, want %v", mode, o.Counts, want)
			}
		}
		live := filepath.Join(t.TempDir(), "db")
		sink := lite(t, live)
		p, err := sink.Prepare(t.Context(), Staged{Generation: 3, Dir: o.Tree, Offer: o})
		must(t, err)
		if p.Detail != "1 rows break a foreign key, as at the source" {
			t.Errorf("%s: detail %q", mode, p.Detail)
		}
		must(t, sink.Switch(t.Context(), Change{Generation: 3, Data: p.Data}))
		got := liteOpen(t, filepath.Join(live, "app.db"))
		for _, query := range []string{
			"PRAGMA user_version", "PRAGMA application_id", "SELECT count(*) FROM few",
			"SELECT count(*) FROM words WHERE words MATCH 'hello'", "SELECT count(*) FROM devices WHERE name = 'only in the WAL'",
		} {
			if got, want := number(t, got, query), number(t, db, query); got != want {
				t.Errorf("%s: %s gives %d, want %d", mode, query, got, want)
			}
		}
	}
}

// An application that is stopped has closed its database: whoever reads it then
// must leave no file behind that the application cannot write.
func TestSQLiteAClosedDatabaseIsCopiedAndStaysUsable(t *testing.T) {
	t.Parallel()
	folder, db := liteMade(t, "PRAGMA journal_mode=wal", devices)
	must(t, db.Close())
	if os.Geteuid() == 0 {
		must(t, os.Chown(filepath.Join(folder, "app.db"), 56, 78))
	}
	for range 2 {
		o, err := liteOffer(t, folder)
		must(t, err)
		if o.Counts["app.db/devices"] != 2000 {
			t.Errorf("counts %v", o.Counts)
		}
	}
	want, err := os.Stat(filepath.Join(folder, "app.db"))
	must(t, err)
	entries, err := os.ReadDir(folder)
	must(t, err)
	for _, e := range entries {
		got, err := e.Info()
		must(t, err)
		if got.Sys().(*syscall.Stat_t).Uid != want.Sys().(*syscall.Stat_t).Uid || got.Mode() != want.Mode() {
			t.Errorf("%s is left with owner %d and mode %v", e.Name(), got.Sys().(*syscall.Stat_t).Uid, got.Mode())
		}
	}
	runSQL(t, liteOpen(t, filepath.Join(folder, "app.db")), "DELETE FROM devices")
}

// textsIn gives what stands in the files of a folder.
func textsIn(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(folder)
	must(t, err)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		must(t, err)
		all[e.Name()] = string(text)
	}
	return all
}

func TestSQLiteNothingChangedIsTheSameDigest(t *testing.T) {
	t.Parallel()
	folder, db := liteMade(t, "PRAGMA journal_mode=wal", devices)
	first, err := liteOffer(t, folder)
	must(t, err)
	second, err := liteOffer(t, folder)
	must(t, err)
	if first.Digest != second.Digest || first.Digest == "" {
		t.Errorf("digests %q and %q of the same database", first.Digest, second.Digest)
	}
	runSQL(t, db, "UPDATE devices SET name = 'x' WHERE id = 1")
	third, err := liteOffer(t, folder)
	must(t, err)
	if third.Digest == second.Digest {
		t.Error("a changed row leaves the digest as it was")
	}
}

// A transfer moves between two rows, so their sum tells whether a copy is of one
// moment. Other connections write it all the time, with pages to spare.
func TestSQLiteACopyUnderHeavyWritesIsOfOneMoment(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"wal", "delete"} {
		folder, db := liteMade(t, "PRAGMA journal_mode="+mode, "PRAGMA synchronous=off",
			"CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER)", "INSERT INTO account VALUES (1, 1000000), (100000, 0)",
			`WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 900) INSERT INTO account SELECT i, 0 FROM n`,
			"CREATE TABLE ballast (b BLOB)", `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 800) INSERT INTO ballast SELECT zeroblob(4000) FROM n`)
		ctx, cancel := context.WithCancel(t.Context())
		ended, written := make(chan error, 1), make(chan struct{})
		go func() {
			for n := 0; ctx.Err() == nil; n++ {
				if n == 3 {
					close(written)
				}
				if _, err := db.Exec("BEGIN IMMEDIATE; UPDATE account SET balance = balance - 1 WHERE id = 1; UPDATE account SET balance = balance + 1 WHERE id = 100000; COMMIT"); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
		<-written
		to := filepath.Join(t.TempDir(), "copy.db")
		restarts, err := copySQLite(t.Context(), filepath.Join(folder, "app.db"), to)
		cancel()
		must(t, <-ended)
		must(t, err)
		if mode == "wal" && restarts > 0 || restarts > sqliteRestarts {
			t.Errorf("%s: %d restarts", mode, restarts)
		}
		t.Logf("%s: %d restarts", mode, restarts)
		if _, err := readSQLite(t.Context(), to); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if got := number(t, liteOpen(t, to), "SELECT sum(balance) FROM account"); got != 1000000 {
			t.Errorf("%s: the balances add up to %d: the copy is of two moments", mode, got)
		}
	}
}

// This is why folders are exchanged: the same database, moved alone next to the
// WAL of the one before, is silently another.
func TestSQLiteTheWALOfTheDatabaseBeforeIsNotAppliedToTheNewOne(t *testing.T) {
	t.Parallel()
	source, db := liteMade(t, devices)
	runSQL(t, db, "UPDATE devices SET name = 'new'")
	o, err := liteOffer(t, source)
	must(t, err)

	// An application that crashed has left a WAL.
	crashed := func() string {
		folder, db := liteMade(t, "PRAGMA journal_mode=wal", devices, "PRAGMA wal_checkpoint(TRUNCATE)", "UPDATE devices SET name = 'stale'")
		live := filepath.Join(t.TempDir(), "db")
		must(t, os.Mkdir(live, 0o700))
		for name, text := range textsIn(t, folder) {
			must(t, os.WriteFile(filepath.Join(live, name), []byte(text), 0o600))
		}
		must(t, db.Close())
		return live
	}
	names := func(live string) string {
		var name string
		if err := liteOpen(t, filepath.Join(live, "app.db")).QueryRow("SELECT group_concat(DISTINCT name) FROM devices").Scan(&name); err != nil {
			return err.Error()
		}
		return name
	}

	alone := crashed()
	must(t, os.Rename(filepath.Join(o.Tree, "app.db"), filepath.Join(alone, "app.db")))
	if got := names(alone); got == "new" {
		t.Error("a database next to another one's WAL is read right; then this test proves nothing")
	}

	o, err = liteOffer(t, source)
	must(t, err)
	live := crashed()
	sink := lite(t, live)
	must(t, sink.Switch(t.Context(), take(t, sink, o, 1)))
	if got := names(live); got != "new" {
		t.Errorf("the names are %q, want new", got)
	}
	if _, err := os.Stat(filepath.Join(live, "app.db-wal")); err == nil && names(live) != "new" {
		t.Error("a WAL stands beside the new database")
	}
}

func TestSQLiteASwitchMayBeDoneTwiceAndUndone(t *testing.T) {
	t.Parallel()
	source, db := liteMade(t, devices)
	live := filepath.Join(t.TempDir(), "db")
	sink := lite(t, live)
	rows := func(want int64) {
		t.Helper()
		if got := number(t, liteOpen(t, filepath.Join(live, "app.db")), "SELECT count(*) FROM devices"); got != want {
			t.Errorf("%d devices, want %d", got, want)
		}
	}
	var changes []Change
	for generation := range uint64(2) {
		o, err := liteOffer(t, source)
		must(t, err)
		c := take(t, sink, o, generation+1)
		must(t, sink.Switch(t.Context(), c))
		must(t, sink.Switch(t.Context(), c))
		changes = append(changes, c)
		runSQL(t, db, "DELETE FROM devices WHERE id > 1500")
	}
	rows(1500)
	must(t, sink.Back(t.Context(), changes[1]))
	must(t, sink.Back(t.Context(), changes[1]))
	rows(2000)
	must(t, sink.Drop(t.Context(), changes[1], New))
	must(t, sink.Drop(t.Context(), changes[1], New))
	must(t, sink.Drop(t.Context(), changes[1], Old)) // it is in force
	rows(2000)
	must(t, sink.Drop(t.Context(), changes[0], Old))
	rows(2000)
	left, err := os.ReadDir(shelf(live))
	must(t, err)
	if len(left) != 0 {
		t.Errorf("left on the shelf: %v", left)
	}
}

func TestSQLiteWhatAPrepareThatEndedEarlyLeftIsFreed(t *testing.T) {
	t.Parallel()
	source, _ := liteMade(t, devices)
	o, err := liteOffer(t, source)
	must(t, err)
	sink := lite(t, filepath.Join(t.TempDir(), "db"))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fmt.Errorf("the engine ends"))
	if _, err := sink.Prepare(ctx, Staged{Generation: 9, Dir: o.Tree, Offer: o}); err == nil {
		t.Fatal("it goes on after it was ended")
	}
	must(t, sink.Drop(t.Context(), Change{Generation: 9}, New))
	if left, _ := os.ReadDir(shelf(sink.tree)); len(left) != 0 {
		t.Errorf("left on the shelf: %v", left)
	}
}

func TestSQLiteTheNewDatabaseHasOwnerAndModeOfTheOneBefore(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	source, _ := liteMade(t, devices)
	o, err := liteOffer(t, source)
	must(t, err)
	live, _ := liteMade(t, devices)
	must(t, os.Chown(live, 12, 34))
	must(t, os.Chmod(live, 0o750|os.ModeSetgid))
	must(t, os.Chown(filepath.Join(live, "app.db"), 56, 78))
	must(t, os.Chmod(filepath.Join(live, "app.db"), 0o664))
	sink := lite(t, live)
	must(t, sink.Switch(t.Context(), take(t, sink, o, 1)))
	got := map[string]string{}
	for _, path := range []string{live, filepath.Join(live, "app.db")} {
		info, err := os.Stat(path)
		must(t, err)
		st := info.Sys().(*syscall.Stat_t)
		got[info.Name()] = fmt.Sprintf("%d %d %o", st.Uid, st.Gid, st.Mode&0o7777)
	}
	if diff := cmp.Diff(map[string]string{"db": "12 34 2750", "app.db": "56 78 664"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSQLiteASourceThatCannotBeTrustedOffersNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		harm func(folder string, db *sql.DB)
		want string
	}{
		"missing": {func(f string, _ *sql.DB) { must(t, os.Remove(filepath.Join(f, "app.db"))) }, "database app.db is missing"},
		"emptied": {func(f string, _ *sql.DB) { must(t, os.Truncate(filepath.Join(f, "app.db"), 0)) }, "is empty"},
		"no database": {func(f string, _ *sql.DB) {
			must(t, os.WriteFile(filepath.Join(f, "app.db"), []byte(strings.Repeat("text ", 3000)), 0o600))
		}, "file is not a database"},
		"a link": {func(f string, _ *sql.DB) {
			must(t, os.Rename(filepath.Join(f, "app.db"), filepath.Join(f, "..", "else.db")))
			must(t, os.Symlink("../else.db", filepath.Join(f, "app.db")))
		}, "is not a file"},
		"something else": {func(f string, _ *sql.DB) {
			must(t, os.WriteFile(filepath.Join(f, "notes.txt"), nil, 0o600))
		}, `holds "notes.txt", which is none of its databases`},
		"damaged": {func(f string, _ *sql.DB) { scratch(t, filepath.Join(f, "app.db"), 3*4096) }, "is damaged"},
	} {
		folder, db := liteMade(t, devices)
		must(t, db.Close())
		tt.harm(folder, db)
		_, err := liteOffer(t, folder)
		t.Log(name, err)
		wantError(t, err, tt.want)
	}
}

// scratch overwrites a part of a file.
func scratch(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte(strings.Repeat("\xa5", 600)), at)
	must(t, err)
	must(t, f.Close())
}

func TestSQLiteAJournalOfACrashIsLeftToItsApplication(t *testing.T) {
	t.Parallel()
	folder, db := liteMade(t, devices, "PRAGMA cache_size=1", "BEGIN", "UPDATE devices SET name = hex(randomblob(200))")
	crashed := filepath.Join(t.TempDir(), "db")
	must(t, os.Mkdir(crashed, 0o700))
	for name, text := range textsIn(t, folder) {
		must(t, os.WriteFile(filepath.Join(crashed, name), []byte(text), 0o600))
	}
	_ = db.Close()
	_, err := liteOffer(t, crashed)
	wantError(t, err, "start it, so that it rolls its journal back")
}

func TestSQLiteWhatArrivedOtherwiseThanItWasSentIsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		harm func(tree string)
		want string
	}{
		"a WAL comes along": {func(d string) { must(t, os.WriteFile(filepath.Join(d, "app.db-wal"), []byte("x"), 0o600)) }, "the source sent the databases"},
		"another database":  {func(d string) { must(t, os.Rename(filepath.Join(d, "app.db"), filepath.Join(d, "x.db"))) }, "the source sent the databases"},
		"a link": {func(d string) {
			must(t, os.Remove(filepath.Join(d, "app.db")))
			must(t, os.Symlink("/etc/passwd", filepath.Join(d, "app.db")))
		}, "which is no file"},
		"no database": {func(d string) { must(t, os.WriteFile(filepath.Join(d, "app.db"), []byte("x"), 0o600)) }, "it is no SQLite database"},
		"damaged":     {func(d string) { scratch(t, filepath.Join(d, "app.db"), 3*4096) }, "has not arrived whole"},
		"other rows": {func(d string) {
			db := liteOpen(t, filepath.Join(d, "app.db"))
			runSQL(t, db, "DELETE FROM devices WHERE id = 3")
			must(t, db.Close())
		}, "1999 rows in 1 tables"},
		"no facts":  {func(d string) { must(t, os.Remove(filepath.Join(d, factsFile))) }, factsFile},
		"odd facts": {func(d string) { must(t, os.WriteFile(filepath.Join(d, factsFile), []byte("{"), 0o600)) }, "cannot be read"},
	} {
		folder, _ := liteMade(t, devices)
		o, err := liteOffer(t, folder)
		must(t, err)
		tt.harm(o.Tree)
		live, db := liteMade(t, "CREATE TABLE mine (x)")
		_, err = lite(t, live).Prepare(t.Context(), Staged{Generation: 1, Dir: o.Tree, Offer: o})
		t.Log(name, err)
		wantError(t, err, tt.want)
		if got := number(t, db, "SELECT count(*) FROM mine"); got != 0 {
			t.Errorf("%s: the database in force has changed", name)
		}
	}
}

func TestSQLiteAFolderThatCannotBeExchangedIsRefusedBeforeTheSwitch(t *testing.T) {
	t.Parallel()
	folder, _ := liteMade(t, devices)
	o, err := liteOffer(t, folder)
	must(t, err)
	mounted, err := NewSQLite("/dev/shm", "app.db")
	must(t, err)
	_, err = mounted.Prepare(t.Context(), Staged{Generation: 1, Dir: o.Tree, Offer: o})
	wantError(t, err, "is a mount point")

	live, _ := liteMade(t, devices)
	must(t, os.WriteFile(filepath.Join(live, "upload.bin"), nil, 0o600))
	_, err = lite(t, live).Prepare(t.Context(), Staged{Generation: 1, Dir: o.Tree, Offer: o})
	wantError(t, err, `holds "upload.bin"`)
}

func TestSQLiteNamesOfDatabasesAreFilesInTheFolder(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{}, {""}, {".."}, {"a/b"}, {"/a"}, {".hidden"}, {"a", "a"}, {"a", "a-wal"}, {factsFile}} {
		if _, err := NewSQLite("/srv/db", names...); err == nil {
			t.Errorf("%q are taken", names)
		}
	}
	s, err := NewSQLite("/srv/db", "b.db", "a ?#%.db")
	must(t, err)
	if diff := cmp.Diff([]string{"a ?#%.db", "b.db"}, s.databases); diff != "" {
		t.Error(diff)
	}
}

func TestSQLiteALockThatIsHeldIsWaitedForAndNotForEver(t *testing.T) {
	t.Parallel()
	folder, db := liteMade(t, "PRAGMA journal_mode=delete", devices)
	runSQL(t, db, "PRAGMA locking_mode=exclusive", "BEGIN EXCLUSIVE")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := lite(t, folder).Offer(ctx, t.TempDir())
	if err == nil || time.Since(begin) > 10*time.Second {
		t.Errorf("error %v after %v", err, time.Since(begin))
	}
}

var _ Dataset = (*SQLite)(nil)
