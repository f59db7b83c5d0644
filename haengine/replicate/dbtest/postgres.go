package dbtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"
)

const pgPassword = `it's \ a:secret`

// Postgres gives two PostgreSQL servers, started at the first call.
var Postgres = sync.OnceValues(func() (two [2]Server, err error) {
	tools, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(tools) == 0 {
		return two, errors.New("there is no PostgreSQL server here; tools/deps.sh --for test installs it")
	}
	bin := filepath.Dir(tools[len(tools)-1])
	attr, uid, gid, err := own("postgres")
	if err != nil {
		return two, err
	}
	for i := range two {
		if two[i].Host, err = home(uid, gid, pgPassword); err != nil {
			return two, err
		}
		two[i].Password, two[i].PasswordFile, two[i].log = pgPassword, filepath.Join(two[i].Host, "password"), filepath.Join(two[i].Host, "log")
		if i == 0 {
			err = two[i].initPostgres(bin, attr)
		} else {
			err = copyOf(two[0].Host, two[i].Host)
		}
		if err != nil {
			return two, err
		}
	}
	for _, s := range two {
		if err := s.startPostgres(bin, attr); err != nil {
			return two, err
		}
	}
	for _, s := range two {
		err := ready(func(ctx context.Context) error {
			conn, err := s.ConnectPostgres(ctx, "postgres")
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		})
		if err != nil {
			return two, fmt.Errorf("PostgreSQL does not start: %w\n%s", err, s.logged())
		}
	}
	return two, nil
})

func (s Server) initPostgres(bin string, attr *syscall.SysProcAttr) error {
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata="+filepath.Join(s.Host, "data"), "--username=understudy", "--auth=scram-sha-256", "--pwfile="+s.PasswordFile,
		"--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions") // #nosec G204 -- of a test
	initdb.SysProcAttr, initdb.Dir = attr, "/"
	if said, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, said)
	}
	return nil
}

func (s Server) startPostgres(bin string, attr *syscall.SysProcAttr) error {
	log, err := os.Create(s.log)
	if err != nil {
		return err
	}
	defer log.Close()
	nap := "1min"
	if os.Getenv("UNDERSTUDY_SOAK") != "" {
		nap = "1s" // autovacuum is always about, and takes most of the processor
	}
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", filepath.Join(s.Host, "data"), "-k", s.Host, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60",
		"-c", "shared_buffers=16MB", "-c", "max_prepared_transactions=5", "-c", "autovacuum_naptime="+nap, "-c", "log_min_messages=warning") // #nosec G204 -- of a test
	server.SysProcAttr, server.Stdout, server.Stderr, server.Dir = attr, log, log, "/"
	return keep(server, syscall.SIGQUIT)
}

// ConnectPostgres opens a connection to a database of the server.
func (s Server) ConnectPostgres(ctx context.Context, database string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, err
	}
	c.Host, c.Port, c.Database, c.User, c.Password = s.Host, 5432, database, "understudy", s.Password
	return pgx.ConnectConfig(ctx, c)
}
