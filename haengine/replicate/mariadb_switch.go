package replicate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// mariaTries is how often tables are renamed that somebody uses again and again.
const mariaTries = 3

// Switch puts the new tables into force, all in one RENAME.
func (m *MariaDB) Switch(ctx context.Context, c Change) error {
	x, err := m.change(c)
	if err != nil {
		return err
	}
	return m.put(ctx, m.aside(c.Generation), m.before(c.Generation), x.New, x.Old)
}

// Back puts the old ones into force again.
func (m *MariaDB) Back(ctx context.Context, c Change) error {
	x, err := m.change(c)
	if err != nil {
		return err
	}
	return m.put(ctx, m.before(c.Generation), m.aside(c.Generation), x.Old, x.New)
}

// put brings the tables in schema from into force as generation wanted, and those
// in force, of generation other, into schema to.
func (m *MariaDB) put(ctx context.Context, from, to string, wanted, other uint64) error {
	err := m.alone(ctx, func(conn *sql.Conn) error {
		now, _, err := m.inForce(ctx, conn)
		if err != nil {
			return err
		}
		if now != wanted {
			if now != other {
				return fmt.Errorf("generation %d is in force, and neither %d nor %d: somebody has changed schema %s; sync anew", now, wanted, other, m.marks())
			}
			if err := m.move(ctx, conn, from, to, wanted, other); err != nil {
				return errors.Join(err, m.mend(ctx, to, other))
			}
		}
		return m.complete(ctx, conn, from)
	})
	if err != nil {
		return fmt.Errorf("switch database %s: %w", m.Database, err)
	}
	return nil
}

// move takes away what cannot be renamed, and renames all tables at once.
func (m *MariaDB) move(ctx context.Context, conn *sql.Conn, from, to string, wanted, other uint64) error {
	for _, schema := range []string{m.Database, to} {
		if err := exec1(ctx, conn, "CREATE DATABASE IF NOT EXISTS "+ident(schema)); err != nil {
			return err
		}
	}
	collation, err := schemaCollation(ctx, conn, m.Database)
	if err != nil {
		return err
	}
	list, err := objects(ctx, conn, m.Database)
	if err != nil {
		return err
	}
	if err := keepObjects(ctx, conn, to, kept{collation, list}); err != nil {
		return err
	}
	for try := 1; ; try++ {
		if err := m.endSessions(ctx, conn); err != nil {
			return err
		}
		err := dropObjects(ctx, conn, m.Database, list)
		if err == nil {
			err = m.rename(ctx, conn, from, to, wanted, other)
		}
		if !isMaria(err, 1205) || try == mariaTries { // ER_LOCK_WAIT_TIMEOUT
			return err
		}
	}
}

// rename moves the tables and the mark, in one statement.
func (m *MariaDB) rename(ctx context.Context, conn *sql.Conn, from, to string, wanted, other uint64) error {
	var moves []string
	for _, way := range [][2]string{{m.Database, to}, {from, m.Database}} {
		names, err := tables(ctx, conn, way[0])
		if err != nil {
			return err
		}
		for _, name := range names {
			moves = append(moves, ident(way[0])+"."+ident(name)+" TO "+ident(way[1])+"."+ident(name))
		}
	}
	mark := func(generation uint64) string {
		return ident(m.marks()) + "." + ident(markPrefix+strconv.FormatUint(generation, 10))
	}
	return exec1(ctx, conn, "RENAME TABLE "+strings.Join(append(moves, mark(other)+" TO "+mark(wanted)), ", "))
}

// complete makes what belongs to the tables that were brought from a schema, and
// drops that. Done twice it finds nothing to do.
func (m *MariaDB) complete(ctx context.Context, conn *sql.Conn, from string) error {
	k, found, err := keptObjects(ctx, conn, from)
	if err != nil {
		return err
	}
	if found {
		if err := makeObjects(ctx, conn, m.Database, k.Collation, k.Objects); err != nil {
			return err
		}
	}
	left, err := tables(ctx, conn, from)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("schema %s holds %d tables after its generation was put into force: somebody has made them; drop or move them", from, len(left))
	}
	return exec1(ctx, conn, "DROP DATABASE IF EXISTS "+ident(from))
}

// mend makes again what was taken away for a switch that failed, in a session of
// its own, for the one before may have been cut.
func (m *MariaDB) mend(ctx context.Context, to string, other uint64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mariaWait)
	defer cancel()
	err := m.with(ctx, func(conn *sql.Conn) error {
		now, _, err := m.inForce(ctx, conn)
		if err != nil || now != other {
			return err
		}
		k, found, err := keptObjects(ctx, conn, to)
		if err != nil || !found {
			return err
		}
		there, err := objects(ctx, conn, m.Database)
		if err != nil {
			return err
		}
		missing := slices.DeleteFunc(k.Objects, func(o object) bool {
			return slices.ContainsFunc(there, func(other object) bool { return o.Kind == other.Kind && o.Name == other.Name })
		})
		return makeObjects(ctx, conn, m.Database, k.Collation, missing)
	})
	if err != nil {
		return fmt.Errorf("and its triggers and views, kept in %s.%s, are not back: %w", to, objectTable, err)
	}
	return nil
}

// endSessions ends all sessions that use the database, and waits until they are
// gone.
func (m *MariaDB) endSessions(ctx context.Context, conn *sql.Conn) error {
	for until := time.Now().Add(m.patience); ; {
		rows, err := conn.QueryContext(ctx, "SELECT ID, USER FROM information_schema.PROCESSLIST WHERE DB = ? AND ID <> CONNECTION_ID()", m.Database)
		if err != nil {
			return err
		}
		who := map[int64]string{}
		for rows.Next() {
			var id int64
			var user string
			if err := rows.Scan(&id, &user); err != nil {
				return errors.Join(err, rows.Close())
			}
			who[id] = user
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(who) == 0 {
			return err
		}
		for id, user := range who {
			if err := exec1(ctx, conn, "KILL HARD CONNECTION "+strconv.FormatInt(id, 10)); err != nil && !isMaria(err, 1094) { // ER_NO_SUCH_THREAD
				return fmt.Errorf("end session %d of %s: %w", id, user, err)
			}
			if time.Now().After(until) {
				return fmt.Errorf("%d sessions do not leave although they were ended, among them %d of %s; look what holds them", len(who), id, user)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Drop drops the schema that holds the side which is not in force.
func (m *MariaDB) Drop(ctx context.Context, c Change, side Side) error {
	x := mariaChange{New: c.Generation}
	if len(c.Data) > 0 {
		var err error
		if x, err = m.change(c); err != nil {
			return err
		}
	}
	schema, generation := m.before(c.Generation), x.Old
	if side == New || len(c.Data) == 0 {
		schema, generation = m.aside(c.Generation), x.New
	}
	err := m.alone(ctx, func(conn *sql.Conn) error {
		now, found, err := m.inForce(ctx, conn)
		if err != nil || found && now == generation {
			return err
		}
		return exec1(ctx, conn, "DROP DATABASE IF EXISTS "+ident(schema))
	})
	if err != nil {
		return fmt.Errorf("drop schema %s: %w", schema, err)
	}
	return nil
}

func isMaria(err error, number uint16) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && e.Number == number
}
