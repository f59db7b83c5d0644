package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/understudy-ha/understudy/haengine/replicate"
	"github.com/understudy-ha/understudy/haengine/replicate/dbtest"
)

// folderSize gives the bytes of all files in a folder.
func folderSize(dir string) (bytes int64, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			bytes += info.Size()
		}
	}
	return bytes, err
}

// postgresBench is PostgreSQL on two servers.
type postgresBench struct{ servers [2]dbtest.Server }

func newPostgresBench() (databaseKind, error) {
	servers, err := dbtest.Postgres()
	return &postgresBench{servers}, err
}

func (k *postgresBench) sets(d *dataBench, _ [2]string) (two [2]replicate.Set, err error) {
	for i, s := range k.servers {
		p, err := replicate.NewPostgres(replicate.Postgres{Database: d.name, Host: s.Host, PasswordFile: s.PasswordFile})
		if err != nil {
			return two, err
		}
		two[i] = replicate.Set{Name: "db", Type: "postgres", Dataset: p}
	}
	return two, nil
}

func (k *postgresBench) fill(ctx context.Context, d *dataBench) error {
	if err := k.in(ctx, "postgres", "CREATE DATABASE "+d.name); err != nil {
		return err
	}
	for i := range tablesOf {
		err := k.in(ctx, d.name, fmt.Sprintf("CREATE TABLE t%d (id int PRIMARY KEY, v text, at timestamptz DEFAULT '2026-01-01'); INSERT INTO t%d SELECT n, md5(n::text) || md5((n * %d)::text) FROM generate_series(1, %d) n; CREATE INDEX ON t%d (v)", i, i, i+2, d.rows/tablesOf, i))
		if err != nil {
			return err
		}
	}
	return k.in(ctx, d.name, "VACUUM ANALYZE")
}

func (k *postgresBench) do(ctx context.Context, d *dataBench, statement string) error {
	return k.in(ctx, d.name, statement)
}

func (k *postgresBench) in(ctx context.Context, database, statement string) error {
	conn, err := k.servers[0].ConnectPostgres(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement) // without arguments it may be several
	return err
}

func (k *postgresBench) bare(ctx context.Context, d *dataBench) (int64, error) {
	if err := os.RemoveAll(d.spare()); err != nil {
		return 0, err
	}
	pass := filepath.Join(d.pair.dir, "pgpass")
	password := strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(k.servers[0].Password)
	if err := os.WriteFile(pass, []byte("*:*:*:*:"+password+"\n"), 0o600); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "pg_dump", "--format=directory", "--compress=0", "--no-sync", "--host="+k.servers[0].Host, "--username=understudy", "--file="+d.spare(), d.name) // #nosec G204 -- our own
	cmd.Env = append(os.Environ(), "PGPASSFILE="+pass)
	if said, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("pg_dump: %w: %s", err, said)
	}
	return folderSize(d.spare())
}

// mariaBench is MariaDB on two servers.
type mariaBench struct{ servers [2]dbtest.Server }

func newMariaBench() (databaseKind, error) {
	servers, err := dbtest.MariaDB()
	return &mariaBench{servers}, err
}

func (k *mariaBench) sets(d *dataBench, _ [2]string) (two [2]replicate.Set, err error) {
	for i, s := range k.servers {
		m, err := replicate.NewMariaDB(replicate.MariaDB{Database: d.name, Host: s.Host, PasswordFile: s.PasswordFile})
		if err != nil {
			return two, err
		}
		two[i] = replicate.Set{Name: "db", Type: "mariadb", Dataset: m}
	}
	return two, nil
}

