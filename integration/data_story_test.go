//go:build linux

package integration

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/understudy-ha/understudy/haengine/replicate/dbtest"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// databases are those of one node: an application's devices in each of the three
// kinds, and a log that is written in the same transaction.
type databases struct {
	t        *testing.T
	name     string
	postgres dbtest.Server
	mariadb  *sql.DB
	server   dbtest.Server
	folder   string // of sqlite
}

// newDatabases gives the empty servers of two nodes.
func newDatabases(t *testing.T) (two [2]*databases) {
	t.Helper()
	postgres, err := dbtest.Postgres()
	if err != nil {
		t.Fatal(err)
	}
	mariadb, err := dbtest.MariaDB()
	if err != nil {
		t.Fatal(err)
	}
	name := "story" + strconv.FormatInt(time.Now().UnixNano(), 36)
	for i := range two {
		db, err := mariadb[i].OpenMariaDB("")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		two[i] = &databases{t, name, postgres[i], db, mariadb[i], filepath.Join(tempDir(t), "db")}
	}
	return two
}

// lines are the datasets in node.yaml.
func (d *databases) lines() string {
	return fmt.Sprintf(`datasets:
  - {name: pg, type: postgres, database: %s, host: %s, password_file: %s}
  - {name: maria, type: mariadb, database: %s, host: %s, password_file: %s}
  - {name: lite, type: sqlite, path: %s, databases: [app.db]}
`, d.name, d.postgres.Host, d.postgres.PasswordFile, d.name, d.server.Host, d.server.PasswordFile, d.folder)
}

func (d *databases) pg(database, query string, args ...any) (n int64) {
	d.t.Helper()
	conn, err := d.postgres.ConnectPostgres(d.t.Context(), database)
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close(d.t.Context())
	if strings.HasPrefix(query, "SELECT") {
		err = conn.QueryRow(d.t.Context(), query, args...).Scan(&n)
	} else {
		_, err = conn.Exec(d.t.Context(), query, args...)
	}
	if err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// make makes the application's tables.
func (d *databases) make() {
	d.t.Helper()
	d.pg("postgres", "CREATE DATABASE "+d.name)
	d.pg(d.name, "CREATE TABLE devices (id serial PRIMARY KEY, name text); CREATE TABLE log (device int REFERENCES devices, at timestamptz DEFAULT now())")
	for _, s := range []string{
		"CREATE DATABASE " + d.name,
		"CREATE TABLE " + d.name + ".devices (id INT AUTO_INCREMENT PRIMARY KEY, name TEXT)",
		"CREATE TABLE " + d.name + ".log (device INT, FOREIGN KEY (device) REFERENCES devices (id))",
		"CREATE TRIGGER " + d.name + ".logs AFTER INSERT ON " + d.name + ".devices FOR EACH ROW INSERT INTO log VALUES (NEW.id)",
	} {
		if _, err := d.mariadb.Exec(s); err != nil {
			d.t.Fatalf("%s: %v", s, err)
		}
	}
	if err := os.MkdirAll(d.folder, 0o700); err != nil {
		d.t.Fatal(err)
	}
	d.lite(func(db *sql.DB) error {
		_, err := db.Exec("PRAGMA journal_mode=wal; CREATE TABLE devices (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE log (device REFERENCES devices)")
		return err
	})
}

func (d *databases) lite(do func(*sql.DB) error) {
	d.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(d.folder, "app.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		d.t.Fatal(err)
	}
	defer db.Close()
	if err := do(db); err != nil {
		d.t.Fatal(err)
	}
}

// counts are the devices and the entries of the log, in each of the three.
func (d *databases) counts() (c [3][2]int64) {
	d.t.Helper()
	for i, table := range []string{"devices", "log"} {
		c[0][i] = d.pg(d.name, "SELECT count(*) FROM "+table)
		if err := d.mariadb.QueryRow("SELECT COUNT(*) FROM " + d.name + "." + table).Scan(&c[1][i]); err != nil {
			d.t.Fatal(err)
		}
		d.lite(func(db *sql.DB) error { return db.QueryRow("SELECT count(*) FROM " + table).Scan(&c[2][i]) })
	}
	return c
}

// write lets the application add devices to all three, until it is stopped.
func (d *databases) write() (stop func()) {
	d.t.Helper()
	ctx, end := context.WithCancel(context.Background())
	var all sync.WaitGroup
	conn, err := d.postgres.ConnectPostgres(ctx, d.name)
	if err != nil {
		d.t.Fatal(err)
	}
	lite, err := sql.Open("sqlite", "file:"+filepath.Join(d.folder, "app.db")+"?_pragma=busy_timeout(10000)&_pragma=synchronous(0)")
	if err != nil {
		d.t.Fatal(err)
	}
	for i, one := range []func() error{
		func() error {
			_, err := conn.Exec(context.Background(), "WITH d AS (INSERT INTO devices (name) VALUES ('x') RETURNING id) INSERT INTO log (device) SELECT id FROM d")
			return err
		},
		func() error {
			_, err := d.mariadb.Exec("INSERT INTO " + d.name + ".devices (name) VALUES ('x')")
			return err
		},
		func() error {
			_, err := lite.Exec("BEGIN IMMEDIATE; INSERT INTO devices (name) VALUES ('x'); INSERT INTO log VALUES (last_insert_rowid()); COMMIT")
			return err
		},
	} {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := one(); err != nil {
					d.t.Errorf("writer %d: %v", i, err)
					return
				}
				time.Sleep(2 * time.Millisecond) // a load, not all that the machine can do
			}
		})
	}
	stop = sync.OnceFunc(func() {
		end()
		all.Wait()
		_ = conn.Close(context.Background())
		_ = lite.Close()
	})
	d.t.Cleanup(stop)
	return stop
}

