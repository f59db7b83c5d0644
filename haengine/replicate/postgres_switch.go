package replicate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// pgLeave is how long sessions that were ended may take to be gone.
const pgLeave = 10 * time.Second

// Switch puts the new database into force: both are renamed in one transaction.
func (p *Postgres) Switch(ctx context.Context, c Change) error {
	x, err := p.change(c)
	if err != nil {
		return err
	}
	return p.put(ctx, p.aside(c.Generation), x.New, x.Old)
}

// Back puts the old one into force again.
func (p *Postgres) Back(ctx context.Context, c Change) error {
	x, err := p.change(c)
	if err != nil {
		return err
	}
	return p.put(ctx, p.aside(c.Generation), x.Old, x.New)
}

// put lets the database with the number wanted have the name that clients use,
// and the other one the name aside. Number 0 is none.
func (p *Postgres) put(ctx context.Context, aside string, wanted, other uint32) error {
	err := p.alone(ctx, func(conn *pgx.Conn) error {
		now, err := databaseID(ctx, conn, p.Database)
		if err != nil {
			return err
		}
		there, err := databaseID(ctx, conn, aside)
		switch {
		case err != nil:
			return err
		case now == wanted:
			return nil
		case now != other || there != wanted:
			return fmt.Errorf("database %s or %s is not the one that the sync has left there: somebody has renamed or made it; put it back, or drop %s and sync anew", p.Database, aside, aside)
		}
		return p.exchange(ctx, conn, aside, now, there)
	})
	if err != nil {
		return fmt.Errorf("switch database %s: %w", p.Database, err)
	}
	return nil
}

// exchange closes both databases, ends who is in them, and renames them. When it
// fails the one in force is open again.
func (p *Postgres) exchange(ctx context.Context, conn *pgx.Conn, aside string, now, there uint32) (err error) {
	defer func() {
		if err != nil && now != 0 {
			err = errors.Join(err, p.reopen(ctx))
		}
	}()
	for _, one := range []struct {
		name string
		id   uint32
	}{{aside, there}, {p.Database, now}} {
		if one.id == 0 {
			continue
		}
		if _, err := conn.Exec(ctx, "ALTER DATABASE "+pgName(one.name)+" ALLOW_CONNECTIONS false"); err != nil {
			return err
		}
		if err := endSessions(ctx, conn, one.id); err != nil {
			return err
		}
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, s := range p.renames(aside, now, there) {
			if _, err := tx.Exec(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// renames gives the statements that exchange two names. Only the database in
// force can be connected to.
func (p *Postgres) renames(aside string, now, there uint32) []string {
	live, other, between := pgName(p.Database), pgName(aside), pgName(aside+"_")
	var list []string
	if now != 0 {
		list = append(list, "ALTER DATABASE "+live+" RENAME TO "+between)
	}
	if there != 0 {
		list = append(list, "ALTER DATABASE "+other+" RENAME TO "+live, "ALTER DATABASE "+live+" ALLOW_CONNECTIONS true")
	}
	if now != 0 {
		list = append(list, "ALTER DATABASE "+between+" RENAME TO "+other)
	}
	return list
}

// reopen lets clients into the database in force again, on a connection of its
// own, for the one before may have been cut.
func (p *Postgres) reopen(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pgConnectWait)
	defer cancel()
	err := p.with(ctx, pgMaintenance, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "ALTER DATABASE "+pgName(p.Database)+" ALLOW_CONNECTIONS true")
		return err
	})
	if err != nil {
		return fmt.Errorf("and it stays closed; open it with ALTER DATABASE %s ALLOW_CONNECTIONS true: %w", pgName(p.Database), err)
	}
	return nil
}

// endSessions ends all sessions in a database that lets nobody in any more, and
// waits until they are gone.
func endSessions(ctx context.Context, conn *pgx.Conn, id uint32) error {
	for until := time.Now().Add(pgLeave); ; {
		rows, err := conn.Query(ctx, `SELECT pid, format('process %s, %s%s', pid, COALESCE(usename, backend_type), ' in ' || NULLIF(application_name, '')),
			backend_type = 'autovacuum worker' FROM pg_stat_activity WHERE datid = $1 AND pid <> pg_backend_pid() ORDER BY pid`, id)
		if err != nil {
			return err
		}
		type session struct {
			PID    int32
			Who    string
			Vacuum bool // a rename ends it by itself
		}
		sessions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[session])
		if err != nil {
			return err
		}
		var stay []string
		for _, s := range sessions {
			if _, err := conn.Exec(ctx, "SELECT pg_terminate_backend($1::int)", s.PID); err != nil && !s.Vacuum {
				return fmt.Errorf("end %s: %w", s.Who, err)
			}
			if !s.Vacuum {
				stay = append(stay, s.Who)
			}
		}
		switch {
		case len(stay) == 0:
			return nil
		case time.Now().After(until):
			return fmt.Errorf("%d sessions do not leave although they were ended: %.300s; look what holds them, and end them", len(stay), strings.Join(stay, "; "))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Drop drops the database that is not in force.
func (p *Postgres) Drop(ctx context.Context, c Change, side Side) error {
	aside := p.aside(c.Generation)
	want := uint32(0) // any
	if len(c.Data) > 0 {
		x, err := p.change(c)
		if err != nil {
			return err
		}
		if want = x.Old; side == New {
			want = x.New
		}
		if want == 0 {
			return nil // there was none
		}
	}
	err := p.alone(ctx, func(conn *pgx.Conn) error {
		there, err := databaseID(ctx, conn, aside)
		if err != nil || there == 0 || want != 0 && there != want {
			return err
		}
		_, err = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgName(aside)+" WITH (FORCE)")
		return err
	})
	if err != nil {
		return fmt.Errorf("drop database %s: %w", aside, err)
	}
	return nil
}
