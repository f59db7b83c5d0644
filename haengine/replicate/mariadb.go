package replicate

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MariaDB is the dataset of one database of a MariaDB server: dumped by
// mariadb-dump in a stable order, restored into a new schema beside the one in
// force, and put into force by one RENAME TABLE, which is whole or not at all
// since MariaDB 10.6. What cannot be renamed across schemas (triggers, views,
// routines, events) is taken away before and made anew after.
type MariaDB struct {
	Database     string
	Host         string // the server's socket, or its address
	Port         int    // of an address
	User         string
	PasswordFile string // its first line; empty: the server asks for none
	Programs     string // the folder of mariadb and mariadb-dump; empty: where the system has them

	patience time.Duration // how long a lock on a table is waited for
}

// The defaults of a MariaDB.
const (
	MariaDBHost = "/run/mysqld/mysqld.sock"
	MariaDBPort = 3306
	MariaDBUser = "understudy"
)

// oldestMariaDB is the first release whose RENAME TABLE of many tables survives a
// crash whole.
var oldestMariaDB = [3]int{10, 6, 1}

const mariaWait = 10 * time.Second // for a connection, for a lock on a table, for sessions that were ended

const mariaOver = 30 * time.Second // for what an engine that was killed has begun

var mariaOwn = []string{"mysql", "information_schema", "performance_schema", "sys"}

// NewMariaDB gives the dataset with its defaults filled in.
func NewMariaDB(m MariaDB) (*MariaDB, error) {
	if m.Host == "" {
		m.Host = MariaDBHost
	}
	if m.Port == 0 {
		m.Port = MariaDBPort
	}
	if m.User == "" {
		m.User = MariaDBUser
	}
	m.patience = mariaWait
	switch {
	case !databaseName.MatchString(m.Database):
		return nil, fmt.Errorf("database %.80q cannot be replicated: its name must begin with a letter and have at most 40 letters, digits, _ and -", m.Database)
	case slices.Contains(mariaOwn, strings.ToLower(m.Database)):
		return nil, fmt.Errorf("database %s belongs to the server: give the application one of its own", m.Database)
	case m.Port < 0 || m.Port > 65535:
		return nil, fmt.Errorf("port %d is none", m.Port)
	case m.Programs != "" && !filepath.IsAbs(m.Programs):
		return nil, fmt.Errorf("the folder of programs %q must be an absolute path", m.Programs)
	case strings.ContainsAny(m.Host+m.User, "\x00\n\r"):
		return nil, fmt.Errorf("host %.80q or user %.80q is none", m.Host, m.User)
	case !local(m.Host):
		return nil, fmt.Errorf("host %.80q is not on this machine: a node replicates its own database, by the server's socket or a loopback address", m.Host)
	}
	return &m, nil
}

// aside is the schema that a generation is restored into, before the one that
// keeps what it replaced, and marks the one that tells which is in force: it has
// one table, whose name is moved along in the same RENAME.
func (m *MariaDB) aside(generation uint64) string {
	return m.Database + "__g" + strconv.FormatUint(generation, 10)
}

func (m *MariaDB) before(generation uint64) string { return m.aside(generation) + "_before" }
func (m *MariaDB) marks() string                   { return m.Database + "__understudy" }

const markPrefix = "live_g"

// mariaChange is what a MariaDB keeps of a change: the generations in force
// before and after it. 0 is what was there before the first.
type mariaChange struct {
	New uint64 `json:"new"`
	Old uint64 `json:"old"`
}

func (m *MariaDB) change(c Change) (x mariaChange, err error) {
	if err := json.Unmarshal(c.Data, &x); err != nil {
		return x, fmt.Errorf("read the change of database %s: %w", m.Database, err)
	}
	return x, nil
}

// with runs do in a session of its own, with no database chosen. When it returns
// the session is over, and nothing that it began goes on.
func (m *MariaDB) with(ctx context.Context, do func(*sql.Conn) error) error {
	password, err := readPassword(m.PasswordFile)
	if err != nil {
		return err
	}
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Timeout, c.Collation = m.User, password, mariaWait, "utf8mb4_general_ci"
	c.Logger = log.New(io.Discard, "", 0)
	c.InterpolateParams = true
	c.Net, c.Addr = "unix", m.Host
	if !filepath.IsAbs(m.Host) {
		c.Net, c.Addr = "tcp", net.JoinHostPort(m.Host, strconv.Itoa(m.Port))
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return mariaHint(err)
	}
	defer conn.Close()
	for _, s := range []string{
		"SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'", "SET SESSION foreign_key_checks = 0", "SET SESSION autocommit = 1",
		fmt.Sprintf("SET SESSION lock_wait_timeout = %d", int(m.patience.Seconds())), "SET SESSION max_statement_time = 0",
	} {
		if err := exec1(ctx, conn, s); err != nil {
			return err
		}
	}
	var id int64
	if err := conn.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return mariaHint(err)
	}
	err = mariaHint(do(conn))
	if ctx.Err() != nil {
		// The server does not notice that nobody waits any more, and a DROP that waits
		// for a lock would be done whenever that is free.
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), mariaWait)
		defer cancel()
		err = errors.Join(err, endSession(late, db, id))
	}
	return err
}

