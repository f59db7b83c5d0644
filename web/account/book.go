package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// Config is what a Book needs.
type Config struct {
	Dir  string      // where its files are; made if it is not there
	Mode fs.FileMode // of its files; 0: 0600
	Log  *slog.Logger
	Now  func() time.Time // nil: time.Now
}

// Book is who may use one console or portal.
type Book struct {
	dir     string
	mode    fs.FileMode
	log     *slog.Logger
	now     func() time.Time
	hashing chan struct{} // as many as may hash at a time: each takes 19 MiB

	auditing sync.Mutex // one line of the audit log at a time

	mu       sync.Mutex // guards the fields below
	stored   stored
	stamp    stamp // of the file that stored was read from
	sessions map[[sha256.Size]byte]*Session
	failed   throttle
	setup    [sha256.Size]byte
	until    time.Time // the setup code's end
}

// stored is the file.
type stored struct {
	Version int     `json:"version"`
	ID      string  `json:"id"`
	Users   []User  `json:"users"`
	Tokens  []Token `json:"tokens"`
}

// stamp tells one version of the file from another.
type stamp struct {
	at   time.Time
	size int64
}

const (
	usersFile = "users.json"
	codeFile  = "setup-code"
	auditFile = "audit.log"
	mostUsers = 4 << 20 // bytes of the file
	version   = 1
)

// setupValid is how long a setup code is good.
const setupValid = 24 * time.Hour

// Open opens the Book in c.Dir. code is not empty as long as there is no user:
// whoever gives it to Setup becomes the first one. It is good for a day and for
// one use, and a further Open gives another. The file setup-code has it too, for
// those who may read it, until it was used.
func Open(c Config) (b *Book, code string, err error) {
	noHash() // the first login must not show how long it takes
	b = &Book{
		dir: c.Dir, mode: c.Mode, log: c.Log, now: c.Now, hashing: make(chan struct{}, 2),
		sessions: map[[sha256.Size]byte]*Session{}, failed: throttle{},
	}
	if b.mode == 0 {
		b.mode = 0o600
	}
	if b.now == nil {
		b.now = time.Now
	}
	if err := statefile.MakeDir(b.dir, dirMode(b.mode)); err != nil {
		return nil, "", fmt.Errorf("make the folder of the users: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.read(); err != nil {
		return nil, "", err
	}
	if b.stored.ID == "" {
		if err := b.change(func(*stored) error { return nil }); err != nil {
			return nil, "", err
		}
	}
	if len(b.stored.Users) == 0 {
		code = setupCode()
		b.setup, b.until = sha256.Sum256([]byte(code)), b.now().Add(setupValid)
		if err := statefile.Write(b.path(codeFile), []byte(code+"\n"), 0o600); err != nil {
			return nil, "", fmt.Errorf("keep the setup code: %w", err)
		}
	}
	return b, code, nil
}

// dirMode lets those who may change a file change its folder too.
func dirMode(mode fs.FileMode) fs.FileMode {
	if mode&0o020 != 0 {
		return fs.ModeSetgid | 0o770
	}
	return 0o700
}

// setupCode gives 100 random bits in a form that people can type.
func setupCode() string {
	t := rand.Text()
	return t[0:5] + "-" + t[5:10] + "-" + t[10:15] + "-" + t[15:20]
}

// ID tells this place from others on the same host, so that their cookies do
// not meet.
func (b *Book) ID() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stored.ID
}

// Empty says that there is no user yet.
func (b *Book) Empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refresh()
	return len(b.stored.Users) == 0
}

// Setup makes the first user, an admin.
func (b *Book) Setup(code, name, password, from string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if wait := b.failed.wait("setup", from, now); wait > 0 {
		return &Later{wait}
	}
	sum := sha256.Sum256([]byte(code))
	switch {
	case now.After(b.until):
		return errors.New("there is no setup code any more: restart the process, its log has a new one")
	case subtle.ConstantTimeCompare(sum[:], b.setup[:]) != 1:
		b.failed.failed("setup", from, now)
		return errors.New("that is not the setup code; the log of the process has it, from its last start")
	}
	hashed, err := newUser(name, password)
	if err != nil {
		return err
	}
	err = b.change(func(s *stored) error {
		if len(s.Users) > 0 {
			return errors.New("there is a user already: log in, or ask that person")
		}
		s.Users = append(s.Users, User{Name: name, Role: Admin, Hash: hashed, Made: now.UTC(), Changed: now.UTC()})
		return nil
	})
	if err == nil {
		b.until = time.Time{}
		_ = os.Remove(b.path(codeFile)) // it is worth nothing any more
	}
	return err
}

// refresh reads the file again if another process has changed it. One that
// cannot be read leaves what is known.
func (b *Book) refresh() {
	if info, err := os.Stat(b.path(usersFile)); err == nil && (stamp{info.ModTime(), info.Size()}) == b.stamp {
		return
	}
	if err := b.read(); err != nil {
		b.log.Error("the users cannot be read; those known before stay", "error", err)
	}
}

// read is called with mu held.
func (b *Book) read() error {
	path := b.path(usersFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if b.stored.ID != "" && len(b.stored.Users) > 0 {
			return fmt.Errorf("%s is gone", path)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the users: %w", err)
	}
	text, err := statefile.Read(path, mostUsers)
	if err != nil {
		return fmt.Errorf("read the users: %w", err)
	}
	var s stored
	if err := json.Unmarshal(text, &s); err != nil || s.Version != version {
		return fmt.Errorf("%s is not what this version has written; put a good copy back, or move it away and start anew with a setup code", path)
	}
	b.stored, b.stamp = s, stamp{info.ModTime(), info.Size()}
	return nil
}

// change does something to the file, whole or not at all. It is called with mu
// held.
func (b *Book) change(do func(*stored) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	unlock, err := statefile.Lock(ctx, b.path(usersFile+".lock"), b.mode)
	if err != nil {
		return fmt.Errorf("lock the users: %w", err)
	}
	defer unlock()
	if err := b.read(); err != nil {
		return err
	}
	next := b.stored.clone()
	if err := do(&next); err != nil {
		return err
	}
	next.Version = version
	if next.ID == "" {
		next.ID = rand.Text()[:8]
	}
	text, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return fmt.Errorf("write the users: %w", err)
	}
	if err := statefile.Write(b.path(usersFile), append(text, '\n'), b.mode); err != nil {
		return fmt.Errorf("the users cannot be stored: %w", err)
	}
	b.stored = next
	if info, err := os.Stat(b.path(usersFile)); err == nil {
		b.stamp = stamp{info.ModTime(), info.Size()}
	}
	return nil
}

func (b *Book) path(name string) string { return filepath.Join(b.dir, name) }
