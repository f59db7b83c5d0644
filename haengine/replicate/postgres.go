package replicate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Postgres is the dataset of one PostgreSQL database: dumped by pg_dump from a
// snapshot in which its rows are counted, restored by pg_restore into a new
// database beside the one in force, and put into force by renaming both in one
// transaction. What a generation has replaced keeps its data under the name that
// the new one had.
type Postgres struct {
	Database     string
	Host         string // the folder of the server's socket, or its address
	Port         int
	User         string
	PasswordFile string // its first line; empty: the server asks for none
	Programs     string // the folder of pg_dump and pg_restore; empty: those of the server's release
	Jobs         int    // how many tables are dumped and restored at once

	trace pgx.QueryTracer // of tests
}

// The defaults of a Postgres.
const (
	PostgresHost = "/var/run/postgresql"
	PostgresPort = 5432
	PostgresUser = "understudy"
	PostgresJobs = 2
)

// oldestPostgres is the oldest release that is replicated: it has DROP DATABASE
// … WITH (FORCE), and its minor releases still come out.
const oldestPostgres = 14

const (
	pgMaintenance = "postgres" // the database to which who renames others connects
	pgLockWait    = 30 * time.Second
	pgConnectWait = 10 * time.Second
)

// databaseName allows what needs no escape in any tool, and leaves room for what
// the names of generations add.
var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,39}$`)

// NewPostgres gives the dataset with its defaults filled in.
func NewPostgres(p Postgres) (*Postgres, error) {
	if p.Host == "" {
		p.Host = PostgresHost
	}
	if p.Port == 0 {
		p.Port = PostgresPort
	}
	if p.User == "" {
		p.User = PostgresUser
	}
	if p.Jobs == 0 {
		p.Jobs = PostgresJobs
	}
	switch {
	case !databaseName.MatchString(p.Database):
		return nil, fmt.Errorf("database %.80q cannot be replicated: its name must begin with a letter and have at most 40 letters, digits, _ and -", p.Database)
	case p.Database == pgMaintenance || strings.HasPrefix(p.Database, "template"):
		return nil, fmt.Errorf("database %s belongs to the server: give the application one of its own", p.Database)
	case p.Port < 0 || p.Port > 65535:
		return nil, fmt.Errorf("port %d is none", p.Port)
	case p.Jobs < 1 || p.Jobs > 64:
		return nil, fmt.Errorf("%d jobs are not between 1 and 64", p.Jobs)
	case p.Programs != "" && !filepath.IsAbs(p.Programs):
		return nil, fmt.Errorf("the folder of programs %q must be an absolute path", p.Programs)
	case strings.ContainsAny(p.Host+p.User, "\x00\n,"):
		return nil, fmt.Errorf("host %.80q or user %.80q is none", p.Host, p.User)
	case !local(p.Host):
		return nil, fmt.Errorf("host %.80q is not on this machine: a node replicates its own database, by the folder of the server's socket or a loopback address", p.Host)
	}
	return &p, nil
}

// local says whether a server is on this machine: a socket's path, or loopback.
func local(host string) bool {
	address, err := netip.ParseAddr(host)
	return filepath.IsAbs(host) || host == "localhost" || err == nil && address.IsLoopback()
}

// aside is the database that a generation is restored into, and that after the
// switch holds what it replaced.
func (p *Postgres) aside(generation uint64) string {
	return p.Database + "__g" + strconv.FormatUint(generation, 10)
}

// connect opens a connection whose statements take as long as they take.
func (p *Postgres) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	password, err := readPassword(p.PasswordFile)
	if err != nil {
		return nil, err
	}
	c, err := pgx.ParseConfig("connect_timeout=" + strconv.Itoa(int(pgConnectWait.Seconds())))
	if err != nil {
		return nil, err
	}
	c.Host, c.Port, c.Database, c.User, c.Password = p.Host, uint16(p.Port), database, p.User, password // #nosec G115 -- NewPostgres has looked
	c.TLSConfig, c.Fallbacks = nil, nil
	c.RuntimeParams = map[string]string{
		"application_name": "understudy", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0",
		"lock_timeout": strconv.FormatInt(pgLockWait.Milliseconds(), 10), "client_encoding": "UTF8", "search_path": "pg_catalog",
	}
	c.Tracer = p.trace
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, pgHint(err)
	}
	return conn, nil
}

// with runs do on a connection.
func (p *Postgres) with(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	conn, err := p.connect(ctx, database)
	if err != nil {
		return err
	}
	defer closePG(conn)
	return pgHint(do(conn))
}

// alone runs do on a connection to the server itself, when what an engine that
// was killed has begun there is over: its session goes on until the end of its
// statement.
func (p *Postgres) alone(ctx context.Context, do func(*pgx.Conn) error) error {
	return p.with(ctx, pgMaintenance, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", "understudy "+p.Database); err != nil {
			return fmt.Errorf("wait for the session of an engine that has ended: %w", err)
		}
		return do(conn)
	})
}

// closePG says goodbye, if the server listens.
func closePG(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// pgHint adds to an error of the server what it says besides, and what to do.
func pgHint(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	hint := ""
	switch e.Code {
	case "3D000": // invalid_catalog_name
		hint = ": make it, or correct database in node.yaml"
	case "42501": // insufficient_privilege
		hint = ": the engine's role needs to be superuser, or owner of the database with CREATEDB and pg_signal_backend"
	case "28000", "28P01": // invalid_authorization, invalid_password
		hint = ": see user and password_file in node.yaml, and pg_hba.conf"
	}
	return fmt.Errorf("%w%s%s", err, orEmpty(" (", e.Detail, ")"), hint)
}

func orEmpty(before, text, after string) string {
	if text == "" {
		return ""
	}
	return before + text + after
}

// pgServer is which PostgreSQL answers.
type pgServer struct {
	major int
	said  string // like "PostgreSQL 15.18"
}

func askServer(ctx context.Context, conn *pgx.Conn) (pgServer, error) {
	var s pgServer
	var number int
	var version string
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int, current_setting('server_version')").Scan(&number, &version); err != nil {
		return s, err
	}
	s.major = number / 10000
	version, _, _ = strings.Cut(version, " ") // Debian adds its own
	s.said = "PostgreSQL " + version
	if s.major < oldestPostgres {
		return s, fmt.Errorf("%s is too old to be replicated; %d is the oldest", s.said, oldestPostgres)
	}
	return s, nil
}

// tool gives a program of the server's release: an older pg_dump refuses a newer
// server.
func (p *Postgres) tool(name string, s pgServer) string {
	if p.Programs != "" {
		return filepath.Join(p.Programs, name)
	}
	for _, dir := range []string{"/usr/lib/postgresql/%d/bin", "/usr/pgsql-%d/bin"} { // Debian's, and PGDG's for RPM systems
		at := filepath.Join(fmt.Sprintf(dir, s.major), name)
		if _, err := os.Stat(at); err == nil {
			return at
		}
	}
	return name
}

// environment is what tells a tool where the server is. The password stands in
// a file that done removes.
func (p *Postgres) environment() (env []string, done func(), err error) {
	password, err := readPassword(p.PasswordFile)
	if err != nil {
		return nil, nil, err
	}
	line := "*:*:*:*:" + strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(password) + "\n"
	if password == "" {
		line = ""
	}
	path, done, err := secretFile(line)
	return []string{
		"PGHOST=" + p.Host, "PGPORT=" + strconv.Itoa(p.Port), "PGUSER=" + p.User, "PGPASSFILE=" + path, "PGSSLMODE=disable",
		"PGAPPNAME=understudy", "PGCONNECT_TIMEOUT=" + strconv.Itoa(int(pgConnectWait.Seconds())), "PGCLIENTENCODING=UTF8",
		"PGOPTIONS=-c statement_timeout=0 -c idle_in_transaction_session_timeout=0", "PGDATABASE=" + p.Database,
	}, done, err
}

// pgTables lists what has rows of its own in the dump: neither what the
// server or an extension brings, nor views, nor tables of somewhere else.
const pgTables = `SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
	AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
	ORDER BY 1, 2`

// countPG counts the rows of all tables, as the transaction or session sees
// them, and the large objects. Rows that the role may not see are an error, not
// a gap.
func countPG(ctx context.Context, conn *pgx.Conn) (map[string]int64, error) {
	if _, err := conn.Exec(ctx, "SET row_security = off"); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, pgTables)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (pgx.Identifier, error) {
		name := make(pgx.Identifier, 2)
		return name, row.Scan(&name[0], &name[1])
	})
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	if len(tables) > mostTables {
		return nil, fmt.Errorf("there are more than %d tables", mostTables)
	}
	counts := map[string]int64{}
	for _, name := range tables {
		var n int64
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM ONLY "+name.Sanitize()).Scan(&n); err != nil {
			return nil, fmt.Errorf("count table %.120s: %w", name.Sanitize(), err)
		}
		counts[strings.Join(name, ".")] = n
	}
	var objects int64
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_largeobject_metadata").Scan(&objects); err != nil {
		return nil, fmt.Errorf("count large objects: %w", err)
	}
	if objects > 0 {
		counts["large objects"] = objects
	}
	return counts, nil
}

// pgChange is what a Postgres keeps of a change: the two databases by their
// numbers, which a rename leaves as they are, so that it can be told at any time
// which of them is in force.
type pgChange struct {
	New uint32 `json:"new"`
	Old uint32 `json:"old"` // 0: there was none
}

func (p *Postgres) change(c Change) (x pgChange, err error) {
	if err := json.Unmarshal(c.Data, &x); err != nil {
		return x, fmt.Errorf("read the change of database %s: %w", p.Database, err)
	}
	return x, nil
}