// copiesDatabases gives a member an sshd and its databases, before it is started.
func (m *member) copiesDatabases(d *databases) {
	m.t.Helper()
	m.reachable()
	m.more += d.lines()
}

// reachable gives a member an sshd and a portal, before it is started.
func (m *member) reachable() (home string, sshd *process) {
	m.t.Helper()
	me := must(user.Current())
	home, err := os.MkdirTemp(me.HomeDir, ".understudy-test-")
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = os.RemoveAll(home) })
	newHostKey(m.t, home)
	port := freePort(m.t)
	sshd, _ = startSSHD(m.t, home, port)
	m.portal = loopback(freePort(m.t))
	m.more += fmt.Sprintf("portal: {listen: %q}\nssh: {port: %d, user: %s, authorized_keys: %s/.ssh/authorized_keys, host_keys: [%s/host.pub]}\n",
		m.portal, port, me.Username, home, home)
	return home, sshd
}

// startDatabases runs a pair that copies three databases; core1 is Active, and
// only it has any.
func startDatabases(t *testing.T) (data [2]*databases, core1, core2 *member) {
	t.Helper()
	data = newDatabases(t)
	core1, core2 = newMembers(t)
	core1.copiesDatabases(data[0])
	core2.copiesDatabases(data[1])
	data[0].make()
	for _, m := range []*member{core1, core2} {
		m.start()
		m.say(0, hurry...)
	}
	core2.trusts("", core1.trusts("", "", "invite"), "add")
	core1.say(0, "ha", "enable", "--mode", "primary")
	core2.say(0, "ha", "enable", "--mode", "secondary")
	core1.await(ha.Active)
	core2.await(ha.Standby)
	return data, core1, core2
}

// grows waits until every database is written to.
func (d *databases) grows() {
	d.t.Helper()
	before := d.counts()
	if !within(time.Minute, func() bool {
		now := d.counts()
		return now[0][0] > before[0][0] && now[1][0] > before[1][0] && now[2][0] > before[2][0]
	}) {
		d.t.Fatalf("not all are written to: %v, and before %v", d.counts(), before)
	}
}

