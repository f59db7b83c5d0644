package replicate

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var _ Dataset = (*MariaDB)(nil)

func mariaRows(t *testing.T, m *MariaDB, want string) {
	t.Helper()
	if got := mariaText(t, m, "SELECT COUNT(*) FROM devices"); got != want {
		t.Errorf("%s devices, want %s", got, want)
	}
}

const (
	mariaDevices = "CREATE TABLE devices (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(80) NOT NULL)"
	mariaFill    = "INSERT INTO devices (name) SELECT CONCAT('device ', seq) FROM seq_1_to_2000"
)

// mariaEverything has all that a database can have.
var mariaEverything = []string{
	"ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
	"CREATE SEQUENCE tickets START 500", "DO NEXTVAL(tickets)",
	"CREATE TABLE devices (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(80) NOT NULL, n INT DEFAULT NEXTVAL(tickets), up VARCHAR(90) AS (UPPER(name)) STORED, hid INT INVISIBLE DEFAULT 3, b BLOB, j JSON, CHECK (n > 0))",
	`INSERT INTO devices (name, b) VALUES ('a;\n(b),''x''\\', x'00ff27'), ('INSERT INTO devices VALUES (1);', '\\'), ('größer 😀', NULL)`,
	"CREATE TABLE users (id INT PRIMARY KEY, d BIGINT, up INT, FOREIGN KEY fk1 (d) REFERENCES devices (id) ON DELETE CASCADE, CONSTRAINT fk2 FOREIGN KEY (up) REFERENCES users (id))",
	"INSERT INTO users VALUES (1, 1, NULL), (2, 2, 1)",
	"CREATE TABLE `odd ``name(` (x INT, c VARCHAR(20) COMMENT 'it''s\n;(')", "INSERT INTO `odd ``name(` VALUES (1, '('), (2, ')')",
	"CREATE TABLE empty (x INT)",
	"CREATE VIEW z_few AS SELECT * FROM devices WHERE id < 3", "CREATE VIEW a_few AS SELECT * FROM z_few",
	"CREATE TRIGGER trg1 BEFORE INSERT ON devices FOR EACH ROW SET NEW.name = CONCAT(NEW.name, '!ü')", "CREATE TRIGGER trg2 BEFORE INSERT ON devices FOR EACH ROW SET NEW.name = CONCAT(NEW.name, '?')",
	"CREATE FUNCTION f(x INT) RETURNS INT DETERMINISTIC BEGIN IF x > 3 THEN RETURN 1; END IF; RETURN x + 1; END",
	"CREATE VIEW b_sum AS SELECT f(COUNT(*)) AS n FROM users",
	"CREATE PROCEDURE p() BEGIN SELECT 'ü' AS x; END",
	"CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM empty",
}

// mariaDefinitions ask for what has to be the same on both sides.
var mariaDefinitions = []string{
	"SELECT * FROM a_few", "SELECT * FROM b_sum", "SELECT id, HEX(b), hid, up FROM devices ORDER BY id", "SELECT * FROM `odd ``name(` ORDER BY x", "CALL p()",
	"SHOW CREATE TABLE users", "SHOW CREATE TABLE devices", "SHOW CREATE VIEW a_few", "SHOW CREATE FUNCTION f", "SHOW CREATE PROCEDURE p", "SHOW CREATE EVENT ev",
	"SELECT TRIGGER_NAME, ACTION_ORDER, ACTION_STATEMENT, SQL_MODE, DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() ORDER BY 1",
	"SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE()",
}

