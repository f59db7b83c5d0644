package account

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const password = "correct horse battery"

// book is a Book with a clock that the test moves.
type book struct {
	*Book
	t    *testing.T
	dir  string
	time time.Time
	code string
}

func open(t *testing.T) *book {
	t.Helper()
	b := &book{t: t, dir: filepath.Join(t.TempDir(), "users"), time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b.again()
	return b
}

// again opens the book anew, as a restart of the process does.
func (b *book) again() {
	b.t.Helper()
	var err error
	if b.Book, b.code, err = Open(Config{Dir: b.dir, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return b.time }}); err != nil {
		b.t.Fatal(err)
	}
}

// anna makes the first user.
func (b *book) anna() *book {
	b.t.Helper()
	if err := b.Setup(b.code, "anna", password, "here"); err != nil {
		b.t.Fatal(err)
	}
	return b
}

func (b *book) login(name, from string) (string, error) {
	return b.Login(name, password, from, "browser")
}

func TestTheSetupCodeMakesOneUserWithinADay(t *testing.T) {
	t.Parallel()
	b := open(t)
	if b.code == "" || !b.Empty() {
		t.Fatalf("a new book has the code %q", b.code)
	}
	if err := b.Setup("AAAAA-AAAAA-AAAAA-AAAAA", "anna", password, "here"); err == nil {
		t.Error("another code makes a user")
	}
	if err := b.Setup(b.code, "anna", "short", "here"); err == nil {
		t.Error("a short password is taken")
	}
	late := b.code
	b.time = b.time.Add(25 * time.Hour)
	if err := b.Setup(late, "anna", password, "here"); err == nil {
		t.Error("a code of yesterday makes a user")
	}
	b.again()
	if b.code == "" || b.code == late {
		t.Errorf("a restart gives the code %q", b.code)
	}
	kept, err := os.ReadFile(filepath.Join(b.dir, codeFile))
	if info, _ := os.Stat(filepath.Join(b.dir, codeFile)); err != nil || string(kept) != b.code+"\n" || info.Mode() != 0o600 {
		t.Errorf("the file of the code has %q, %v", kept, err)
	}
	b.anna()
	if _, err := os.Stat(filepath.Join(b.dir, codeFile)); err == nil {
		t.Error("the code that was used is still there")
	}
	if err := b.Setup(b.code, "eve", password, "here"); err == nil {
		t.Error("a code makes two users")
	}
	if b.again(); b.code != "" {
		t.Error("there is a user and a code")
	}
	if u := b.Users(); len(u) != 1 || u[0].Name != "anna" || u[0].Role != Admin || u[0].Hash != "" {
		t.Errorf("the users are %+v", u)
	}
}

func TestTwoProcessesShareTheirUsers(t *testing.T) {
	t.Parallel()
	one := open(t).anna()
	two := &book{t: t, dir: one.dir, time: one.time}
	two.again()
	if err := one.AddUser("bob", password, Viewer); err != nil {
		t.Fatal(err)
	}
	token, err := two.login("bob", "here")
	if err != nil {
		t.Fatalf("the other process does not know him: %v", err)
	}
	if err := two.RemoveUser("bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := one.login("bob", "here"); !errors.Is(err, ErrWrong) {
		t.Errorf("one logs him in: %v", err)
	}
	if _, ok := two.Session(token, true); ok {
		t.Error("his session goes on")
	}
}

func TestTheLastAdminStays(t *testing.T) {
	t.Parallel()
	b := open(t).anna()
	if b.RemoveUser("anna") == nil || b.SetRole("anna", Viewer) == nil {
		t.Error("the last admin is gone")
	}
	if err := b.AddUser("bob", password, Admin); err != nil {
		t.Fatal(err)
	}
	if err := b.SetRole("anna", Viewer); err != nil {
		t.Error(err)
	}
}

