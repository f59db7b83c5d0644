package replicate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// System is the built-in dataset of what both servers need besides the
// application's own data: the portal's local users, and the TLS certificates that
// are named (EPMM guide, what is replicated: of System Manager only device
// certificates, server SSL certificates and local users). It has no way to name
// anything else: settings of High Availability, host name, network, keys of ssh
// and of trust, sessions, setup codes and tokens belong to a node.
type System struct {
	Accounts Accounts
	Files    []string      // certificates and their keys: absolute paths, the same on both nodes
	Reload   []string      // run when other ones are in force; empty: nothing
	Dir      string        // for what is prepared and what was before
	Log      *slog.Logger  // of a Reload that fails: it keeps nothing from being in force
	Timeout  time.Duration // of Reload; 0: 30 s
}

// Accounts are the portal's local users, with the hashes of their passwords. Its
// methods may be called by several goroutines.
type Accounts interface {
	// Export gives the users as text, the same whenever they are; 0 of them: none.
	Export() (text []byte, users int, err error)
	// Check says how many users a text has, and what is wrong with it.
	Check(text []byte) (users int, err error)
	// Import puts the users of a text in the place of those that there are, at once.
	Import(text []byte) error
}

const (
	accountsFile = "users.json"
	mostAccounts = 4 << 20
	mostPEM      = 1 << 20
)

// systemFacts tell what a dump has.
type systemFacts struct {
	Files []string `json:"files"`
	Users bool     `json:"users"` // false: the source has none, and those of the sink stay
}

func pemFile(i int) string { return "certificate-" + strconv.Itoa(i) }

// Offer copies users and certificates into the spool.
func (s *System) Offer(_ context.Context, spool string) (Offer, error) {
	text, users, err := s.Accounts.Export()
	if err != nil {
		return Offer{}, err
	}
	o := Offer{Tree: spool, Counts: map[string]int64{"users": int64(users), "certificates": int64(len(s.Files))}}
	if users > 0 {
		if err := os.WriteFile(filepath.Join(spool, accountsFile), text, spoolMode); err != nil { // #nosec G306 -- the other node fetches it
			return o, err
		}
	}
	for i, path := range s.Files {
		text, err := readPEM(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(spool, pemFile(i)), text, spoolMode) // #nosec G306
		}
		if err != nil {
			return o, err
		}
	}
	if err := writeFacts(spool, systemFacts{append([]string{}, s.Files...), users > 0}); err != nil {
		return o, err
	}
	o.Digest, err = s.digest(users > 0)
	return o, err
}

// readPEM reads a certificate or a key, by the link that leads to it if need be.
func readPEM(path string) ([]byte, error) {
	at, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", path, err)
	}
	text, err := statefile.Read(at, mostPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", path, err)
	}
	return text, isPEM(path, text)
}

func isPEM(path string, text []byte) error {
	if block, _ := pem.Decode(text); block == nil {
		return fmt.Errorf("%s is no certificate or key: it has to be in PEM format", path)
	}
	return nil
}