func TestMariaDBACopyHasEverything(t *testing.T) {
	t.Parallel()
	source, sink := mariaPair(t, mariaEverything...)
	o := offerOf(t, source)
	want := map[string]int64{"devices": 3, "users": 2, "odd `name(": 2, "empty": 0}
	if diff := cmp.Diff(want, o.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(o.Server, "MariaDB 1") {
		t.Errorf("the server is %q", o.Server)
	}
	var definitions []string
	for _, query := range mariaDefinitions {
		definitions = append(definitions, mariaText(t, source, query))
	}
	check := func(m *MariaDB) {
		t.Helper()
		for i, query := range mariaDefinitions {
			if got, want := mariaText(t, m, query), definitions[i]; got != want || strings.HasPrefix(want, "error") || want == "" {
				t.Errorf("%s gives\n%s, and at the source\n%s", query, got, want)
			}
		}
	}
	must(t, sink.Switch(t.Context(), take(t, sink, o, 1)))
	check(sink)
	mariaRun(t, sink, "INSERT INTO devices (name) VALUES ('next')")
	if got := mariaText(t, sink, "SELECT id, name FROM devices ORDER BY id DESC LIMIT 1"); got != "4|next!ü?" {
		t.Errorf("the next device is %q", got)
	}

	// There and back once more, over tables of the same names.
	mariaRun(t, source, "SET SESSION foreign_key_checks = 1", "DROP VIEW b_sum", "DROP TRIGGER trg1", "DELETE FROM devices WHERE id = 2", "ALTER DATABASE COLLATE latin1_bin")
	second := take(t, sink, offerOf(t, source), 2)
	must(t, sink.Switch(t.Context(), second))
	if got := mariaText(t, sink, "SELECT GROUP_CONCAT(TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"); got != "trg2" {
		t.Errorf("triggers %s", got)
	}
	if got := mariaText(t, sink, "SELECT * FROM users"); got != "1|1|" {
		t.Errorf("users %s", got)
	}
	mariaRun(t, sink, "SET SESSION foreign_key_checks = 1")
	if got := mariaText(t, sink, "SELECT GROUP_CONCAT(DISTINCT REF_NAME) FROM information_schema.INNODB_SYS_FOREIGN WHERE FOR_NAME LIKE CONCAT(DATABASE(), '/%')"); got != sink.Database+"/devices,"+sink.Database+"/users" {
		t.Errorf("foreign keys refer to %s", got)
	}
	must(t, sink.Back(t.Context(), second))
	mariaRun(t, sink, "DELETE FROM devices WHERE id = 4", "ALTER TABLE devices AUTO_INCREMENT = 4")
	check(sink)
}

func TestMariaDBNothingChangedIsTheSameDigest(t *testing.T) {
	t.Parallel()
	source, _ := mariaPair(t, append(mariaEverything, "INSERT INTO empty SELECT seq FROM seq_1_to_3000")...)
	first, second := offerOf(t, source), offerOf(t, source)
	if first.Digest != second.Digest || first.Digest == "" {
		t.Errorf("digests %q and %q of the same database", first.Digest, second.Digest)
	}
	for _, s := range []string{
		"UPDATE users SET d = 3 WHERE id = 1", "CREATE OR REPLACE VIEW z_few AS SELECT * FROM devices WHERE id < 4", "DROP TRIGGER trg1", "ALTER TABLE users ADD x INT",
		"CREATE OR REPLACE PROCEDURE p() SELECT 2",
	} {
		before := offerOf(t, source)
		mariaRun(t, source, s)
		if before.Digest == offerOf(t, source).Digest {
			t.Errorf("%s leaves the digest as it was", s)
		}
	}
}

func TestMariaDBDumpAndCountsAreOfOneMoment(t *testing.T) {
	t.Parallel()
	source, sink := mariaPair(t, "CREATE TABLE a (x INT PRIMARY KEY)", "CREATE TABLE z (x INT PRIMARY KEY)", "INSERT INTO a SELECT seq FROM seq_1_to_20000",
		"CREATE TABLE ballast (t TEXT)", "INSERT INTO ballast SELECT REPEAT('x', 5000) FROM seq_1_to_2000")
	ctx, cancel := context.WithCancel(t.Context())
	ended, moving := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- source.with(t.Context(), func(conn *sql.Conn) error {
			_, err := conn.ExecContext(t.Context(), "USE "+ident(source.Database))
			for n := 1; ctx.Err() == nil && err == nil; n++ {
				if n == 3 {
					close(moving)
				}
				for _, s := range []string{"BEGIN", fmt.Sprintf("INSERT INTO z SELECT x FROM a WHERE x = %d", n), fmt.Sprintf("DELETE FROM a WHERE x = %d", n), "COMMIT"} {
					if err = exec1(t.Context(), conn, s); err != nil {
						return err
					}
				}
			}
			return err
		})
	}()
	<-moving
	o := offerOf(t, source)
	cancel()
	must(t, <-ended)
	if sum := o.Counts["a"] + o.Counts["z"]; sum != 20000 || o.Counts["z"] == 0 {
		t.Errorf("a and z have %d and %d rows, which makes %d", o.Counts["a"], o.Counts["z"], sum)
	}
	must(t, sink.Switch(t.Context(), take(t, sink, o, 1)))
}

