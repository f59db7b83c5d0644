package replicate

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/haengine/replicate/dbtest"
)

// mariaOn gives the dataset of a database on a private server.
func mariaOn(s dbtest.Server, database string) *MariaDB {
	m, err := NewMariaDB(MariaDB{Database: database, Host: s.Host, PasswordFile: s.PasswordFile})
	if err != nil {
		panic(err)
	}
	return m
}

// mariaPair gives source and sink for one database of a name of its own, which
// the source has, made by these statements.
func mariaPair(t *testing.T, statements ...string) (source, sink *MariaDB) {
	t.Helper()
	two, err := dbtest.MariaDB()
	if err != nil {
		absent(t, err)
	}
	name := "app" + fmt.Sprintf("%x", time.Now().UnixNano())
	source, sink = mariaOn(two[0], name), mariaOn(two[1], name)
	mariaRun(t, source, append([]string{"CREATE DATABASE " + name, "USE " + name}, statements...)...)
	return source, sink
}

func mariaRun(t *testing.T, m *MariaDB, statements ...string) {
	t.Helper()
	must(t, m.with(t.Context(), func(conn *sql.Conn) error {
		_, _ = conn.ExecContext(t.Context(), "USE "+ident(m.Database))
		for _, s := range statements {
			if err := exec1(t.Context(), conn, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	}))
}

// mariaText gives all rows as text, or the error.
func mariaText(t *testing.T, m *MariaDB, query string) string {
	t.Helper()
	var text strings.Builder
	err := m.with(t.Context(), func(conn *sql.Conn) error {
		if err := exec1(t.Context(), conn, "USE "+ident(m.Database)); err != nil {
			return err
		}
		rows, err := conn.QueryContext(t.Context(), query)
		if err != nil {
			return err
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		values, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		for n := 0; rows.Next(); n++ {
			if err := rows.Scan(into...); err != nil {
				return err
			}
			if n > 0 {
				text.WriteString("\n")
			}
			for i, v := range values {
				if i > 0 {
					text.WriteString("|")
				}
				text.Write(v)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return "error: " + err.Error()
	}
	return text.String()
}
