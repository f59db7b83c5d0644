package replicate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Prepare restores the dump into a new database, which nobody uses yet, and
// counts its rows. Constraints are checked by the restore itself.
func (p *Postgres) Prepare(ctx context.Context, s Staged) (Prepared, error) {
	var f pgFacts
	if err := readFacts(s.Dir, &f); err != nil {
		return Prepared{}, err
	}
	aside := p.aside(s.Generation)
	var x pgChange
	var server pgServer
	err := p.alone(ctx, func(conn *pgx.Conn) (err error) {
		if server, err = askServer(ctx, conn); err != nil {
			return err
		}
		if server.major != f.Major {
			return &Refused{Version, fmt.Sprintf("%s on %s and %s here: both nodes need the same major release of PostgreSQL, or the way back would be closed", s.Offer.Server, s.Source, server.said)}
		}
		if err := haveRoles(ctx, conn, f, s.Source); err != nil {
			return err
		}
		if err := restoreRoom(ctx, conn, p.Host, filepath.Join(s.Dir, dumpDir)); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, f.create(aside)); err != nil {
			return fmt.Errorf("make database %s: %w", aside, err)
		}
		if x.Old, err = databaseID(ctx, conn, p.Database); err == nil {
			x.New, err = databaseID(ctx, conn, aside)
		}
		return err
	})
	if err != nil {
		return Prepared{}, err
	}
	if err := p.restore(ctx, server, aside, filepath.Join(s.Dir, dumpDir)); err != nil {
		return Prepared{}, err
	}
	var counts map[string]int64
	err = p.with(ctx, aside, func(conn *pgx.Conn) (err error) {
		counts, err = finish(ctx, conn, f, aside)
		return err
	})
	if err != nil {
		return Prepared{}, fmt.Errorf("check database %s: %w", aside, err)
	}
	data, err := json.Marshal(x)
	return Prepared{Data: data, Counts: counts}, err
}

// haveRoles asks whether the roles are here that the database is for. A dump of
// one database does not have them.
func haveRoles(ctx context.Context, conn *pgx.Conn, f pgFacts, source string) error {
	wanted := map[string]bool{f.Owner: true}
	for _, one := range f.Settings {
		wanted[one.Role] = true
	}
	for _, one := range f.Grants {
		wanted[one.Role] = true
	}
	delete(wanted, "")
	rows, err := conn.Query(ctx, "SELECT r FROM unnest($1::text[]) r WHERE r NOT IN (SELECT rolname FROM pg_roles) ORDER BY 1", slices.Sorted(maps.Keys(wanted)))
	if err != nil {
		return fmt.Errorf("look for roles: %w", err)
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for roles: %w", err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("role %.200q of the database on %s is not here: make it on this node too (pg_dumpall --roles-only over there shows how)", strings.Join(missing, ", "), source)
	}
	return nil
}

// restoreRoom says whether the server's file system has room for a dump, where
// that can be asked. A restored table takes about what it takes in a dump, and
// its indexes as much again.
func restoreRoom(ctx context.Context, conn *pgx.Conn, host, dump string) error {
	var dir string
	err := conn.QueryRow(ctx, "SELECT setting FROM pg_settings WHERE name = 'data_directory'").Scan(&dir)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && dir == "" {
		return nil // only some roles may know
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil // in a container, say
	}
	var bytes int64
	err = filepath.WalkDir(dump, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		return err
	}
	return Room(dir, 2*bytes)
}

// databaseID gives the number that a database keeps when it is renamed, 0 if
// there is none of that name.
func databaseID(ctx context.Context, conn *pgx.Conn, name string) (id uint32, err error) {
	err = conn.QueryRow(ctx, "SELECT oid FROM pg_database WHERE datname = $1", name).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return id, err
}

// restore runs pg_restore, straight into the database: a dump that is turned
// into text and given to psql could run commands on this machine
// (CVE-2025-8714, CVE-2025-8715).
func (p *Postgres) restore(ctx context.Context, s pgServer, into, dump string) error {
	env, done, err := p.environment()
	if err != nil {
		return err
	}
	defer done()
	err = program{
		line: []string{p.tool("pg_restore", s), "--exit-on-error", "--jobs=" + strconv.Itoa(p.Jobs), "--no-password", "--dbname=" + into, dump},
		env:  env,
		hush: []string{"CONTEXT:", "DETAIL:", "Command was:"},
	}.run(ctx)
	if err != nil && strings.Contains(err.Error(), "ERROR:") && strings.Contains(err.Error(), "does not exist") {
		return fmt.Errorf("%w; roles, tablespaces and extensions are not part of a database: make on this node what is missing", err)
	}
	return err
}

// finish gives the new database what pg_restore leaves out, and the statistics
// without which its first queries would be slow, and counts what it has.
func finish(ctx context.Context, conn *pgx.Conn, f pgFacts, name string) (map[string]int64, error) {
	statements, err := f.settle(name)
	if err != nil {
		return nil, err
	}
	for _, s := range append(statements, "ANALYZE") {
		if _, err := conn.Exec(ctx, s); err != nil {
			return nil, fmt.Errorf("%.60s: %w", s, err)
		}
	}
	return countPG(ctx, conn)
}