func TestMariaDBASwitchMayBeDoneTwiceAndUndone(t *testing.T) {
	t.Parallel()
	source, sink := mariaPair(t, mariaDevices, mariaFill, "CREATE TRIGGER trg BEFORE INSERT ON devices FOR EACH ROW SET NEW.name = '!'")
	mariaRun(t, sink, "CREATE DATABASE "+sink.Database, "USE "+sink.Database, "CREATE TABLE devices (mine INT)", "CREATE VIEW mine AS SELECT * FROM devices")
	first := take(t, sink, offerOf(t, source), 1)
	mariaRows(t, sink, "0")
	must(t, sink.Switch(t.Context(), first))
	must(t, sink.Switch(t.Context(), first))
	mariaRows(t, sink, "2000")
	mariaRun(t, source, "DELETE FROM devices WHERE id > 1900")
	second := take(t, sink, offerOf(t, source), 2)
	must(t, sink.Switch(t.Context(), second))
	mariaRows(t, sink, "1900")
	must(t, sink.Back(t.Context(), second))
	must(t, sink.Back(t.Context(), second))
	mariaRows(t, sink, "2000")
	must(t, sink.Back(t.Context(), first))
	if got := mariaText(t, sink, "SELECT COUNT(mine) FROM mine"); got != "0" {
		t.Errorf("what was there before the first sync is not back: %s", got)
	}
	must(t, sink.Switch(t.Context(), first))
	must(t, sink.Switch(t.Context(), second))
	mariaRows(t, sink, "1900")
	must(t, sink.Drop(t.Context(), second, New)) // it is in force
	mariaRows(t, sink, "1900")
	must(t, sink.Drop(t.Context(), second, Old))
	must(t, sink.Drop(t.Context(), second, Old))
	must(t, sink.Drop(t.Context(), first, Old))
	want := sink.Database + "\n" + sink.marks()
	if got := mariaText(t, sink, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE CONCAT(DATABASE(), '%') ORDER BY 1"); got != want {
		t.Errorf("schemas %s, want %s", got, want)
	}
	mariaRun(t, sink, "INSERT INTO devices (name) VALUES ('x')")
	if got := mariaText(t, sink, "SELECT name FROM devices ORDER BY id DESC LIMIT 1"); got != "!" {
		t.Errorf("the trigger makes %q", got)
	}
}

// A switch is cut off after some time, whatever it does then; its triggers and
// views are there again whenever it is rolled forward.
func TestMariaDBASwitchThatIsCutOffAnywhereIsRolledForward(t *testing.T) {
	t.Parallel()
	source, sink := mariaPair(t, mariaEverything...)
	must(t, sink.Switch(t.Context(), take(t, sink, offerOf(t, source), 1)))
	mariaRun(t, source, "DELETE FROM users WHERE id = 2")
	second := take(t, sink, offerOf(t, source), 2)
	things := "SELECT (SELECT COUNT(*) FROM users), (SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()), (SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()), (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE())"
	want := func(when, rows string) {
		t.Helper()
		if got := mariaText(t, sink, things); got != rows+"|3|2|2" {
			t.Fatalf("%s: users, views, triggers and routines are %s, want %s|3|2|2", when, got, rows)
		}
	}
	step := 61
	if os.Getenv("UNDERSTUDY_SOAK") != "" {
		step = 1
	}
	for n := 1; ; n += step {
		err := sink.Switch(newEnding(t, n), second)
		when := fmt.Sprintf("cut off after %d looks at ctx", n)
		if got := mariaText(t, sink, "SELECT COUNT(*) FROM users"); got != "1" && got != "2" {
			t.Fatalf("%s: %s users", when, got)
		}
		must(t, sink.Switch(t.Context(), second))
		want(when, "1")
		must(t, sink.Back(t.Context(), second))
		want(when, "2")
		if err == nil {
			if n < 20 {
				t.Errorf("a switch looks only %d times at its context", n)
			}
			t.Logf("a switch looks at most %d times at its context", n)
			return
		}
	}
}

// ending is a context that ends when it was looked at so many times.
type ending struct {
	context.Context
	left atomic.Int64
	done chan struct{}
}

func newEnding(t *testing.T, looks int) *ending {
	e := &ending{Context: t.Context(), done: make(chan struct{})}
	e.left.Store(int64(looks))
	return e
}

func (e *ending) Done() <-chan struct{} {
	if e.left.Add(-1) == 0 {
		close(e.done)
	}
	return e.done
}

func (e *ending) Err() error {
	select {
	case <-e.done:
		return context.Canceled
	default:
		return e.Context.Err()
	}
}

