package replicate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// tablesFile is the dump of the tables in what is offered.
const tablesFile = "tables.sql"

// mariaFacts is what the dump of the tables leaves out.
type mariaFacts struct {
	Series string `json:"series"` // of the server, like 10.11
	kept

	// Sequences are those that give columns their defaults: with the schema's name,
	// so that they have to be in force before such a table can be made.
	Sequences []string `json:"sequences,omitempty"`
}

// Offer dumps the tables from one snapshot, and tells what else is there.
func (m *MariaDB) Offer(ctx context.Context, spool string) (Offer, error) {
	o := Offer{Tree: spool, Counts: map[string]int64{}}
	err := m.with(ctx, func(conn *sql.Conn) error {
		facts, views, err := m.look(ctx, conn, spool, &o)
		if err != nil {
			return err
		}
		if err := m.dump(ctx, views, o.Counts, filepath.Join(spool, tablesFile)); err != nil {
			return err
		}
		again, err := objects(ctx, conn, m.Database)
		if err != nil {
			return err
		}
		if !slices.EqualFunc(facts.Objects, again, equalObjects) {
			return errors.New("views, triggers or routines were changed while the tables were dumped; the next sync tries again")
		}
		return writeFacts(spool, facts)
	})
	if err == nil {
		o.Digest, err = digestTree(spool, factsFile, tablesFile)
	}
	return o, err
}

// OfferOwn is Offer, if there is such a database.
func (m *MariaDB) OfferOwn(ctx context.Context, spool string) (o Offer, some bool, err error) {
	err = m.with(ctx, func(conn *sql.Conn) error {
		collation, err := schemaCollation(ctx, conn, m.Database)
		some = collation != ""
		return err
	})
	if err == nil && some {
		o, err = m.Offer(ctx, spool)
	}
	return o, some, err
}

func equalObjects(a, b object) bool {
	one, _ := json.Marshal(a)
	two, _ := json.Marshal(b)
	return bytes.Equal(one, two)
}

// look finds out whether the database can be dumped as one state, and what it
// has besides tables.
func (m *MariaDB) look(ctx context.Context, conn *sql.Conn, spool string, o *Offer) (f mariaFacts, views []string, err error) {
	if f.Series, o.Server, err = askMariaDB(ctx, conn); err != nil {
		return f, nil, err
	}
	if f.Collation, err = schemaCollation(ctx, conn, m.Database); err != nil {
		return f, nil, err
	}
	if f.Collation == "" {
		return f, nil, fmt.Errorf("there is no database %s: make it, or correct database in node.yaml", m.Database)
	}
	rows, err := conn.QueryContext(ctx, "SELECT TABLE_NAME, TABLE_TYPE, COALESCE(ENGINE, ''), COALESCE(DATA_LENGTH, 0) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?", m.Database)
	if err != nil {
		return f, nil, fmt.Errorf("list tables: %w", err)
	}
	defer rows.Close()
	var room int64
	var faults []string
	for rows.Next() {
		var name, kind, engine string
		var bytes int64
		if err := rows.Scan(&name, &kind, &engine, &bytes); err != nil {
			return f, nil, err
		}
		room += bytes
		switch {
		case kind == "VIEW":
			views = append(views, name)
		case kind == "SYSTEM VERSIONED":
			faults = append(faults, fmt.Sprintf("%.80q is system-versioned, and a dump leaves its history out", name))
		case engine != "InnoDB":
			faults = append(faults, fmt.Sprintf("%.80q has the engine %.20s, which knows no transactions: ALTER TABLE … ENGINE=InnoDB", name, engine))
		}
		if len(views) > mostTables {
			return f, nil, fmt.Errorf("there are more than %d views", mostTables)
		}
	}
	if err := rows.Err(); err != nil {
		return f, nil, err
	}
	if len(faults) > 0 {
		return f, nil, fmt.Errorf("%d tables of %s cannot be copied as one state, the first: table %s", len(faults), m.Database, faults[0])
	}
	if err := Room(spool, room); err != nil {
		return f, nil, err
	}
	if f.Sequences, err = defaulting(ctx, conn, m.Database); err != nil {
		return f, nil, err
	}
	f.Objects, err = objects(ctx, conn, m.Database)
	return f, views, err
}

// defaulting lists the sequences of a schema, if one gives a column its default.
func defaulting(ctx context.Context, conn *sql.Conn, schema string) ([]string, error) {
	var columns int
	err := conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND COLUMN_DEFAULT LIKE '%nextval(%'", schema).Scan(&columns)
	if err != nil || columns == 0 {
		return nil, err
	}
	return sequences(ctx, conn, schema)
}

// dump runs mariadb-dump. Rows come in the order of the primary key, and nothing
// tells the time, so that what has not changed is the same text.
func (m *MariaDB) dump(ctx context.Context, views []string, counts map[string]int64, to string) error {
	file, done, err := m.options()
	if err != nil {
		return err
	}
	defer done()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, spoolMode)
	if err != nil {
		return err
	}
	defer out.Close()
	counter := &rowCounter{to: out, counts: counts}
	line := []string{
		m.tool("mariadb-dump"), "--defaults-file=" + file, "--single-transaction", "--quick", "--skip-lock-tables", "--order-by-primary", "--hex-blob",
		"--skip-triggers", "--skip-dump-date", "--no-tablespaces", "--default-character-set=utf8mb4", "--max-allowed-packet=1G",
		"--skip-add-drop-table", "--skip-add-locks",
	}
	for _, v := range views {
		line = append(line, "--ignore-table="+m.Database+"."+v)
	}
	err = program{line: append(line, m.Database), out: counter, roomIn: filepath.Dir(to)}.run(ctx)
	switch {
	case err != nil && strings.Contains(err.Error(), "Table definition has changed"):
		return fmt.Errorf("a table was changed while it was dumped; the next sync tries again: %w", err)
	case err != nil:
		return err
	case !counter.whole:
		return errors.New("mariadb-dump ended before its dump was complete, and said nothing")
	}
	return out.Close()
}

// digestTree gives a name to files, that is the same whenever they are, and gives
// each a time that belongs to its content.
func digestTree(dir string, files ...string) (string, error) {
	all := sha256.New()
	for _, name := range files {
		path := filepath.Join(dir, name)
		sum, err := digestFile(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%s %x\n", name, sum)
		if err := stamp(path, sum); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// countMaria counts the rows of a schema's tables. Sequences have none.
func countMaria(ctx context.Context, conn *sql.Conn, schema string) (map[string]int64, error) {
	names, err := tables(ctx, conn, schema)
	if err != nil {
		return nil, err
	}
	sequences, err := sequences(ctx, conn, schema)
	if err != nil {
		return nil, err
	}
	counts := map[string]int64{}
	for _, name := range names {
		if slices.Contains(sequences, name) {
			continue
		}
		var n int64
		if err := conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+ident(schema)+"."+ident(name)).Scan(&n); err != nil {
			return nil, fmt.Errorf("count table %.80q: %w", name, err)
		}
		counts[name] = n
	}
	return counts, nil
}

func sequences(ctx context.Context, conn *sql.Conn, schema string) ([]string, error) {
	rows, err := conn.QueryContext(ctx, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'SEQUENCE'", schema)
	if err != nil {
		return nil, fmt.Errorf("list sequences: %w", err)
	}
	return namesOf(rows)
}
