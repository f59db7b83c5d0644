package replicate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// SQLite is the dataset of a folder that holds SQLite databases and nothing
// else. The folder is exchanged whole: a database that is put next to the WAL of
// the one before reads that WAL, and is silently wrong.
type SQLite struct {
	*Files    // switches the folder
	databases []string
}

// NewSQLite gives the dataset of the databases of these names in the folder at
// an absolute path.
func NewSQLite(folder string, databases ...string) (*SQLite, error) {
	if len(databases) == 0 {
		return nil, fmt.Errorf("no database of %s is named", folder)
	}
	for i, name := range databases {
		switch {
		case name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") || name == factsFile:
			return nil, fmt.Errorf("database %.80q must be the name of a file in %s", name, folder)
		case slices.Contains(databases[:i], name), slices.ContainsFunc(databases, func(other string) bool { return beside(other, name) }):
			return nil, fmt.Errorf("database %.80q is named twice, or belongs to another one", name)
		}
	}
	return &SQLite{NewFiles(folder), slices.Sorted(slices.Values(databases))}, nil
}

// factsFile stands in the dump, beside the databases.
const factsFile = "facts.json"

const (
	factsMost = 4 << 20 // bounds it
	spoolMode = fs.FileMode(0o640)

	folderMode = fs.ModePerm | fs.ModeSetgid | fs.ModeSticky
)

// beside says whether a file is one that SQLite keeps beside a database.
func beside(database, name string) bool {
	return name == database+"-wal" || name == database+"-shm" || name == database+"-journal"
}

// alone gives an error if the folder has something that an exchange would take
// away although it is not copied.
func (s *SQLite) alone(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		known := slices.Contains(s.databases, name) ||
			slices.ContainsFunc(s.databases, func(database string) bool { return beside(database, name) })
		if !known && !strings.HasPrefix(name, ".understudy") {
			return fmt.Errorf("%s holds %.80q, which is none of its databases %s: the folder is exchanged whole, so let nothing else live there, or name it", folder, name, strings.Join(s.databases, ", "))
		}
	}
	return nil
}

// Offer copies the databases as they are while their application writes, and
// checks the copies, so that a damaged database does not travel.
func (s *SQLite) Offer(ctx context.Context, spool string) (Offer, error) {
	return s.offer(ctx, spool, s.databases)
}

// OfferOwn is Offer of those databases that are there.
func (s *SQLite) OfferOwn(ctx context.Context, spool string) (o Offer, some bool, err error) {
	var there []string
	for _, name := range s.databases {
		info, err := os.Lstat(filepath.Join(s.tree, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return o, false, err
		case info.Size() > 0:
			there = append(there, name)
		}
	}
	if len(there) == 0 {
		return o, false, nil
	}
	o, err = s.offer(ctx, spool, there)
	return o, true, err
}

func (s *SQLite) offer(ctx context.Context, spool string, databases []string) (Offer, error) {
	if err := s.alone(s.tree); err != nil {
		return Offer{}, err
	}
	o := Offer{Tree: spool, Server: "SQLite", Counts: map[string]int64{}}
	facts := map[string]sqliteFacts{}
	digest := sha256.New()
	for _, name := range databases {
		from, to := filepath.Join(s.tree, name), filepath.Join(spool, name)
		info, err := os.Lstat(from)
		switch {
		case err != nil:
			return Offer{}, fmt.Errorf("database %s is missing: %w", name, err)
		case !info.Mode().IsRegular():
			return Offer{}, fmt.Errorf("%s is not a file; a link would lead out of the folder that is exchanged", from)
		case info.Size() == 0:
			return Offer{}, fmt.Errorf("database %s is empty: if that is right, let its application make its tables first", from)
		}
		if err := Room(spool, info.Size()); err != nil {
			return Offer{}, err
		}
		if _, err := copySQLite(ctx, from, to); err != nil {
			return Offer{}, fmt.Errorf("copy database %s: %w", name, err)
		}
		if facts[name], err = readSQLite(ctx, to); err != nil {
			return Offer{}, fmt.Errorf("the copy of database %s is damaged, so the database is: %w", from, err)
		}
		if err := errors.Join(os.Chmod(to, spoolMode), addCounts(o.Counts, name, facts[name]), digestInto(digest, to)); err != nil {
			return Offer{}, err
		}
	}
	o.Digest = hex.EncodeToString(digest.Sum(nil))
	return o, writeFacts(spool, facts)
}

func addCounts(all map[string]int64, database string, f sqliteFacts) error {
	for table, n := range f.Counts {
		all[database+"/"+table] = n
	}
	if len(all) > mostTables {
		return fmt.Errorf("there are more than %d tables", mostTables)
	}
	return nil
}

// digestInto adds the name and the content of a file to a digest.
func digestInto(to io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	content := sha256.New()
	if _, err := io.Copy(content, f); err != nil {
		return err
	}
	_, err = fmt.Fprintf(to, "%q %x\n", filepath.Base(path), content.Sum(nil))
	return err
}

// Prepare makes the folder that Switch puts into force, and checks every
// database in it.
func (s *SQLite) Prepare(ctx context.Context, staged Staged) (Prepared, error) {
	facts, err := s.facts(staged.Dir)
	if err != nil {
		return Prepared{}, err
	}
	slot, err := s.room(staged)
	if err != nil {
		return Prepared{}, err
	}
	counts := map[string]int64{}
	violations := int64(0)
	for _, name := range s.databases {
		to := filepath.Join(slot, name)
		if err := copyFile(ctx, filepath.Join(staged.Dir, name), to); err != nil {
			return Prepared{}, fmt.Errorf("copy database %s: %w", name, err)
		}
		got, err := readSQLite(ctx, to)
		if err != nil {
			return Prepared{}, fmt.Errorf("database %s has not arrived whole: %w", name, err)
		}
		if want := facts[name]; !same(got, want) {
			return Prepared{}, fmt.Errorf("database %s has not arrived whole: it has %+v, and %+v at its source", name, brief(got), brief(want))
		}
		if err := s.own(name, to); err != nil {
			return Prepared{}, err
		}
		if err := addCounts(counts, name, got); err != nil {
			return Prepared{}, err
		}
		violations += max(0, got.Violations)
	}
	if err := statefile.SyncDir(slot); err != nil {
		return Prepared{}, err
	}
	staged.Dir = slot
	p, err := s.Files.Prepare(ctx, staged)
	p.Counts = counts
	if violations > 0 {
		p.Detail = fmt.Sprintf("%d rows break a foreign key, as at the source", violations)
	}
	return p, err
}

// facts reads what the source has told, and refuses a tree that holds more than
// the databases: a WAL that comes along would be applied to them.
func (s *SQLite) facts(dir string) (map[string]sqliteFacts, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.Type().IsRegular() {
			return nil, fmt.Errorf("the source sent %.80q, which is no file", e.Name())
		}
		if e.Name() != factsFile {
			names = append(names, e.Name())
		}
	}
	if !slices.Equal(names, s.databases) {
		return nil, fmt.Errorf("the source sent the databases %.200q, and %.200q are named here: name the same on both nodes", names, s.databases)
	}
	facts := map[string]sqliteFacts{}
	return facts, readFacts(dir, &facts)
}