func TestMariaDBASwitchThatFailsLeavesTriggersAndViews(t *testing.T) {
	t.Parallel()
	source, sink := mariaPair(t, mariaDevices, mariaFill, "CREATE TRIGGER trg BEFORE INSERT ON devices FOR EACH ROW SET NEW.name = '!'", "CREATE VIEW few AS SELECT * FROM devices WHERE id < 5")
	must(t, sink.Switch(t.Context(), take(t, sink, offerOf(t, source), 1)))
	second := take(t, sink, offerOf(t, source), 2)

	// A session of another database that keeps a table in use is not found among
	// those of this one.
	release, held, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- sink.with(t.Context(), func(conn *sql.Conn) error {
			for _, s := range []string{"BEGIN", "DELETE FROM " + sink.Database + ".devices WHERE id = 7"} {
				if err := exec1(t.Context(), conn, s); err != nil {
					return err
				}
			}
			close(held)
			<-release
			return exec1(t.Context(), conn, "ROLLBACK")
		})
	}()
	<-held
	fast := *sink
	fast.patience = time.Second
	wantError(t, fast.Switch(t.Context(), second), "another session keeps a table in use")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	err := sink.Switch(ctx, second)
	cancel()
	close(release)
	must(t, <-ended)
	wantError(t, err, "context deadline exceeded")
	mariaRows(t, sink, "2000")
	mariaRun(t, sink, "INSERT INTO devices (name) VALUES ('x')")
	if got := mariaText(t, sink, "SELECT name FROM devices ORDER BY id DESC LIMIT 1"); got != "!" {
		t.Errorf("after a switch that failed the trigger makes %q", got)
	}
	if got := mariaText(t, sink, "SELECT COUNT(*) FROM few"); got != "4" {
		t.Errorf("after a switch that failed the view gives %s", got)
	}

	// Those of this database are ended, with a transaction open too.
	var sessions []*sql.Conn
	for range 2 {
		ready := make(chan *sql.Conn)
		go func() {
			_ = sink.with(context.Background(), func(conn *sql.Conn) error {
				_, _ = conn.ExecContext(context.Background(), "USE "+sink.Database)
				_, _ = conn.ExecContext(context.Background(), "BEGIN")
				_, _ = conn.ExecContext(context.Background(), "DELETE FROM devices WHERE id = 9")
				ready <- conn
				_, err := conn.ExecContext(context.Background(), "SELECT SLEEP(300)")
				return err
			})
		}()
		if len(sessions) == 0 {
			sessions = append(sessions, <-ready)
			continue
		}
		go func() { <-ready }()
	}
	must(t, sink.Switch(t.Context(), second))
	mariaRows(t, sink, "2000")
}

func TestMariaDBWhatCannotBeDumpedAsOneStateIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ statement, want string }{
		{"CREATE TABLE old (x INT) ENGINE=MyISAM", `table "old" has the engine MyISAM, which knows no transactions`},
		{"CREATE TABLE old (x INT) ENGINE=Aria", `table "old" has the engine Aria`},
		{"CREATE TABLE old (x INT) WITH SYSTEM VERSIONING", `table "old" is system-versioned`},
	} {
		source, _ := mariaPair(t, mariaDevices, tt.statement)
		_, err := source.Offer(t.Context(), t.TempDir())
		wantError(t, err, tt.want)
	}
	source, _ := mariaPair(t, mariaDevices)
	offer := func(change func(*MariaDB)) error {
		other := *source
		change(&other)
		_, err := other.Offer(t.Context(), t.TempDir())
		t.Log(err)
		return err
	}
	wantError(t, offer(func(m *MariaDB) { m.Database = "nothing" }), "make it, or correct database in node.yaml")
	wantError(t, offer(func(m *MariaDB) { m.User = "nobody" }), "see user and password_file in node.yaml")
	wantError(t, offer(func(m *MariaDB) { m.Host = "/nowhere/s" }), "no such file")
	wantError(t, offer(func(m *MariaDB) { m.Programs = "/nowhere" }), "no /nowhere/mariadb-dump: install it")
}

