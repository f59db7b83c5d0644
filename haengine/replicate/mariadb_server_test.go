package replicate

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// mariaServers are two private MariaDB servers.
var mariaServers = sync.OnceValues(func() (two [2]mariaServer, err error) {
	if _, err := exec.LookPath("mariadbd"); err != nil {
		return two, fmt.Errorf("there is no MariaDB server here; tools/deps.sh --for test installs it: %w", err)
	}
	attr, uid, gid, err := ownUser("mysql")
	if err != nil {
		return two, err
	}
	for i := range two {
		if two[i].dir, err = home(uid, gid); err != nil {
			return two, err
		}
		two[i].password = filepath.Join(two[i].dir, "password")
		if err := os.WriteFile(two[i].password, []byte("it's \"a\" \\ #secret\n"), 0o600); err != nil {
			return two, err
		}
		data := filepath.Join(two[i].dir, "data")
		install := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
		install.SysProcAttr, install.Dir = attr, "/"
		if said, err := install.CombinedOutput(); err != nil {
			return two, fmt.Errorf("%w: %s", err, said)
		}
		log, err := os.Create(filepath.Join(two[i].dir, "log"))
		if err != nil {
			return two, err
		}
		defer log.Close()
		init := filepath.Join(two[i].dir, "init.sql")
		if err := os.WriteFile(init, []byte("CREATE USER understudy@localhost IDENTIFIED BY 'it''s \"a\" \\\\ #secret';\nGRANT ALL ON *.* TO understudy@localhost WITH GRANT OPTION;\n"), 0o644); err != nil {
			return two, err
		}
		server := exec.Command("mariadbd", "--no-defaults", "--datadir="+data, "--socket="+two[i].socket(), "--skip-networking", "--pid-file="+two[i].dir+"/pid", "--init-file="+init,
			"--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=24M", "--innodb-log-file-size=16M", "--performance-schema=OFF", "--character-set-server=utf8mb4", "--log-bin-trust-function-creators=1")
		server.SysProcAttr, server.Stdout, server.Stderr, server.Dir = attr, log, log, "/"
		if err := keep(server, syscall.SIGKILL); err != nil {
			return two, err
		}
	}
	for _, s := range two {
		if err := s.wait(); err != nil {
			return two, err
		}
	}
	return two, nil
})

type mariaServer struct{ dir, password string }

func (s mariaServer) socket() string { return filepath.Join(s.dir, "s") }

func (s mariaServer) dataset(database string) *MariaDB {
	m, err := NewMariaDB(MariaDB{Database: database, Host: s.socket(), PasswordFile: s.password})
	if err != nil {
		panic(err)
	}
	return m
}

func (s mariaServer) wait() error {
	var err error
	for range 600 {
		if err = s.dataset("x").with(context.Background(), func(*sql.Conn) error { return nil }); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond) // it says nowhere that it is ready
	}
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	text = text[:min(len(text), 4000)]
	return fmt.Errorf("MariaDB does not start: %w\n%s", err, text)
}

// mariaPair gives source and sink for one database of a name of its own, which
// the source has, made by these statements.
func mariaPair(t *testing.T, statements ...string) (source, sink *MariaDB) {
	t.Helper()
	two, err := mariaServers()
	if err != nil {
		absent(t, err)
	}
	name := "app" + fmt.Sprintf("%x", time.Now().UnixNano())
	source, sink = two[0].dataset(name), two[1].dataset(name)
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
