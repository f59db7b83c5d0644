package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

const mariaPassword = `it's "a" \ #secret`

// MariaDB gives two MariaDB servers, started at the first call.
var MariaDB = sync.OnceValues(func() (two [2]Server, err error) {
	if _, err := exec.LookPath("mariadbd"); err != nil {
		return two, fmt.Errorf("there is no MariaDB server here; tools/deps.sh --for test installs it: %w", err)
	}
	attr, uid, gid, err := own("mysql")
	if err != nil {
		return two, err
	}
	for i := range two {
		dir, err := home(uid, gid, mariaPassword)
		if err != nil {
			return two, err
		}
		two[i] = Server{Host: filepath.Join(dir, "s"), Password: mariaPassword, PasswordFile: filepath.Join(dir, "password"), log: filepath.Join(dir, "log")}
		if i == 0 {
			err = initMariaDB(dir, attr)
		} else {
			err = copyOf(filepath.Dir(two[0].Host), dir)
		}
		if err != nil {
			return two, err
		}
	}
	for _, s := range two {
		if err := s.startMariaDB(attr); err != nil {
			return two, err
		}
	}
	for _, s := range two {
		err := ready(func(ctx context.Context) error {
			db, err := s.OpenMariaDB("")
			if err != nil {
				return err
			}
			defer db.Close()
			return db.PingContext(ctx)
		})
		if err != nil {
			return two, fmt.Errorf("MariaDB does not start: %w\n%s", err, s.logged())
		}
	}
	return two, nil
})

func initMariaDB(dir string, attr *syscall.SysProcAttr) error {
	install := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+filepath.Join(dir, "data"), "--auth-root-authentication-method=normal", "--skip-test-db") // #nosec G204 -- of a test
	install.SysProcAttr, install.Dir = attr, "/"
	if said, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w: %s", err, said)
	}
	return nil
}

func (s Server) startMariaDB(attr *syscall.SysProcAttr) error {
	dir := filepath.Dir(s.Host)
	data, init := filepath.Join(dir, "data"), filepath.Join(dir, "init.sql")
	user := "CREATE USER understudy@localhost IDENTIFIED BY 'it''s \"a\" \\\\ #secret';\nGRANT ALL ON *.* TO understudy@localhost WITH GRANT OPTION;\n"
	if err := os.WriteFile(init, []byte(user), 0o644); err != nil { // #nosec G306 -- the server's user reads it
		return err
	}
	out, err := os.Create(s.log)
	if err != nil {
		return err
	}
	defer out.Close()
	server := exec.Command("mariadbd", "--no-defaults", "--datadir="+data, "--socket="+s.Host, "--skip-networking", "--pid-file="+dir+"/pid", "--init-file="+init,
		"--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=24M", "--innodb-log-file-size=16M", "--performance-schema=OFF", "--character-set-server=utf8mb4") // #nosec G204 -- of a test
	server.SysProcAttr, server.Stdout, server.Stderr, server.Dir = attr, out, out, "/"
	return keep(server, syscall.SIGKILL)
}

// OpenMariaDB opens a database of the server.
func (s Server) OpenMariaDB(database string) (*sql.DB, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd, c.DBName, c.Logger = "unix", s.Host, "understudy", s.Password, database, log.New(io.Discard, "", 0)
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}