func TestMariaDBWhatCannotBeRestoredIsRefused(t *testing.T) {
	t.Parallel()
	source, sink := mariaPair(t, mariaDevices, mariaFill, "CREATE VIEW few AS SELECT * FROM devices WHERE id < 5")
	secret := filepath.Join(t.TempDir(), "touched")
	for name, tt := range map[string]struct {
		harm func(facts, dump []byte) (newFacts, newDump []byte)
		want string
	}{
		"another series": {func(f, d []byte) ([]byte, []byte) {
			return bytes.Replace(f, []byte(`"series":"10.`), []byte(`"series":"9.`), 1), d
		}, "both nodes need the same series"},
		"odd facts": {func(_, d []byte) ([]byte, []byte) { return []byte("{"), d }, "cannot be read"},
		"a command to the client": {func(f, d []byte) ([]byte, []byte) {
			return f, append([]byte("\\! touch "+secret+"\nsystem touch "+secret+"\n"), d...)
		}, "sandbox"},
		"a cut dump": {func(f, d []byte) ([]byte, []byte) { return f, d[:len(d)*3/4] }, ""},
		"a view of nothing": {func(f, d []byte) ([]byte, []byte) {
			return bytes.Replace(f, []byte(`"kind":"VIEW"`), []byte(`"kind":"TABLE"`), 1), d
		}, "does not know"},
	} {
		o := offerOf(t, source)
		at := func(name string) string { return filepath.Join(o.Tree, name) }
		facts, err := os.ReadFile(at(factsFile))
		must(t, err)
		dump, err := os.ReadFile(at(tablesFile))
		must(t, err)
		newFacts, newDump := tt.harm(facts, dump)
		if bytes.Equal(facts, newFacts) && bytes.Equal(dump, newDump) {
			t.Fatalf("%s: nothing is harmed", name)
		}
		must(t, os.WriteFile(at(factsFile), newFacts, 0o600))
		must(t, os.WriteFile(at(tablesFile), newDump, 0o600))
		p, err := sink.Prepare(t.Context(), Staged{Generation: 1, Dir: o.Tree, Offer: o, Source: "core1"})
		t.Log(name, err)
		if err != nil && strings.Contains(err.Error(), "device 1490") {
			t.Errorf("%s: the error tells rows", name)
		}
		if tt.want == "" {
			if err == nil && cmp.Equal(p.Counts, o.Counts) {
				t.Errorf("%s: it is not noticed", name)
			}
		} else {
			wantError(t, err, tt.want)
		}
		var refused *Refused
		if got := errors.As(err, &refused); got != (name == "another series") {
			t.Errorf("%s: refused %v", name, got)
		}
		must(t, sink.Drop(t.Context(), Change{Generation: 1}, New))
	}
	if _, err := os.Stat(secret); err == nil {
		t.Error("a dump has run a program")
	}
	if got := mariaText(t, sink, "SELECT 1"); !strings.Contains(got, "Unknown database") {
		t.Errorf("the database in force has changed: %s", got)
	}
}

func TestMariaDBEventsAreNotRestoredWhereTheyWouldRun(t *testing.T) {
	t.Parallel()
	source, sink := mariaPair(t, mariaDevices, "CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO DELETE FROM devices")
	o := offerOf(t, source)
	err := sink.with(t.Context(), func(conn *sql.Conn) error {
		f := mariaFacts{Series: strings.Join(strings.Split(strings.TrimPrefix(o.Server, "MariaDB "), ".")[:2], ".")}
		f.Objects = []object{{Kind: kindEvent}}
		if err := exec1(t.Context(), conn, "SET GLOBAL event_scheduler = ON"); err != nil {
			return err
		}
		err := sink.mayRestore(t.Context(), conn, Staged{Offer: o}, f, filepath.Join(o.Tree, tablesFile))
		wantError(t, err, "event_scheduler is ON here")
		return exec1(t.Context(), conn, "SET GLOBAL event_scheduler = OFF")
	})
	must(t, err)
	must(t, sink.Switch(t.Context(), take(t, sink, o, 1)))
}

func TestMariaDBRowsAreCountedInADump(t *testing.T) {
	t.Parallel()
	const dump = "/*M!999999\\- enable the sandbox mode */ \n-- INSERT INTO `x` VALUES (1);\nCREATE TABLE `a``b` (\n  `c` int COMMENT 'INSERT INTO `y` VALUES (1)'\n);\n" +
		"INSERT INTO `a``b` VALUES\n(1,'(;'),\n(2,'it''s \\' \\\\'),(3,'V(');\nINSERT INTO `a``b` (`V(`, `x`) VALUES (4,_binary '\\\\'),(5,(6));\n" +
		"CREATE TABLE `e` (\nCREATE SEQUENCE `s`;\nINSERT INTO `f` VALUES (NULL);\nINSERT\n-- Dump completed\n"
	want := map[string]int64{"a`b": 5, "e": 0, "f": 1}
	for _, size := range []int{1, 2, 7, len(dump)} {
		var out bytes.Buffer
		c := &rowCounter{to: &out, counts: map[string]int64{}}
		for rest := []byte(dump); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			_, err := c.Write(rest[:min(size, len(rest))])
			must(t, err)
		}
		if diff := cmp.Diff(want, c.counts); diff != "" || !c.whole || out.String() != dump {
			t.Errorf("in pieces of %d: whole %v, counts (-want +got):\n%s", size, c.whole, diff)
		}
	}
	c := &rowCounter{to: &bytes.Buffer{}, counts: map[string]int64{}}
	_, err := c.Write([]byte(dump[:len(dump)-3]))
	must(t, err)
	if c.whole {
		t.Error("a dump that was cut is whole")
	}
}

