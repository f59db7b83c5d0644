package console

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/web/account"
)

// A request whose length could be read in two ways may hide a second one from
// whoever stands before the console: nothing of it is answered as a request.
func TestASVS4_2_1ARequestThatCouldBeReadTwoWaysHidesNoOther(t *testing.T) {
	t.Parallel()
	d := open(t)
	const hidden = "GET /console/hidden HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, head := range map[string]string{
		"two lengths":               "Content-Length: 3\r\nContent-Length: 43\r\n",
		"a length with a sign":      "Content-Length: +3\r\n",
		"a space before the colon":  "Transfer-Encoding : chunked\r\n",
		"an encoding nobody has":    "Transfer-Encoding: chunked, identity\r\n",
		"a length of another world": "Content-Length: 0x3\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(d.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, "POST /console/login HTTP/1.1\r\nHost: 127.0.0.1\r\n"+head+"\r\nabc"+hidden); err != nil {
			t.Fatal(err)
		}
		answers := bufio.NewReader(conn)
		first, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, _ = io.Copy(io.Discard, first.Body)
		if second, err := http.ReadResponse(answers, nil); err == nil && second.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: after %s what was hidden is answered, too: %s", name, first.Status, second.Status)
		}
		if first.StatusCode < 400 {
			t.Errorf("%s is answered %s", name, first.Status)
		}
		_ = conn.Close()
	}
}

func TestASVS7_2_3And11_5_1SessionsAndTokensAreLongAndRandom(t *testing.T) {
	t.Parallel()
	d := open(t)
	seen := map[string]bool{}
	look := func(what, token string, bits int) {
		if seen[token] {
			t.Errorf("%s was there before", what)
		}
		seen[token] = true
		if got := len(token) * 5; got < bits { // base32
			t.Errorf("%s has room for %d bits, %d are wanted", what, got, bits)
		}
	}
	for range 3 {
		look("a session", d.as().Value, 256)
	}
	for _, name := range []string{"one", "two", "three"} {
		secret, err := d.book.AddToken(name, account.Viewer, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		look("a token", secret, 128)
	}
	// Nothing of the package draws from a generator that can be guessed.
	files, err := filepath.Glob(filepath.Join("..", "account", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `"math/rand`) {
			t.Errorf("%s uses math/rand", f)
		}
	}
}

func TestASVS16_4_2WhatIsWrittenDownIsForTheServiceAlone(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.as()
	found := 0
	err := filepath.WalkDir(d.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 && path != d.dir {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if strings.HasPrefix(e.Name(), "audit.log") {
			found++
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("no audit log below %s: %v", d.dir, err)
	}
}