// digest names what is in force here. Without users it names the certificates
// only, and says so.
func (s *System) digest(users bool) (string, error) {
	h := sha256.New()
	if users {
		text, _, err := s.Accounts.Export()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%d\n%s", len(text), text)
	}
	for _, path := range s.Files {
		text, err := readPEM(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q %x\n", path, sha256.Sum256(text))
	}
	return fmt.Sprintf("%t.%x", users, h.Sum(nil)), nil
}

// Unchanged says whether what is in force here is still what an offer had: both
// users and certificates may have been changed on this node.
func (s *System) Unchanged(digest string) bool {
	users, _, _ := strings.Cut(digest, ".")
	now, err := s.digest(users == "true")
	return err == nil && now == digest
}

// slot is where one side of a generation is kept.
func (s *System) slot(generation uint64, side Side) string {
	return filepath.Join(s.Dir, strconv.FormatUint(generation, 10), map[Side]string{Old: "old", New: "new"}[side])
}

// Prepare keeps what arrived, if this node has the same certificates in its
// configuration, and all of it can be read.
func (s *System) Prepare(_ context.Context, staged Staged) (Prepared, error) {
	var f systemFacts
	if err := readFacts(staged.Dir, &f); err != nil {
		return Prepared{}, err
	}
	if !slices.Equal(f.Files, s.Files) {
		return Prepared{}, fmt.Errorf("%s has the certificates %.300q and this node %.300q: name the same in both node.yaml, in the same order", staged.Source, f.Files, s.Files)
	}
	p := Prepared{Data: json.RawMessage(`{}`), Counts: map[string]int64{"users": 0, "certificates": int64(len(f.Files))}}
	to := s.slot(staged.Generation, New)
	if err := errors.Join(os.RemoveAll(to), os.MkdirAll(to, 0o700)); err != nil {
		return p, err
	}
	if f.Users {
		text, err := statefile.Read(filepath.Join(staged.Dir, accountsFile), mostAccounts)
		if err != nil {
			return p, err
		}
		users, err := s.Accounts.Check(text)
		if err != nil {
			return p, fmt.Errorf("the users of %s: %w", staged.Source, err)
		}
		p.Counts["users"] = int64(users)
		if err := statefile.Write(filepath.Join(to, accountsFile), text, 0o600); err != nil {
			return p, err
		}
	}
	for i, path := range s.Files {
		text, err := statefile.Read(filepath.Join(staged.Dir, pemFile(i)), mostPEM)
		if err == nil {
			err = isPEM(path, text)
		}
		if err == nil {
			err = statefile.Write(filepath.Join(to, pemFile(i)), text, 0o600)
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// Switch puts users and certificates of a generation into force.
func (s *System) Switch(ctx context.Context, c Change) error {
	if err := s.remember(c.Generation); err != nil {
		return err
	}
	return s.put(ctx, s.slot(c.Generation, New))
}

// Back puts those into force that were before it.
func (s *System) Back(ctx context.Context, c Change) error {
	return s.put(ctx, s.slot(c.Generation, Old))
}

// remember keeps what is in force, once, before anything of it is replaced.
func (s *System) remember(generation uint64) error {
	to := s.slot(generation, Old)
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	next := to + ".next"
	if err := errors.Join(os.RemoveAll(next), os.MkdirAll(next, 0o700)); err != nil {
		return err
	}
	text, users, err := s.Accounts.Export()
	if err == nil && users > 0 {
		err = statefile.Write(filepath.Join(next, accountsFile), text, 0o600)
	}
	if err != nil {
		return err
	}
	for i, path := range s.Files {
		text, err := os.ReadFile(path) // #nosec G304 -- named by the operator
		if err == nil {
			err = statefile.Write(filepath.Join(next, pemFile(i)), text, 0o600)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return errors.Join(os.Rename(next, to), statefile.SyncDir(filepath.Dir(to)))
}

// put puts what is in a slot into force. A certificate that is not in it was not
// there; users that are not stay.
func (s *System) put(ctx context.Context, from string) error {
	changed := false
	for i, path := range s.Files {
		text, err := statefile.Read(filepath.Join(from, pemFile(i)), mostPEM)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = os.Remove(path)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		case err == nil:
			var done bool
			done, err = replaceFile(path, text)
			changed = changed || done
		}
		if err != nil {
			return err
		}
	}
	text, err := statefile.Read(filepath.Join(from, accountsFile), mostAccounts)
	if err == nil {
		err = s.Accounts.Import(text)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if changed {
		s.reload(ctx)
	}
	return nil
}

// replaceFile puts a file in the place of another, with its owner and mode; done
// is false if it is the same. It follows a link, as a renewal does.
func replaceFile(path string, text []byte) (done bool, err error) {
	if at, err := filepath.EvalSymlinks(path); err == nil {
		path = at
	}
	was, err := os.Stat(path)
	if err == nil {
		if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, text) { // #nosec G304 -- named by the operator
			return false, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	next := path + ".understudy"
	if err := statefile.Write(next, text, 0o600); err != nil {
		return false, err
	}
	if was != nil {
		if err := like(next, was, was.Mode().Perm()); err != nil {
			return false, errors.Join(err, os.Remove(next))
		}
	}
	return true, errors.Join(os.Rename(next, path), statefile.SyncDir(filepath.Dir(path)))
}

// reload has the certificates' users read them again.
func (s *System) reload(ctx context.Context) {
	if len(s.Reload) == 0 {
		return
	}
	most := s.Timeout
	if most == 0 {
		most = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if err := (program{line: s.Reload}).run(ctx); err != nil {
		s.Log.Error("certificates are replaced, and what uses them has not been told", "error", err)
	}
}

// Drop frees one side.
func (s *System) Drop(_ context.Context, c Change, side Side) error {
	err := os.RemoveAll(s.slot(c.Generation, side))
	if len(c.Data) == 0 {
		err = errors.Join(err, os.RemoveAll(s.slot(c.Generation, Old)+".next"))
	}
	_ = os.Remove(filepath.Dir(s.slot(c.Generation, side))) // if nothing else is in it
	return err
}
