package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/haengine/replicate"
	"github.com/understudy-ha/understudy/haengine/replicate/dbtest"
)

// mostDump is what a run of PostgreSQL without changes may cost, in times of a
// bare pg_dump.
const mostDump = 2.2

// tablesOf are the tables of the database that is measured.
const tablesOf = 20

// dataBench is one database of a size, on a source and a sink.
type dataBench struct {
	b    *bench
	name string
	rows int
	pair *copyPair
	databaseKind
}

// databaseKind is what the kinds of databases do each in its own way.
type databaseKind interface {
	// sets gives the dataset on both sides, where there is a folder for each.
	sets(d *dataBench, dirs [2]string) (two [2]replicate.Set, err error)
	// fill makes the tables at the source.
	fill(ctx context.Context, d *dataBench) error
	// do changes something at the source.
	do(ctx context.Context, d *dataBench, statement string) error
	// bare dumps with the database's own tool, and says how much that is.
	bare(ctx context.Context, d *dataBench) (bytes int64, err error)
}

// databases measures how a sync of a database grows with its size and with what
// has changed in it, beside a bare dump of the same.
func (b *bench) databases(ctx context.Context) error {
	defer dbtest.End()
	for _, one := range []struct {
		name, beside string
		most         float64 // 0: nothing was promised
		kind         func() (databaseKind, error)
	}{
		{"PostgreSQL", "pg_dump in directory format, not compressed", mostDump, newPostgresBench},
		{"MariaDB", "mariadb-dump --single-transaction", 0, newMariaBench},
		{"SQLite", "sqlite3 .backup and rsync of it", 0, newSQLiteBench},
	} {
		kind, err := one.kind()
		if err != nil {
			return err
		}
		b.say("\nReplication of %s beside %s; %d tables", one.name, one.beside, tablesOf)
		b.say("%10s %11s %12s %22s %8s %14s", "rows", "dump", "dump takes", "sync without changes", "ratio", "first copy")
		sizes := []int{100_000, 400_000, 1_600_000}
		if b.runs == 1 {
			sizes = sizes[:1]
		}
		for i, rows := range sizes {
			d := &dataBench{b: b, name: fmt.Sprintf("bench%d", i), rows: rows, databaseKind: kind}
			if err := d.run(ctx, one.most, i == len(sizes)-1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dataBench) run(ctx context.Context, most float64, changes bool) error {
	var err error
	d.pair, err = d.b.newPairOf(ctx, func(p *copyPair) (from, to replicate.Set, err error) {
		two, err := d.sets(d, [2]string{p.from, p.to})
		return two[0], two[1], err
	})
	if err != nil {
		return err
	}
	defer d.pair.stop()
	if err := d.fill(ctx, d); err != nil {
		return err
	}
	first, err := d.pair.ours(ctx)
	if err != nil {
		return err
	}
	var ours, bare []time.Duration
	var bytes int64
	for range 5 {
		began := time.Now()
		if bytes, err = d.bare(ctx, d); err != nil {
			return err
		}
		bare = append(bare, time.Since(began))
		took, err := d.pair.ours(ctx)
		if err != nil {
			return err
		}
		ours = append(ours, took)
	}
	o, a := middle(ours), middle(bare)
	promise := ""
	if most > 0 {
		promise = fmt.Sprintf("   (at most %.1f)", most)
	}
	d.b.say("%10d %8.1f MB %12v %22v %8.2f %14v%s", d.rows, float64(bytes)/1e6, a.Round(time.Millisecond), o.Round(time.Millisecond), o.Seconds()/a.Seconds(), first.Round(time.Millisecond), promise)
	if !changes {
		return nil
	}
	return d.changes(ctx)
}

// changes shows what travels when some rows, a table or all of it have changed.
func (d *dataBench) changes(ctx context.Context) error {
	d.pair.count()
	all := make([]string, tablesOf)
	for i := range all {
		all[i] = fmt.Sprintf("UPDATE t%d SET v = upper(v)", i)
	}
	for _, one := range []struct{ what, do string }{
		{"nothing", ""},
		{"ten rows of one table", "UPDATE t7 SET v = upper(v) WHERE id <= 10"},
		{"all rows of one table", "UPDATE t7 SET v = reverse(v)"},
		{"all rows of all tables", strings.Join(all, "; ")},
	} {
		for statement := range strings.SplitSeq(one.do, "; ") {
			if statement == "" {
				continue
			}
			if err := d.do(ctx, d, statement); err != nil {
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

// spare is a place for the bare dump.
func (d *dataBench) spare() string { return filepath.Join(d.pair.dir, "bare") }
