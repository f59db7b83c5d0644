package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/haengine/replicate"
	"github.com/understudy-ha/understudy/haengine/replicate/dbtest"
)

// mostDump is what a run without changes may cost, in times of a bare pg_dump.
const mostDump = 2.2

// tablesOf are the tables of the database that is measured.
const tablesOf = 20

// databases measures how a sync of PostgreSQL grows, with the size of the
// database and with what has changed in it, beside a bare pg_dump of the same.
func (b *bench) databases(ctx context.Context) error {
	servers, err := dbtest.Postgres()
	defer dbtest.End()
	if err != nil {
		return err
	}
	b.say("\nReplication of PostgreSQL beside pg_dump in directory format, not compressed; %d tables", tablesOf)
	b.say("%10s %10s %12s %22s %8s", "rows", "dump", "pg_dump", "sync without changes", "ratio")
	sizes := []int{100_000, 400_000, 1_600_000}
	if b.runs == 1 {
		sizes = sizes[:2]
	}
	for i, rows := range sizes {
		d := &dataBench{b: b, servers: servers, name: fmt.Sprintf("bench%d", i), rows: rows}
		if err := d.run(ctx, i == len(sizes)-1); err != nil {
			return err
		}
	}
	return nil
}

// dataBench is one database of a size.
type dataBench struct {
	b       *bench
	servers [2]dbtest.Server
	name    string
	rows    int
	pair    *copyPair
}

func (d *dataBench) run(ctx context.Context, changes bool) error {
	if err := d.fill(ctx); err != nil {
		return err
	}
	var sets [2]replicate.Set
	for i, s := range d.servers {
		p, err := replicate.NewPostgres(replicate.Postgres{Database: d.name, Host: s.Host, PasswordFile: s.PasswordFile})
		if err != nil {
			return err
		}
		sets[i] = replicate.Set{Name: "db", Type: "postgres", Dataset: p}
	}
	var err error
	d.pair, err = d.b.newPairOf(ctx, func(*copyPair) (from, to replicate.Set) { return sets[0], sets[1] })
	if err != nil {
		return err
	}
	defer d.pair.stop()
	first, err := d.pair.ours(ctx)
	if err != nil {
		return err
	}
	var ours, bare []time.Duration
	var bytes int64
	for range 5 {
		var a, o time.Duration
		if a, bytes, err = d.bare(ctx); err != nil {
			return err
		}
		if o, err = d.pair.ours(ctx); err != nil {
			return err
		}
		ours, bare = append(ours, o), append(bare, a)
	}
	o, a := middle(ours), middle(bare)
	d.b.say("%10d %7.1f MB %12v %22v %8.2f   (at most %.1f; the first copy, restored: %v)", d.rows, float64(bytes)/1e6, a.Round(time.Millisecond), o.Round(time.Millisecond), o.Seconds()/a.Seconds(), mostDump, first.Round(time.Millisecond))
	if !changes {
		return nil
	}
	return d.changes(ctx)
}

// changes shows what travels when some rows, a table or all of it have changed.
func (d *dataBench) changes(ctx context.Context) error {
	d.pair.count()
	for _, one := range []struct{ what, do string }{
		{"nothing", ""},
		{"ten rows of one table", "UPDATE t7 SET v = v || 'x' WHERE id <= 10"},
		{"all rows of one table", "UPDATE t7 SET v = v || 'x'"},
		{"all rows of all tables", strings.Repeat("UPDATE t%d SET v = v || 'x';", tablesOf)},
	} {
		if one.do != "" {
			numbers := make([]any, strings.Count(one.do, "%d"))
			for i := range numbers {
				numbers[i] = i
			}
			if err := d.do(ctx, d.name, fmt.Sprintf(one.do, numbers...)); err != nil {
				return err
			}
		}
		d.pair.wire()
		took, err := d.pair.ours(ctx)
		if err != nil {
			return err
		}
		d.b.say("%-24s changed: %10d bytes on the wire, %8v", one.what, d.pair.wire(), took.Round(time.Millisecond))
	}
	return nil
}

func (d *dataBench) do(ctx context.Context, database, statement string) error {
	conn, err := d.servers[0].ConnectPostgres(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement) // without arguments it may be several
	return err
}

func (d *dataBench) fill(ctx context.Context) error {
	if err := d.do(ctx, "postgres", "CREATE DATABASE "+d.name); err != nil {
		return err
	}
	for i := range tablesOf {
		err := d.do(ctx, d.name, fmt.Sprintf("CREATE TABLE t%d (id int PRIMARY KEY, v text, at timestamptz DEFAULT '2026-01-01'); INSERT INTO t%d SELECT n, md5(n::text) || md5((n * %d)::text) FROM generate_series(1, %d) n; CREATE INDEX ON t%d (v)", i, i, i+2, d.rows/tablesOf, i))
		if err != nil {
			return err
		}
	}
	return d.do(ctx, d.name, "VACUUM ANALYZE")
}

// bare runs pg_dump and says how long it took and how much it wrote.
func (d *dataBench) bare(ctx context.Context) (time.Duration, int64, error) {
	to := filepath.Join(d.pair.dir, "bare")
	if err := os.RemoveAll(to); err != nil {
		return 0, 0, err
	}
	pass := filepath.Join(d.pair.dir, "pgpass")
	password := strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(d.servers[0].Password)
	if err := os.WriteFile(pass, []byte("*:*:*:*:"+password+"\n"), 0o600); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	cmd := exec.CommandContext(ctx, "pg_dump", "--format=directory", "--compress=0", "--no-sync", "--host="+d.servers[0].Host, "--username=understudy", "--file="+to, d.name) // #nosec G204 -- our own
	cmd.Env = append(os.Environ(), "PGPASSFILE="+pass)
	if said, err := cmd.CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("pg_dump: %w: %s", err, said)
	}
	took := time.Since(began)
	var bytes int64
	entries, err := os.ReadDir(to)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			bytes += info.Size()
		}
	}
	return took, bytes, err
}