func TestMariaDBNamesAndPlacesThatCannotBeUsedAreRefused(t *testing.T) {
	t.Parallel()
	for _, m := range []MariaDB{
		{},
		{Database: "a b"},
		{Database: "a`b"},
		{Database: "-a"},
		{Database: "mysql"},
		{Database: "Information_Schema"},
		{Database: strings.Repeat("a", 41)},
		{Database: "a", Port: -1},
		{Database: "a", Programs: "bin"},
		{Database: "a", Host: "db.example.com"},
		{Database: "a", User: "a\nb"},
	} {
		if _, err := NewMariaDB(m); err == nil {
			t.Errorf("%+v is taken", m)
		}
	}
}

// Between the RENAME and the end of a switch the new tables are in force without
// their triggers, which cannot move with them. A kill there is ended by the commit
// journal before the engine lets an application start: Unfinished says so.
func TestAKillBetweenTheRenameAndItsEndIsRolledForward(t *testing.T) {
	t.Parallel()
	const triggers = 60
	made := []string{"CREATE TABLE devices (id INT PRIMARY KEY, name TEXT)", "CREATE TABLE log (name TEXT)", "CREATE VIEW few AS SELECT * FROM devices WHERE id < 10"}
	for i := range triggers {
		made = append(made, fmt.Sprintf("CREATE TRIGGER t%d AFTER INSERT ON devices FOR EACH ROW INSERT INTO log VALUES (%d)", i, i))
	}
	source, sink := mariaPair(t, made...)
	d := dataDuo(t, engine{kind: "mariadb", source: source, sink: sink})
	d.sync(t, Success)
	own, err := os.Executable()
	must(t, err)
	as := filepath.Join(t.TempDir(), "understudy-sink")
	must(t, os.Symlink(own, as))
	arg, err := json.Marshal(sinkProcess{Dir: d.sink.dir, SSH: d.remote.SSH, Socket: d.remote.Args[0], MariaDB: sink, Kill: moment{After: "never by itself"}})
	must(t, err)
	there := func() string {
		return mariaText(t, sink, "SELECT CONCAT((SELECT COUNT(*) FROM devices), ' ', (SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()), ' ', (SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()))")
	}
	for try := 1; ; try++ {
		mariaRun(t, source, fmt.Sprintf("INSERT INTO devices VALUES (%d, 'new')", try))
		cmd := exec.Command(as, string(arg)) // #nosec G204 -- ourselves
		must(t, cmd.Start())
		killAfterRename(t, sink, cmd.Process)
		_ = cmd.Wait()
		d.sink.book, err = OpenBook(d.sink.dir)
		must(t, err)
		d.cfg.Book = d.sink.book
		r, err := Open(d.cfg)
		must(t, err)
		met := r.Unfinished()
		before := there()
		must(t, r.Recover(t.Context()))
		if want := fmt.Sprintf("%d %d 1", try, triggers); strings.TrimSpace(there()) != want || r.Unfinished() {
			t.Fatalf("try %d: %q before, %q after the journal was ended, want %q", try, before, there(), want)
		}
		if met {
			t.Logf("try %d: killed with %q", try, before)
			return
		}
		if try == 10 {
			t.Fatal("the moment was never met")
		}
	}
}

// killAfterRename kills a process as soon as a database has new tables.
func killAfterRename(t *testing.T, m *MariaDB, p *os.Process) {
	t.Helper()
	must(t, m.with(t.Context(), func(conn *sql.Conn) error {
		was, _, err := m.inForce(t.Context(), conn)
		for err == nil {
			var now uint64
			if now, _, err = m.inForce(t.Context(), conn); err == nil && now != was {
				return p.Signal(syscall.SIGKILL)
			}
		}
		return err
	}))
}
