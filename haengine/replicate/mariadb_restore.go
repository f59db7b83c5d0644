package replicate

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Prepare restores the tables into a new schema, which nobody uses yet, and
// tries there whether everything else can be made too.
func (m *MariaDB) Prepare(ctx context.Context, s Staged) (Prepared, error) {
	var f mariaFacts
	if err := readFacts(s.Dir, &f); err != nil {
		return Prepared{}, err
	}
	dump := filepath.Join(s.Dir, tablesFile)
	aside := m.aside(s.Generation)
	x := mariaChange{New: s.Generation}
	var counts map[string]int64
	err := m.alone(ctx, func(conn *sql.Conn) (err error) {
		if err := m.mayRestore(ctx, conn, s, f, dump); err != nil {
			return err
		}
		if x.Old, err = m.mark(ctx, conn); err != nil {
			return err
		}
		if err := exec1(ctx, conn, "CREATE DATABASE "+ident(aside)+" COLLATE "+ident(f.Collation)); err != nil {
			return err
		}
		if err := m.haveSequences(ctx, conn, f); err != nil {
			return err
		}
		if err := m.load(ctx, aside, dump); err != nil {
			return err
		}
		if counts, err = countMaria(ctx, conn, aside); err != nil {
			return err
		}
		if err := makeObjects(ctx, conn, aside, f.Collation, f.Objects); err != nil {
			return fmt.Errorf("the tables are restored, but not what belongs to them: %w", err)
		}
		if err := dropObjects(ctx, conn, aside, f.Objects); err != nil {
			return err
		}
		return keepObjects(ctx, conn, aside, f.kept)
	})
	if err != nil {
		return Prepared{}, err
	}
	data, err := json.Marshal(x)
	return Prepared{Data: data, Counts: counts}, err
}

// mayRestore says whether this server can take what comes from the source.
func (m *MariaDB) mayRestore(ctx context.Context, conn *sql.Conn, s Staged, f mariaFacts, dump string) error {
	series, said, err := askMariaDB(ctx, conn)
	if err != nil {
		return err
	}
	if series != f.Series {
		return &Refused{Version, fmt.Sprintf("%s on %s and %s here: both nodes need the same series of MariaDB, or the way back would be closed", s.Offer.Server, s.Source, said)}
	}
	var scheduler, dir string
	if err := conn.QueryRowContext(ctx, "SELECT @@GLOBAL.event_scheduler, @@GLOBAL.datadir").Scan(&scheduler, &dir); err != nil {
		return err
	}
	if scheduler == "ON" && slices.ContainsFunc(f.Objects, func(o object) bool { return o.Kind == kindEvent }) {
		return fmt.Errorf("database %s has events, and event_scheduler is ON here, so that they would change the copy: set it OFF on a node that stands by, and let the application's start command set it ON", m.Database)
	}
	info, err := os.Stat(dump)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil // its files are not to be seen from here
	}
	return Room(dir, 2*info.Size())
}

// haveSequences makes sequences that tables of the dump need and that are not in
// force yet.
func (m *MariaDB) haveSequences(ctx context.Context, conn *sql.Conn, f mariaFacts) error {
	if len(f.Sequences) == 0 {
		return nil
	}
	if err := exec1(ctx, conn, "CREATE DATABASE IF NOT EXISTS "+ident(m.Database)+" COLLATE "+ident(f.Collation)); err != nil {
		return err
	}
	for _, name := range f.Sequences {
		if err := exec1(ctx, conn, "CREATE SEQUENCE IF NOT EXISTS "+ident(m.Database)+"."+ident(name)+" ENGINE=InnoDB"); err != nil {
			return err
		}
	}
	return nil
}

// mark gives the generation in force, and notes that it is what was there before
// the first one, if that is so.
func (m *MariaDB) mark(ctx context.Context, conn *sql.Conn) (uint64, error) {
	now, found, err := m.inForce(ctx, conn)
	if err != nil || found {
		return now, err
	}
	for _, s := range []string{
		"CREATE DATABASE IF NOT EXISTS " + ident(m.marks()),
		"CREATE TABLE IF NOT EXISTS " + ident(m.marks()) + "." + ident(markPrefix+"0") + " (one TINYINT) ENGINE=InnoDB",
	} {
		if err := exec1(ctx, conn, s); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// load runs the dump, in the client's sandbox: a dump can hold commands to the
// client, of which some start programs.
func (m *MariaDB) load(ctx context.Context, schema, dump string) error {
	file, done, err := m.options()
	if err != nil {
		return err
	}
	defer done()
	in, err := os.Open(dump) // #nosec G304 -- staged and verified
	if err != nil {
		return err
	}
	defer in.Close()
	err = program{
		line: []string{m.tool("mariadb"), "--defaults-file=" + file, "--sandbox", "--batch", "--silent", "--default-character-set=utf8mb4", "--max-allowed-packet=1G", "--database=" + schema},
		in:   in,
		only: []string{"ERROR ", "mariadb: "},
	}.run(ctx)
	if err != nil && strings.Contains(err.Error(), "unknown option '--sandbox'") {
		return fmt.Errorf("this mariadb client is too old to restore what comes from another node; update it: %w", err)
	}
	return err
}