// alone is with, when what an engine that was killed has begun is over: its
// session goes on until the end of its statement.
func (m *MariaDB) alone(ctx context.Context, do func(*sql.Conn) error) error {
	return m.with(ctx, func(conn *sql.Conn) error {
		var got sql.NullInt64
		if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?)", "understudy "+m.Database, int(mariaOver.Seconds())).Scan(&got); err != nil {
			return err
		}
		if got.Int64 != 1 {
			return fmt.Errorf("the session of an engine that has ended still works on %s after %v; see SHOW PROCESSLIST, and end it", m.Database, mariaOver)
		}
		return do(conn)
	})
}

// endSession ends a session of ours, and waits until it is gone.
func endSession(ctx context.Context, db *sql.DB, id int64) error {
	for {
		var there int
		err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = ?", id).Scan(&there)
		if err != nil {
			return fmt.Errorf("end our session %d: %w", id, err)
		}
		if there == 0 {
			return nil
		}
		if _, err := db.ExecContext(ctx, "KILL HARD CONNECTION "+strconv.FormatInt(id, 10)); err != nil && !isMaria(err, 1094) { // ER_NO_SUCH_THREAD
			return fmt.Errorf("end our session %d: %w", id, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("our session %d does not end although it was killed: %w", id, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// exec1 runs a statement without a result.
func exec1(ctx context.Context, conn *sql.Conn, statement string, args ...any) error {
	if _, err := conn.ExecContext(ctx, statement, args...); err != nil {
		return fmt.Errorf("%.80s: %w", statement, err)
	}
	return nil
}

// mariaHint adds to an error of the server what to do.
func mariaHint(err error) error {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return err
	}
	switch e.Number {
	case 1045, 1698: // ER_ACCESS_DENIED_ERROR
		return fmt.Errorf("%w: see user and password_file in node.yaml", err)
	case 1044, 1142, 1227, 1370: // ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_SPECIFIC_ACCESS_DENIED_ERROR, ER_PROCACCESS_DENIED_ERROR
		return fmt.Errorf("%w: the engine's user needs all privileges: GRANT ALL ON *.* TO it", err)
	case 1205: // ER_LOCK_WAIT_TIMEOUT
		return fmt.Errorf("%w: another session keeps a table in use; see SHOW PROCESSLIST, and end it", err)
	}
	return err
}

// ident quotes a name.
func ident(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// askMariaDB gives the release of the server, like "10.11", and all it says.
func askMariaDB(ctx context.Context, conn *sql.Conn) (series, said string, err error) {
	if err := conn.QueryRowContext(ctx, "SELECT VERSION()").Scan(&said); err != nil {
		return "", "", err
	}
	version, rest, _ := strings.Cut(said, "-")
	if !strings.HasPrefix(rest, "MariaDB") {
		return "", "", fmt.Errorf("the server is version %.60q, which is no MariaDB; others are not replicated", said)
	}
	var v [3]int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &v[0], &v[1], &v[2]); err != nil {
		return "", "", fmt.Errorf("the server says an odd version, %.60q", said)
	}
	if slices.Compare(v[:], oldestMariaDB[:]) < 0 {
		return "", "", fmt.Errorf("MariaDB %s is too old to be replicated: only since 10.6.1 does it rename many tables as one", version)
	}
	return fmt.Sprintf("%d.%d", v[0], v[1]), "MariaDB " + version, nil
}

// tables lists what has rows in a schema, in order, without our own.
func tables(ctx context.Context, conn *sql.Conn, schema string) ([]string, error) {
	rows, err := conn.QueryContext(ctx, `SELECT TABLE_NAME FROM information_schema.TABLES
		WHERE TABLE_SCHEMA = ? AND TABLE_TYPE IN ('BASE TABLE', 'SEQUENCE') AND TABLE_NAME <> ? ORDER BY 1`, schema, objectTable)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	names, err := namesOf(rows)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return names, nil
}

// schemaCollation gives a schema's own collation, "" if there is no such schema.
func schemaCollation(ctx context.Context, conn *sql.Conn, schema string) (collation string, err error) {
	err = conn.QueryRowContext(ctx, "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?", schema).Scan(&collation)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return collation, err
}

// inForce gives the generation in force. found is false before the first sync.
func (m *MariaDB) inForce(ctx context.Context, conn *sql.Conn) (generation uint64, found bool, err error) {
	names, err := tables(ctx, conn, m.marks())
	if err != nil || len(names) == 0 {
		return 0, false, err
	}
	generation, err = strconv.ParseUint(strings.TrimPrefix(names[0], markPrefix), 10, 64)
	if err != nil || len(names) > 1 {
		return 0, false, fmt.Errorf("schema %s holds %.100q, and should only tell which generation is in force: drop it, and sync anew", m.marks(), names)
	}
	return generation, true, nil
}

// tool gives a program, by its own name or the one that it had before.
func (m *MariaDB) tool(name string) string {
	if m.Programs != "" {
		return filepath.Join(m.Programs, name)
	}
	return name
}

// options writes the file that tells a tool where the server is. done removes
// it.
func (m *MariaDB) options() (path string, done func(), err error) {
	password, err := readPassword(m.PasswordFile)
	if err != nil {
		return "", nil, err
	}
	value := func(text string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"` }
	text := "[client]\nuser=" + value(m.User) + "\n"
	if password != "" {
		text += "password=" + value(password) + "\n"
	}
	if filepath.IsAbs(m.Host) {
		text += "protocol=socket\nsocket=" + value(m.Host) + "\n"
	} else {
		text += "protocol=tcp\nhost=" + value(m.Host) + "\nport=" + strconv.Itoa(m.Port) + "\n"
	}
	return secretFile(text)
}
