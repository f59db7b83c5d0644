package replicate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"modernc.org/sqlite"
)

const (
	sqlitePages = 256                   // copied at once, between two looks at ctx
	sqliteBusy  = 20 * time.Second      // how long a lock of the application is waited for
	sqlitePause = 20 * time.Millisecond // between two tries

	// sqliteRestarts is how often a copy that writes have made void begins anew.
	// The next one holds a read lock, which lets writers wait until it is done.
	sqliteRestarts = 3
)

// SQLite's result codes (sqlite.org/rescode.html).
const (
	sqliteIsBusy   = 5
	sqliteIsLocked = 6
	sqliteReadOnly = 8
	sqliteCantOpen = 14
)

// sqliteFacts is what must be the same in a database and in its copy.
type sqliteFacts struct {
	UserVersion   int64            `json:"user_version"`
	ApplicationID int64            `json:"application_id"`
	Counts        map[string]int64 `json:"counts"` // rows a table

	// Violations counts the rows that foreign_key_check finds: SQLite enforces
	// foreign keys only where the application asks for it. -1: it cannot say.
	Violations int64 `json:"foreign_key_violations"`
}

// openSQLite opens a database that this program only reads.
func openSQLite(path string, parameters ...string) (*sql.DB, error) {
	at := url.URL{Scheme: "file", Path: path, RawQuery: strings.Join(append([]string{"mode=ro", "_pragma=query_only(1)", "_pragma=trusted_schema(0)"}, parameters...), "&")}
	db, err := sql.Open("sqlite", at.String())
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// copySQLite makes a copy of a database while its application writes, with the
// online backup of SQLite: no checkpoint, nothing changed at the source. It
// gives how often it had to begin anew. A database in WAL mode is read from one
// snapshot, which hinders nobody.
func copySQLite(ctx context.Context, from, to string) (restarts int, err error) {
	db, err := openSQLite(from)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, sqliteHint(from, err)
	}
	defer conn.Close()
	var mode string
	if err := patient(ctx, func() error { return conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode) }); err != nil {
		return 0, sqliteHint(from, err)
	}
	pinned := mode == "wal"
	for {
		if pinned {
			if err := patient(ctx, func() error { return pin(ctx, conn) }); err != nil {
				return restarts, sqliteHint(from, err)
			}
		}
		err := backupSQLite(ctx, conn, to, pinned)
		if !errors.Is(err, errRestarted) {
			return restarts, sqliteHint(from, err)
		}
		restarts++
		pinned = restarts >= sqliteRestarts
	}
}

// pin begins a transaction that reads one state.
func pin(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	var n int64
	err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n)
	if err != nil {
		_, _ = conn.ExecContext(ctx, "ROLLBACK")
	}
	return err
}

// patient tries again as long as a lock of the application is in the way. SQLite
// can wait by itself, but not end that with ctx.
func patient(ctx context.Context, do func() error) error {
	for until := time.Now().Add(sqliteBusy); ; {
		err := do()
		if code := sqliteCode(err); code != sqliteIsBusy && code != sqliteIsLocked || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(sqlitePause):
		}
	}
}

// errRestarted says that writes have made what was copied void.

var errRestarted = errors.New("the database was written to")

// backupSQLite copies all pages, and gives errRestarted if SQLite began anew
// meanwhile, unless it is pinned to one state.
func backupSQLite(ctx context.Context, conn *sql.Conn, to string, pinned bool) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	target := url.URL{Scheme: "file", Path: to, RawQuery: "_pragma=journal_mode(off)&_pragma=synchronous(0)"}
	return conn.Raw(func(driver any) error {
		b, err := driver.(interface {
			NewBackup(string) (*sqlite.Backup, error)
		}).NewBackup(target.String())
		if err != nil {
			return err
		}
		err = stepSQLite(ctx, b, pinned)
		if ended := b.Finish(); err == nil {
			err = ended
		}
		return err
	})
}

func stepSQLite(ctx context.Context, b *sqlite.Backup, pinned bool) error {
	for last := -1; ctx.Err() == nil; last = b.Remaining() {
		more := false
		err := patient(ctx, func() (err error) {
			more, err = b.Step(sqlitePages)
			return err
		})
		switch {
		case err != nil:
			return err
		case !more:
			return nil
		case !pinned && last >= 0 && b.Remaining() >= last:
			return errRestarted
		}
	}
	return context.Cause(ctx)
}

// readSQLite checks a database that nobody writes to and that stands without a
// WAL or a journal, and gives its facts.
func readSQLite(ctx context.Context, path string) (sqliteFacts, error) {
	var f sqliteFacts
	db, err := openSQLite(path, "immutable=1")
	if err != nil {
		return f, err
	}
	defer db.Close()
	var check string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&check); err != nil {
		return f, fmt.Errorf("quick_check: %w", err)
	}
	if check != "ok" {
		return f, fmt.Errorf("quick_check says %.200q", check)
	}
	for _, one := range []struct {
		query string
		value *int64
	}{{"PRAGMA user_version", &f.UserVersion}, {"PRAGMA application_id", &f.ApplicationID}} {
		if err := db.QueryRowContext(ctx, one.query).Scan(one.value); err != nil {
			return f, fmt.Errorf("%s: %w", one.query, err)
		}
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM pragma_foreign_key_check").Scan(&f.Violations); err != nil {
		if ctx.Err() != nil {
			return f, err
		}
		f.Violations = -1 // a foreign key without its parent table or index
	}
	f.Counts, err = countSQLite(ctx, db)
	return f, err
}

// countSQLite counts the rows of every table that has rows of its own.
func countSQLite(ctx context.Context, db *sql.DB) (map[string]int64, error) {
	rows, err := db.QueryContext(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	names, err := namesOf(rows)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	counts := map[string]int64{}
	for _, name := range names {
		var n int64
		if err := db.QueryRowContext(ctx, `SELECT count(*) FROM "`+strings.ReplaceAll(name, `"`, `""`)+`"`).Scan(&n); err != nil {
			return nil, fmt.Errorf("count table %.80q: %w", name, err)
		}
		counts[name] = n
	}
	return counts, nil
}

func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff // without the extended part
	}
	return 0
}

// sqliteHint says what to do about an error of SQLite's.
func sqliteHint(path string, err error) error {
	switch sqliteCode(err) {
	case 0:
		return err
	case sqliteIsBusy, sqliteIsLocked:
		return fmt.Errorf("%s stays locked for more than %v; look what holds a write transaction open: %w", path, sqliteBusy, err)
	case sqliteReadOnly, sqliteCantOpen:
		return fmt.Errorf("%s cannot be read; if its application crashed, start it, so that it rolls its journal back; otherwise let the engine read the file and write its folder: %w", path, err)
	}
	return fmt.Errorf("read %s: %w", path, err)
}
