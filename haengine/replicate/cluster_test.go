package replicate

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The servers that these tests start, one pair for the whole run. TestMain ends
// them.
var servers struct {
	mu   sync.Mutex // guards the fields below
	stop []func()
	dir  string
}

func endServers() {
	servers.mu.Lock()
	defer servers.mu.Unlock()
	for _, stop := range servers.stop {
		stop()
	}
	if servers.dir != "" {
		_ = os.RemoveAll(servers.dir)
	}
}

// ownUser gives how a server is run that refuses root.
func ownUser(name string) (*syscall.SysProcAttr, int, int, error) {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		return attr, os.Getuid(), os.Getgid(), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, 0, 0, err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, uid, gid, nil
}

// home makes a folder with a short path for a server: a socket's has 107 bytes.
func home(uid, gid int) (string, error) {
	servers.mu.Lock()
	defer servers.mu.Unlock()
	if servers.dir == "" {
		dir, err := os.MkdirTemp("", "us")
		if err != nil {
			return "", err
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			return "", err
		}
		servers.dir = dir
	}
	dir, err := os.MkdirTemp(servers.dir, "")
	if err != nil {
		return "", err
	}
	return dir, os.Chown(dir, uid, gid)
}

// keep starts a server and lets it run until the tests are over. The kernel
// ends it with us, so the thread that starts it has to stay.
func keep(cmd *exec.Cmd, end syscall.Signal) error {
	started := make(chan error)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		<-stop
		_ = cmd.Process.Signal(end)
		_ = cmd.Wait()
	}()
	err := <-started
	if err == nil {
		servers.mu.Lock()
		servers.stop = append(servers.stop, func() { close(stop); <-ended })
		servers.mu.Unlock()
	}
	return err
}

// cluster is a private PostgreSQL server.
type cluster struct {
	dir      string // its socket's and data's
	password string // a file
}

var clusters = sync.OnceValues(func() ([2]cluster, error) {
	var two [2]cluster
	tools, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(tools) == 0 {
		return two, fmt.Errorf("there is no PostgreSQL server here; tools/deps.sh --for test installs it")
	}
	bin := filepath.Dir(tools[len(tools)-1])
	attr, uid, gid, err := ownUser("postgres")
	if err != nil {
		return two, err
	}
	for i := range two {
		if two[i].dir, err = home(uid, gid); err != nil {
			return two, err
		}
		two[i].password = filepath.Join(two[i].dir, "password")
		if err := os.WriteFile(two[i].password, []byte("it's \\ a:secret\n"), 0o600); err != nil {
			return two, err
		}
		if err := os.Chown(two[i].password, uid, gid); err != nil {
			return two, err
		}
		data := filepath.Join(two[i].dir, "data")
		initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=understudy", "--auth=scram-sha-256", "--pwfile="+two[i].password, "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions")
		initdb.SysProcAttr, initdb.Dir = attr, "/"
		if i > 0 { // the same files do
			initdb = exec.Command("cp", "-a", filepath.Join(two[0].dir, "initial"), data)
		}
		if said, err := initdb.CombinedOutput(); err != nil {
			return two, fmt.Errorf("%w: %s", err, said)
		}
		if i == 0 {
			if said, err := exec.Command("cp", "-a", data, filepath.Join(two[0].dir, "initial")).CombinedOutput(); err != nil {
				return two, fmt.Errorf("%w: %s", err, said)
			}
		}
		log, err := os.Create(filepath.Join(two[i].dir, "log"))
		if err != nil {
			return two, err
		}
		defer log.Close()
		server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", two[i].dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60",
			"-c", "shared_buffers=16MB", "-c", "max_prepared_transactions=5", "-c", "autovacuum_naptime=1s", "-c", "log_min_messages=warning")
		server.SysProcAttr, server.Stdout, server.Stderr, server.Dir = attr, log, log, "/"
		if err := keep(server, syscall.SIGQUIT); err != nil {
			return two, err
		}
	}
	for _, c := range two {
		if err := c.wait(); err != nil {
			return two, err
		}
	}
	return two, nil
})

func (c cluster) wait() error {
	var err error
	for range 600 {
		var conn *pgx.Conn
		if conn, err = c.dataset("x").connect(context.Background(), "postgres"); err == nil {
			return conn.Close(context.Background())
		}
		time.Sleep(50 * time.Millisecond) // it says nowhere that it is ready
	}
	text, _ := os.ReadFile(filepath.Join(c.dir, "log"))
	return fmt.Errorf("PostgreSQL does not start: %w\n%s", err, text)
}

func (c cluster) dataset(database string) *Postgres {
	p, err := NewPostgres(Postgres{Database: database, Host: c.dir, PasswordFile: c.password})
	if err != nil {
		panic(err)
	}
	return p
}

// pgPair gives source and sink for one database of a name of its own, which the
// source has, made by these statements.
func pgPair(t *testing.T, statements ...string) (source, sink *Postgres) {
	t.Helper()
	two, err := clusters()
	if err != nil {
		absent(t, err)
	}
	name := "app" + strings.ToLower(fmt.Sprintf("%x", time.Now().UnixNano()))
	source, sink = two[0].dataset(name), two[1].dataset(name)
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
