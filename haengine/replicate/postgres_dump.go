package replicate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// dumpDir is the folder of the dump in what is offered.
const dumpDir = "dump"

// Offer dumps the database from a snapshot, and counts its rows in the same one
// meanwhile.
func (p *Postgres) Offer(ctx context.Context, spool string) (Offer, error) {
	o := Offer{Tree: spool}
	err := p.with(ctx, p.Database, func(conn *pgx.Conn) error {
		server, err := askServer(ctx, conn)
		if err != nil {
			return err
		}
		o.Server = server.said
		snapshot, err := exportSnapshot(ctx, conn)
		if err != nil {
			return fmt.Errorf("take a snapshot: %w", err)
		}
		facts, err := readPGFacts(ctx, conn, server)
		if err != nil {
			return err
		}
		if err := Room(spool, facts.Bytes); err != nil {
			return err
		}
		if err := writeFacts(spool, facts); err != nil {
			return err
		}
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		dumped := make(chan error, 1)
		go func() {
			err := p.dump(ctx, server, snapshot, filepath.Join(spool, dumpDir))
			if err != nil {
				cancel(err)
			}
			dumped <- err
		}()
		o.Counts, err = countPG(ctx, conn)
		if err != nil {
			cancel(err)
		}
		if failed := <-dumped; err == nil || context.Cause(ctx) == failed {
			err = failed
		}
		return err
	})
	if err == nil {
		o.Digest, err = digestDump(spool)
	}
	return o, err
}

// OfferOwn is Offer, if there is such a database.
func (p *Postgres) OfferOwn(ctx context.Context, spool string) (o Offer, some bool, err error) {
	err = p.with(ctx, pgMaintenance, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", p.Database).Scan(&some)
	})
	if err == nil && some {
		o, err = p.Offer(ctx, spool)
	}
	return o, some, err
}

// exportSnapshot begins a transaction whose snapshot pg_dump takes over.
func exportSnapshot(ctx context.Context, conn *pgx.Conn) (id string, err error) {
	if _, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"); err != nil {
		return "", err
	}
	return id, conn.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&id)
}

// dump runs pg_dump. It does not compress, so that a changed row changes little
// of what travels.
func (p *Postgres) dump(ctx context.Context, s pgServer, snapshot, to string) error {
	env, done, err := p.environment()
	if err != nil {
		return err
	}
	defer done()
	return program{
		line: []string{
			p.tool("pg_dump", s), "--format=directory", "--jobs=" + strconv.Itoa(p.Jobs), "--compress=0", "--snapshot=" + snapshot,
			"--lock-wait-timeout=" + strconv.FormatInt(pgLockWait.Milliseconds(), 10), "--no-sync", "--no-password", "--no-subscriptions", "--file=" + to,
		},
		env: env, roomIn: filepath.Dir(to),
	}.run(ctx)
}

// digestDump gives a name to what is offered, that is the same whenever nothing
// has changed, and gives every file a time that belongs to its content: so rsync
// sees by a glance at size and time which of them are the same.
func digestDump(spool string) (string, error) {
	dump := filepath.Join(spool, dumpDir)
	if err := timeless(filepath.Join(dump, "toc.dat")); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dump)
	if err != nil {
		return "", err
	}
	paths := []string{filepath.Join(spool, factsFile)}
	for _, e := range entries {
		paths = append(paths, filepath.Join(dump, e.Name()))
	}
	all := sha256.New()
	for _, path := range paths {
		sum, err := digestFile(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%s %x\n", filepath.Base(path), sum)
		if err := stamp(path, sum); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

func digestFile(path string) ([]byte, error) {
	f, err := os.Open(path) // #nosec G304 -- our own
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return sum.Sum(nil), err
}

// timeless replaces the time of the dump in its table of contents, the only
// thing that differs between two dumps of the same (PostgreSQL,
// pg_backup_archiver.c, WriteHead: magic, version, sizes of a number and of an
// offset, format, compression, time). A version that is not known is left as it
// is; then no dump is like another.
func timeless(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // #nosec G304 -- our own
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 11)
	if _, err := io.ReadFull(f, head); err != nil {
		return fmt.Errorf("the dump has no whole table of contents: %w", err)
	}
	number := int64(head[8])
	at := int64(len(head)) // of the time
	switch {
	case string(head[:5]) != "PGDMP" || head[5] != 1 || number == 0 || number > 8:
		return nil
	case head[6] == 14: // PostgreSQL 14 and 15: the compression is a number
		at += 1 + number
	case head[6] == 15, head[6] == 16: // since 16 a byte
		at++
	default:
		return nil
	}
	then := []byte{0, 0, 0, 1, 0, 100, 0} // a struct tm: the first moment of 2000
	fields := make([]byte, 0, len(then)*9)
	for _, value := range then {
		field := make([]byte, 1+number) // sign, and the number from its lowest byte
		field[1] = value
		fields = append(fields, field...)
	}
	if _, err := f.WriteAt(fields, at); err != nil {
		return err
	}
	return f.Close()
}

// stamp gives a file a time that only its content decides: some nanosecond of
// the years 2001 to 2009.
func stamp(path string, sum []byte) error {
	const span = uint64(8 * 365 * 24 * time.Hour)
	at := time.Unix(1_000_000_000, int64(binary.BigEndian.Uint64(sum)%span)) // #nosec G115 -- below span
	return os.Chtimes(path, at, at)
}