// TestStoryTheWayBackByHandAndByCommandLosesNoDevice is the way back after a
// failover by single commands, with an application that goes on writing until it is
// stopped; and then a planned swap and `failover failback`.
func TestStoryTheWayBackByHandAndByCommandLosesNoDevice(t *testing.T) {
	t.Parallel()
	data, core1, core2 := startDatabases(t)
	same := func(when string) {
		t.Helper()
		if one, two := data[0].counts(), data[1].counts(); one != two {
			t.Errorf("%s: devices and log on core1 are %v, and %v on core2", when, one, two)
		}
	}
	core2.say(0, "sync", "core1")
	stop := data[0].write()
	data[0].grows()
	core1.die()
	stop()
	core2.await(ha.Active)
	core1.start()
	core1.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })

	// By hand: sync while core2 serves, then once more when nobody does; without the
	// pause core1 would be Active as soon as core2 stands by.
	stop = data[1].write()
	core1.say(0, "mode", "secondary")
	core1.await(ha.Standby)
	core1.say(0, "sync", "core2")
	data[1].grows()
	core1.say(0, "pause")
	stop()
	core2.say(0, "mode", "secondary")
	core2.await(ha.Standby)
	core1.awaits("held", func(d nodeapi.Status) bool { return d.Phase == ha.InHeld })
	core1.say(0, "sync", "core2")
	same("before core1 is Active")
	core1.say(0, "mode", "primary", "--yes")
	core1.await(ha.Active)
	core1.say(0, "unpause")
	stop = data[0].write()
	data[0].grows()
	stop()
	core2.say(0, "sync", "core1")
	same("after the way back by hand")

	// By command: over with what core1 has, and back with what core2 has.
	for i, step := range []struct {
		active, next *member
		at           int
		line         []string
	}{
		{core1, core2, 0, []string{"swap", "--reason", "new disks in core1"}},
		{core2, core1, 1, []string{"failback"}},
	} {
		stop := data[step.at].write()
		data[step.at].grows()
		stop()
		if said := step.next.say(0, step.line...); !strings.Contains(said, "all that "+step.active.name+" has is here") {
			t.Errorf("%v said:\n%s", step.line, said)
		}
		step.next.await(ha.Active)
		same(fmt.Sprintf("after %s, %d", step.line[0], i))
	}
	if kept := must(core1.client.Archives(t.Context())); len(kept) != 1 {
		t.Errorf("core1 keeps %d archives, and only the failover has left what only it had", len(kept))
	}
	if kept := must(core2.client.Archives(t.Context())); len(kept) != 0 {
		t.Errorf("core2 keeps %s, and had nothing of its own", asJSON(kept))
	}
}

// TestStoryTheDeviceCountIsExactlyTheSameOnEveryDatabase is step 5 of the EPMM
// guide on all three kinds at once: synchronised while the application writes,
// the Primary dies under that load, the Secondary serves and is written to, and
// the way back brings every device along.
func TestStoryTheDeviceCountIsExactlyTheSameOnEveryDatabase(t *testing.T) {
	t.Parallel()
	data, core1, core2 := startDatabases(t)
	stop := data[0].write()
	core2.say(0, "sync", "core1")
	first := data[0].counts()
	if said := core2.say(0, "sync", "core1"); !strings.Contains(said, "Result: Success") {
		t.Errorf("sync said:\n%s", said)
	}
	core1.die()
	core2.await(ha.Active)
	stop()
	lost, served := data[0].counts(), data[1].counts()
	for i, kind := range []string{"postgres", "mariadb", "sqlite"} {
		if served[i][0] != served[i][1] {
			t.Errorf("%s: %d devices and %d entries of the log, which are of different moments", kind, served[i][0], served[i][1])
		}
		// What the last sync saw was written before it ended, and after it began.
		if served[i][0] < first[i][0] || served[i][0] > lost[i][0] {
			t.Errorf("%s: %d devices after the failover; there were %d before the last sync and %d at the end", kind, served[i][0], first[i][0], lost[i][0])
		}
	}
	t.Logf("devices before the last sync %v, at the death of core1 %v, after the failover %v", first, lost, served)

	// Served by core2, under load, and then back by a person, with nothing lost.
	stop = data[1].write()
	core1.start()
	core1.awaits("superseded", func(d nodeapi.Status) bool { return d.Phase == ha.OutSuperseded })
	core1.say(0, "mode", "secondary")
	core1.await(ha.Standby)
	core1.say(0, "sync", "core2", "--accept-deletions")
	stop()
	kept := must(core1.client.Archives(t.Context()))
	if len(kept) != 1 || len(kept[0].Datasets) != 3 {
		t.Errorf("kept of what only core1 had: %s", asJSON(kept))
	} else {
		for i, one := range kept[0].Datasets {
			if !slices.ContainsFunc(one.Tables, func(d nodeapi.DivergedTable) bool {
				return strings.HasSuffix(d.Name, "devices") && d.Here == lost[i][0] && d.Then == served[i][0]
			}) {
				t.Errorf("kept of %s: %s", one.Dataset, asJSON(one))
			}
		}
	}
	core1.say(0, "sync", "core2")
	if now, want := data[0].counts(), data[1].counts(); now != want {
		t.Errorf("devices and log on core1 are %v, and %v on core2", now, want)
	}
	if said := core1.say(0, "sync", "core2"); !strings.Contains(said, "no changes") {
		t.Errorf("sync said:\n%s", said)
	}
	core1.say(0, "mode", "primary", "--yes")
	core1.await(ha.Active)
	stop = data[0].write()
	data[0].grows()
	stop()
}