func (k *mariaBench) fill(ctx context.Context, d *dataBench) error {
	if err := k.in(ctx, "", "CREATE DATABASE "+d.name); err != nil {
		return err
	}
	for i := range tablesOf {
		for _, s := range []string{
			fmt.Sprintf("CREATE TABLE t%d (id INT PRIMARY KEY, v VARCHAR(100), at TIMESTAMP DEFAULT '2026-01-01', KEY (v))", i),
			fmt.Sprintf("INSERT INTO t%d (id, v) SELECT seq, CONCAT(MD5(seq), MD5(seq * %d)) FROM seq_1_to_%d", i, i+2, d.rows/tablesOf),
		} {
			if err := k.in(ctx, d.name, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *mariaBench) do(ctx context.Context, d *dataBench, statement string) error {
	return k.in(ctx, d.name, statement)
}

func (k *mariaBench) in(ctx context.Context, database, statement string) error {
	db, err := k.servers[0].OpenMariaDB(database)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

func (k *mariaBench) bare(ctx context.Context, d *dataBench) (int64, error) {
	options := filepath.Join(d.pair.dir, "my.cnf")
	password := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(k.servers[0].Password)
	if err := os.WriteFile(options, []byte("[client]\npassword=\""+password+"\"\n"), 0o600); err != nil {
		return 0, err
	}
	if said, err := exec.CommandContext(ctx, "mariadb-dump", "--defaults-file="+options, "--single-transaction", "--skip-lock-tables", "--user=understudy", "--socket="+k.servers[0].Host, "--result-file="+d.spare(), d.name).CombinedOutput(); err != nil { // #nosec G204 -- our own
		return 0, fmt.Errorf("mariadb-dump: %w: %s", err, said)
	}
	info, err := os.Stat(d.spare())
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// sqliteBench is SQLite in two folders.
type sqliteBench struct{}

func newSQLiteBench() (databaseKind, error) { return sqliteBench{}, nil }

const sqliteFile = "app.db"

func (sqliteBench) sets(_ *dataBench, dirs [2]string) (two [2]replicate.Set, err error) {
	for i, dir := range dirs {
		s, err := replicate.NewSQLite(dir, sqliteFile)
		if err != nil {
			return two, err
		}
		two[i] = replicate.Set{Name: "db", Type: "sqlite", Dataset: s}
	}
	return two, nil
}

func (k sqliteBench) fill(ctx context.Context, d *dataBench) error {
	statements := []string{"PRAGMA journal_mode=wal"}
	for i := range tablesOf {
		statements = append(statements,
			fmt.Sprintf("CREATE TABLE t%d (id INTEGER PRIMARY KEY, v TEXT)", i),
			fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO t%d SELECT i, hex(i * 7919 %% 65521) || hex(i * %d) || 'abcdefghijklmnopqrstuvwxyzabcdefghijklmnop' FROM n", d.rows/tablesOf, i, i+2),
			fmt.Sprintf("CREATE INDEX i%d ON t%d (v)", i, i))
	}
	for _, s := range statements {
		if err := k.do(ctx, d, s); err != nil {
			return err
		}
	}
	return nil
}

// do runs a statement. This SQLite has no reverse.
func (sqliteBench) do(ctx context.Context, d *dataBench, statement string) error {
	db, err := sql.Open("sqlite", filepath.Join(d.pair.from, sqliteFile))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, strings.ReplaceAll(statement, "reverse(v)", "v || 'x'"))
	return errors.Join(err, db.Close())
}

func (sqliteBench) bare(ctx context.Context, d *dataBench) (int64, error) {
	if err := os.MkdirAll(d.spare(), 0o750); err != nil {
		return 0, err
	}
	to := filepath.Join(d.spare(), sqliteFile)
	if said, err := exec.CommandContext(ctx, "sqlite3", filepath.Join(d.pair.from, sqliteFile), ".backup '"+to+"'").CombinedOutput(); err != nil { // #nosec G204 -- our own
		return 0, fmt.Errorf("sqlite3: %w: %s", err, said)
	}
	info, err := os.Stat(to)
	if err != nil {
		return 0, err
	}
	_, err = d.pair.bareOf(ctx, d.spare())
	return info.Size(), err
}