// room makes the folder for a generation, after a look at whether it fits and
// whether it could be put into force.
func (s *SQLite) room(staged Staged) (string, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, s.tree, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO, &st)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Mkdir(s.tree, 0o750); err != nil {
			return "", fmt.Errorf("make the folder of the databases: %w", err)
		}
	case err != nil:
		return "", err
	case st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return "", fmt.Errorf("%s is a mount point, which cannot be exchanged: put the databases into a folder below it", s.tree)
	}
	if err := s.alone(s.tree); err != nil {
		return "", err
	}
	var bytes int64
	for _, name := range s.databases {
		info, err := os.Lstat(filepath.Join(staged.Dir, name))
		if err != nil {
			return "", err
		}
		bytes += info.Size()
	}
	if err := Room(filepath.Dir(s.tree), bytes); err != nil {
		return "", err
	}
	slot := s.slot(staged.Generation)
	if err := os.MkdirAll(filepath.Dir(slot), 0o700); err != nil {
		return "", err
	}
	if err := os.Mkdir(slot, 0o700); err != nil {
		return "", err
	}
	now, err := os.Lstat(s.tree)
	if err != nil {
		return "", err
	}
	return slot, like(slot, now, now.Mode()&folderMode)
}

// own gives a database the owner and mode of the one that it will replace, or
// the owner of the folder if there is none.
func (s *SQLite) own(name, path string) error {
	info, err := os.Lstat(filepath.Join(s.tree, name))
	mode := spoolMode
	switch {
	case err == nil:
		mode = info.Mode().Perm()
	case errors.Is(err, fs.ErrNotExist):
		info, err = os.Lstat(s.tree)
	}
	if err != nil {
		return err
	}
	return like(path, info, mode)
}

// like gives a file the owner of another, and a mode.
func like(path string, other fs.FileInfo, mode fs.FileMode) error {
	is := other.Sys().(*syscall.Stat_t)
	now, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if has := now.Sys().(*syscall.Stat_t); has.Uid != is.Uid || has.Gid != is.Gid {
		if err := os.Lchown(path, int(is.Uid), int(is.Gid)); err != nil {
			return fmt.Errorf("%s has to belong to user %d and group %d, as the one before: let the engine run as that user, or as root: %w", path, is.Uid, is.Gid, err)
		}
	}
	return os.Chmod(path, mode)
}

// same says whether a copy has the facts of its source.
func same(a, b sqliteFacts) bool {
	return a.UserVersion == b.UserVersion && a.ApplicationID == b.ApplicationID && a.Violations == b.Violations && maps.Equal(a.Counts, b.Counts)
}

// brief gives facts as an error may show them.
func brief(f sqliteFacts) string {
	rows := int64(0)
	for _, n := range f.Counts {
		rows += n
	}
	return fmt.Sprintf("%d rows in %d tables, user_version %d, application_id %d, %d broken foreign keys", rows, len(f.Counts), f.UserVersion, f.ApplicationID, f.Violations)
}

// copyFile copies a file durably.
func copyFile(ctx context.Context, from, to string) error {
	in, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	var head [16]byte
	if n, err := in.ReadAt(head[:], 0); err != nil && n == 0 || !bytes.Equal(head[:], []byte("SQLite format 3\x00")) {
		return errors.New("it is no SQLite database")
	}
	for {
		// CopyN lets the kernel do it, on some file systems without copying.
		_, err := io.CopyN(out, in, 64<<20)
		switch {
		case errors.Is(err, io.EOF):
			return errors.Join(out.Sync(), out.Close())
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}
