package node

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/haengine/replicate"
	"github.com/understudy-ha/understudy/web/account"
)

// place is one node's part of the dataset system.
type place struct {
	replicate.System
	book *account.Book
	code string
	dir  string
}

const password = "four words that do not fit"

func newPlace(t *testing.T, certificates string) *place {
	t.Helper()
	p := &place{dir: t.TempDir()}
	var err error
	p.book, p.code, err = account.Open(account.Config{Dir: filepath.Join(p.dir, "portal"), Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	p.System = replicate.System{
		Accounts: p.book, Files: []string{filepath.Join(certificates, "app.pem")}, Dir: filepath.Join(p.dir, "system"), Log: slog.New(slog.DiscardHandler),
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newPEM writes another key into a file.
func newPEM(t *testing.T, path string) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	must(t, os.WriteFile(path, text, 0o640)) // #nosec G306 -- a test
	return string(text)
}

// offered makes an offer of a place and gives where it is.
func (p *place) offered(t *testing.T) (replicate.Offer, string) {
	t.Helper()
	dir := t.TempDir()
	o, err := p.Offer(t.Context(), dir)
	must(t, err)
	return o, dir
}

// take puts an offer into force.
func (p *place) take(t *testing.T, generation uint64, o replicate.Offer, dir string) replicate.Change {
	t.Helper()
	got, err := p.Prepare(t.Context(), replicate.Staged{Generation: generation, Dir: dir, Offer: o, Source: "core1"})
	must(t, err)
	if got.Counts["users"] != o.Counts["users"] || got.Counts["certificates"] != o.Counts["certificates"] {
		t.Errorf("got %v of %v", got.Counts, o.Counts)
	}
	c := replicate.Change{Dataset: "system", Generation: generation, Data: got.Data}
	must(t, p.Switch(t.Context(), c))
	must(t, p.Switch(t.Context(), c)) // once more, as after a crash
	return c
}

func users(b *account.Book) (names []string) {
	for _, u := range b.Users() {
		names = append(names, u.Name)
	}
	return names
}

// everything gives all that a folder holds, in one text.
func everything(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path) // #nosec G304 -- a test's own
		all.WriteString(path + "\n")
		all.Write(text)
		return err
	}))
	return all.String()
}

func TestUsersAndCertificatesTravelAndNothingElseOfANode(t *testing.T) {
	t.Parallel()
	certificates := t.TempDir()
	core1, core2 := newPlace(t, certificates), newPlace(t, certificates)
	cert := core1.Files[0]
	was := newPEM(t, cert)
	must(t, core2.book.Setup(core2.code, "carl", password, ""))
	must(t, core1.book.Setup(core1.code, "anna", password, ""))
	must(t, core1.book.AddUser("ben", password, account.Viewer))
	secret, err := core1.book.AddToken("robot", account.Admin, core1.book.Users()[0].Made.AddDate(1, 0, 0))
	must(t, err)
	session, err := core1.book.Login("anna", password, "", "")
	must(t, err)
	carl, err := core2.book.Login("carl", password, "", "")
	must(t, err)
	id := core2.book.ID()

	o, dir := core1.offered(t)
	sent := everything(t, dir)
	for what, text := range map[string]string{"the token": secret, "the token's name": "robot", "a session": session, "the id": core1.book.ID(), "a setup code": core1.code} {
		if strings.Contains(sent, text) {
			t.Errorf("%s travels", what)
		}
	}
	newPEM(t, cert) // as if core2 had another one
	c := core2.take(t, 1, o, dir)
	if got := users(core2.book); !slices.Equal(got, []string{"anna", "ben"}) || core2.book.ID() != id || len(core2.book.Tokens()) != 0 {
		t.Errorf("core2 has the users %v, the id %q and the tokens %v", got, core2.book.ID(), core2.book.Tokens())
	}
	if _, ok := core2.book.Session(carl, false); ok {
		t.Error("the session of a user who is gone lives on")
	}
	if _, ok := core2.book.Session(session, false); ok {
		t.Error("a session of core1 counts on core2")
	}
	if _, err := core2.book.Login("ben", password, "", ""); err != nil {
		t.Errorf("ben cannot log in on core2: %v", err)
	}
	info, err := os.Stat(cert)
	must(t, err)
	if text, err := os.ReadFile(cert); err != nil || string(text) != was || info.Mode().Perm() != 0o640 {
		t.Errorf("the certificate is %q, %v, mode %v", text, err, info.Mode())
	}

	// What a person changes on the stand-by is not like the copy any more.
	if !core2.Unchanged(o.Digest) {
		t.Error("what was just taken counts as changed")
	}
	must(t, core2.book.AddUser("mallory", password, account.Admin))
	if core2.Unchanged(o.Digest) {
		t.Error("a user who was made here is not noticed")
	}
	must(t, core2.Back(t.Context(), c))
	if got := users(core2.book); !slices.Equal(got, []string{"carl"}) {
		t.Errorf("gone back to %v", got)
	}
	must(t, core2.Drop(t.Context(), c, replicate.New))
	must(t, core2.Drop(t.Context(), c, replicate.Old))
	if left := everything(t, core2.Dir); left != "" {
		t.Errorf("left: %.200s", left)
	}
}