func TestADamagedFileOfUsersIsNotTakenForAnEmptyOne(t *testing.T) {
	t.Parallel()
	b := open(t).anna()
	for _, text := range []string{"", "{", `{"version":2}`} {
		if err := os.WriteFile(filepath.Join(b.dir, usersFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := b.login("anna", "here"); err != nil {
			t.Errorf("a process that runs forgets its users: %v", err)
		}
		if _, code, err := Open(Config{Dir: b.dir, Log: slog.New(slog.DiscardHandler)}); err == nil || code != "" {
			t.Errorf("%q opens with the code %q", text, code)
		}
	}
}

func TestThrottleMakesFailuresWaitLongerAndSparesOthers(t *testing.T) {
	t.Parallel()
	b := open(t).anna()
	var later *Later
	for range 5 {
		if _, err := b.Login("anna", "wrong wrong wrong", "198.51.100.7", ""); !errors.Is(err, ErrWrong) {
			t.Fatal(err)
		}
	}
	if _, err := b.login("anna", "198.51.100.7"); !errors.As(err, &later) {
		t.Fatalf("after five failures the right password gives %v at once", err)
	}
	if _, err := b.login("anna", "192.0.2.1"); err != nil {
		t.Errorf("anna herself is kept out: %v", err)
	}
	longest := time.Duration(0)
	for range 12 { // each failure doubles the wait, up to a quarter of an hour
		if _, err := b.Login("anna", "wrong wrong wrong", "198.51.100.7", ""); !errors.As(err, &later) || later.Wait < longest {
			t.Fatalf("after a wait of %v the next is %v", longest, err)
		}
		longest = later.Wait
		b.time = b.time.Add(later.Wait)
		_, _ = b.Login("anna", "wrong wrong wrong", "198.51.100.7", "")
	}
	if longest != mostWait {
		t.Errorf("the longest wait is %v", longest)
	}
}

func TestATokenOfAProgramHasItsRoleUntilItsDay(t *testing.T) {
	t.Parallel()
	b := open(t).anna()
	secret, err := b.AddToken("nagios", Viewer, b.time.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if name, role, ok := b.Bearer(secret); !ok || name != "nagios" || role != Viewer {
		t.Errorf("got %s, %v, %t", name, role, ok)
	}
	text, _ := os.ReadFile(filepath.Join(b.dir, usersFile))
	if strings.Contains(string(text), secret) {
		t.Error("the file has the secret")
	}
	if _, _, ok := b.Bearer(secret[1:]); ok {
		t.Error("a part of it lets in")
	}
	b.time = b.time.Add(2 * time.Hour)
	if _, _, ok := b.Bearer(secret); ok {
		t.Error("it outlives its day")
	}
	if err := b.RemoveToken("nagios"); err != nil || b.RemoveToken("nagios") == nil {
		t.Errorf("remove: %v", err)
	}
}

func TestTheAuditLogSurvivesACutLineAndGivesTheNewestFirst(t *testing.T) {
	t.Parallel()
	b := open(t)
	for _, did := range []string{"one", "two\nthree", strings.Repeat("ü", 600)} {
		b.Note(Entry{Who: "anna", From: "here", Did: did, Outcome: Done})
	}
	f, err := os.OpenFile(filepath.Join(b.dir, auditFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"at":"2026-01-0`)
	_ = f.Close()
	all, err := b.Audit(2)
	if err != nil || len(all) != 2 || all[1].Did != "two\nthree" || len(all[0].Did) > 520 {
		t.Errorf("got %+v, %v", all, err)
	}
}

func TestAPasswordIsKeptAsArgon2idAndChecked(t *testing.T) {
	t.Parallel()
	h := hash(password)
	if !strings.HasPrefix(h, "$argon2id$v=19$m=19456,t=2,p=1$") || !matches(password, h) || matches(password+"x", h) {
		t.Errorf("the hash is %s", h)
	}
	for _, bad := range []string{"", "x", "$argon2id$", "$argon2id$v=19$m=4294967295,t=2,p=1$AAAA$AAAA", strings.Replace(h, "v=19", "v=18", 1)} {
		if matches(password, bad) {
			t.Errorf("%s matches", bad)
		}
	}
	for _, weak := range []string{"short", "password12345", "anna's own word", strings.Repeat("a", 20), strings.Repeat("x y", 600), "understudy1234"} {
		if checkPassword("anna", weak) == nil {
			t.Errorf("%.30q is taken", weak)
		}
	}
}
