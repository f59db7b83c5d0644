package replicate

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/understudy-ha/understudy/haengine/replicate/dbtest"
)

// pgOn gives the dataset of a database on a private server.
func pgOn(s dbtest.Server, database string) *Postgres {
	p, err := NewPostgres(Postgres{Database: database, Host: s.Host, PasswordFile: s.PasswordFile})
	if err != nil {
		panic(err)
	}
	return p
}

// pgPair gives source and sink for one database of a name of its own, which the
// source has, made by these statements.
func pgPair(t *testing.T, statements ...string) (source, sink *Postgres) {
	t.Helper()
	two, err := dbtest.Postgres()
	if err != nil {
		absent(t, err)
	}
	name := "app" + strings.ToLower(fmt.Sprintf("%x", time.Now().UnixNano()))
	source, sink = pgOn(two[0], name), pgOn(two[1], name)
	pgRun(t, source, pgMaintenance, "CREATE DATABASE "+name)
	pgRun(t, source, name, statements...)
	return source, sink
}

// absent ends a test whose server is not installed: on a person's machine it is
// left out, and where everything has to be tested it fails.
func absent(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") != "" || os.Geteuid() == 0 {
		t.Fatal(err)
	}
	t.Skip(err)
}

func pgRun(t *testing.T, p *Postgres, database string, statements ...string) {
	t.Helper()
	must(t, p.with(t.Context(), database, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(t.Context(), "SET search_path = public"); err != nil {
			return err
		}
		for _, s := range statements {
			if _, err := conn.Exec(t.Context(), s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	}))
}

// pgText gives the first column of the first row, or the error, as text.
func pgText(t *testing.T, p *Postgres, database, query string) (text string) {
	t.Helper()
	err := p.with(t.Context(), database, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(t.Context(), "SET search_path = public"); err != nil {
			return err
		}
		return conn.QueryRow(t.Context(), "SELECT ("+query+")::text").Scan(&text)
	})
	if err != nil {
		return err.Error()
	}
	return text
}