func TestASourceWithoutUsersTakesNobodyAway(t *testing.T) {
	t.Parallel()
	certificates := t.TempDir()
	core1, core2 := newPlace(t, certificates), newPlace(t, certificates)
	newPEM(t, core1.Files[0])
	must(t, core2.book.Setup(core2.code, "carl", password, ""))
	o, dir := core1.offered(t)
	core2.take(t, 1, o, dir)
	if got := users(core2.book); !slices.Equal(got, []string{"carl"}) {
		t.Errorf("core2 has the users %v", got)
	}
	if !core2.Unchanged(o.Digest) {
		t.Error("users who do not travel count as a change")
	}
}

func TestWhatASourceMayNotSendIsRefused(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		harm func(t *testing.T, dir string)
		says string
	}{
		"other certificates": {func(t *testing.T, dir string) { write(t, dir, "facts.json", `{"files":["/etc/passwd"],"users":true}`) }, "name the same in both node.yaml"},
		"no certificate":     {func(t *testing.T, dir string) { write(t, dir, "certificate-0", "root::0:0") }, "PEM"},
		"no users":           {func(t *testing.T, dir string) { write(t, dir, "users.json", `{"version":1,"users":[]}`) }, "admin"},
		"a hash without cost": {func(t *testing.T, dir string) {
			write(t, dir, "users.json", `{"version":1,"users":[{"name":"eve","role":"admin","hash":"$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA"}]}`)
		}, "password of eve"},
		"a name with a path": {func(t *testing.T, dir string) {
			write(t, dir, "users.json", `{"version":1,"users":[{"name":"../eve","role":"admin","hash":"x"}]}`)
		}, "is no name"},
		"not a user file": {func(t *testing.T, dir string) { write(t, dir, "users.json", "PK\x03\x04") }, "not what this version has written"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certificates := t.TempDir()
			core1, core2 := newPlace(t, certificates), newPlace(t, certificates)
			newPEM(t, core1.Files[0])
			must(t, core1.book.Setup(core1.code, "anna", password, ""))
			o, dir := core1.offered(t)
			one.harm(t, dir)
			_, err := core2.Prepare(context.WithoutCancel(t.Context()), replicate.Staged{Generation: 1, Dir: dir, Offer: o, Source: "core1"})
			if err == nil || !strings.Contains(err.Error(), one.says) {
				t.Errorf("got %v, want %q", err, one.says)
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

func TestWhatUsesACertificateIsToldOnceItIsAnotherOne(t *testing.T) {
	t.Parallel()
	certificates := t.TempDir()
	core1, core2 := newPlace(t, certificates), newPlace(t, certificates)
	told := filepath.Join(t.TempDir(), "told")
	core2.Reload = []string{"touch", told}
	newPEM(t, core1.Files[0])
	o, dir := core1.offered(t)
	core2.take(t, 1, o, dir) // the same file in this test
	if _, err := os.Stat(told); err == nil {
		t.Error("told of a certificate that is the same")
	}
	newPEM(t, core1.Files[0])
	core2.take(t, 2, o, dir)
	if _, err := os.Stat(told); err != nil {
		t.Errorf("not told: %v", err)
	}
	core2.Reload = []string{"false"} // what fails keeps nothing from being in force
	newPEM(t, core1.Files[0])
	core2.take(t, 3, o, dir)
}
