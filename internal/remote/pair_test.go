package remote

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTwoNodesPairedByAStringTrustOneAnother(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	paired(t, a, b)
	got := known(t, a.Trust, "core2")
	if diff := cmp.Diff(b.Card(), got.Card); diff != "" || got.By != "anna" {
		t.Errorf("core1 knows of core2, by %s:\n%s", got.By, diff)
	}
	if diff := cmp.Diff(a.Card(), known(t, b.Trust, "core1").Card); diff != "" {
		t.Errorf("core2 knows of core1:\n%s", diff)
	}
	for _, n := range []*node{a, b} {
		hosts, err := n.Hosts.List()
		must(t, err)
		p := n.Peer(hosts[0], 0)
		defer p.Close()
		if r, err := p.Report(t.Context()); err != nil || r.Report.Served != 7 {
			t.Errorf("%s asks %s: %v, %v", n.Name(), hosts[0].Name, r, err)
		}
		keys := readFile(t, filepath.Join(n.dir, ".ssh", "authorized_keys"))
		want := `restrict,from="127.0.0.1",command="/usr/bin/understudy ssh-serve --peer ` + hosts[0].Name + ` --trust ` + filepath.Join(n.dir, "trust") + `" ` + hosts[0].SSH.UserKey + " "
		if !strings.Contains(keys, want) {
			t.Errorf("authorized_keys of %s:\n%s", n.Name(), keys)
		}
		if text := readFile(t, filepath.Join(n.dir, "trust", "known_hosts")); !strings.Contains(text, "\n"+hosts[0].Name+" "+hosts[0].SSH.HostKeys[0]+"\n") {
			t.Errorf("known_hosts of %s:\n%s", n.Name(), text)
		}
	}
}

func TestAFrontIsPairedWithItsTLSKeyAlone(t *testing.T) {
	t.Parallel()
	a, f := newNode(t, "core1"), newFront(t, "front1")
	if _, err := f.Join(t.Context(), invited(t, a, Node), "carl"); err == nil || !strings.Contains(err.Error(), "invites a node, and this is a front") {
		t.Errorf("by a node's string: %v", err)
	}
	if _, err := f.Join(t.Context(), invited(t, a, Front), "carl"); err != nil {
		t.Fatal(err)
	}
	if got := known(t, a.Trust, "front1"); got.Role != Front || got.Pin != f.Key.Pin {
		t.Errorf("got %+v", got)
	}
	if _, err := os.Stat(filepath.Join(a.dir, ".ssh", "authorized_keys")); err == nil {
		if text := readFile(t, filepath.Join(a.dir, ".ssh", "authorized_keys")); strings.Contains(text, "restrict") {
			t.Errorf("a front may call over SSH:\n%s", text)
		}
	}
	p := f.Peer(known(t, f, "core1"), 0)
	defer p.Close()
	if again, err := p.TrafficDecided(t.Context(), TrafficDecided{Group: "mdm", Node: "core2", Epoch: 4, Left: "core1", LeftEpoch: 7}); err != nil || again != "again" {
		t.Errorf("got %q, %v", again, err)
	}
	if got := a.engine.said(); got != "traffic to core2 by front1" {
		t.Errorf("the engine heard %q", got)
	}
}

func TestEveryStringThatCannotPairHasASentenceOfItsOwn(t *testing.T) {
	t.Parallel()
	a, b, c := newNode(t, "core1"), newNode(t, "core2"), newNode(t, "core3")
	used := invited(t, a, Node)
	if _, err := b.Join(t.Context(), used, ""); err != nil {
		t.Fatal(err)
	}
	expired, err := a.Invite(Node, "", time.Now().Add(-inviteTime))
	must(t, err)
	wrong := invited(t, a, Node)
	wrong.token[3] ^= 1
	elsewhere := invited(t, a, Node)
	elsewhere.Pin[0] ^= 1
	own := invited(t, c, Node)
	front := invited(t, a, Front)
	for _, tt := range []struct {
		name string
		i    Invitation
		want []string
	}{
		{"used", used, []string{"was used already, by core2 at ", "make a new one"}},
		{"expired", expired, []string{"expired at ", "10m0s after it was made"}},
		{"wrong", wrong, []string{"not one of this node's, or the proof is wrong"}},
		{"of another node", elsewhere, []string{"has the TLS key " + a.Key.Pin.String(), "the pairing string is of " + elsewhere.Pin.String(), "nothing was sent"}},
		{"own", own, []string{"called core3 itself"}},
		{"for a front", front, []string{"invites a front, and this is a node"}},
	} {
		_, err := c.Join(t.Context(), tt.i, "")
		for _, w := range tt.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got %v, want %q", tt.name, err, w)
			}
		}
	}
	nobody(t, c.Trust)
	if hosts, _ := a.Hosts.List(); len(hosts) != 1 {
		t.Errorf("core1 trusts %v, want core2 alone", hosts)
	}
}

func TestAStringThatIsNotWholeIsNoticedBeforeAnybodyIsCalled(t *testing.T) {
	t.Parallel()
	a := newNode(t, "core1")
	i := invited(t, a, Node)
	text := i.String()
	secret := text[strings.LastIndex(text, ":")+1:]
	for n := range len(text) {
		for _, broken := range []string{text[:n], text[:n] + text[n+1:], text[:n] + "A" + text[n:], swap(text, n)} {
			if broken == text {
				continue
			}
			if got, err := ParseInvitation(broken); err == nil {
				t.Errorf("broken at %d: taken for %+v", n, got)
			} else if !strings.Contains(err.Error(), "not whole") || strings.Contains(err.Error(), secret[8:20]) {
				t.Errorf("broken at %d: got %v", n, err)
			}
		}
	}
	mailed := " " + text[:20] + "\r\n  " + text[20:] + "\n"
	if got, err := ParseInvitation(mailed); err != nil || got != i {
		t.Errorf("with line breaks: got %+v, %v", got, err)
	}
}

// swap gives text with another letter at n.
func swap(text string, n int) string {
	letter := byte('x')
	if text[n] == 'x' {
		letter = 'y'
	}
	return text[:n] + string(letter) + text[n+1:]
}

func TestAStringLeadsToAddressesOfEveryKind(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"192.0.2.10", "2001:db8::1", "core1.example.com", "core1"} {
		i := Invitation{Host: host, Port: 8443, Role: Front, Pin: Pin{1}, token: token{2}}
		if got, err := ParseInvitation(i.String()); err != nil || got != i {
			t.Errorf("%s: got %+v, %v", i, got, err)
		}
	}
}

func TestAfterFiveWrongProofsAStringIsVoid(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	i := invited(t, a, Node)
	for range inviteTries {
		code, said := present(t, b, i, func(_ *tls.Conn, _, proof []byte) []byte { proof[9] ^= 1; return proof })
		if code != http.StatusForbidden || !strings.Contains(said, "the proof is wrong") {
			t.Errorf("a wrong proof: %d %s", code, said)
		}
	}
	_, err := b.Join(t.Context(), i, "")
	wants(t, err, "tried with 5 wrong proofs and is void")
	nobody(t, a.Trust)
}

func TestAStringForAFrontMakesNoNode(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	i := invited(t, a, Front)
	_, said := present(t, b, i, func(_ *tls.Conn, _, proof []byte) []byte { return proof })
	if !strings.Contains(said, "invites a front, and this is a node") {
		t.Errorf("got %s", said)
	}
	nobody(t, a.Trust)
}

func TestACardWithAnotherKeyThanTheConnectionsIsRefused(t *testing.T) {
	t.Parallel()
	a, b, thief := newNode(t, "core1"), newNode(t, "core2"), newNode(t, "thief")
	i := invited(t, a, Node)
	liar := *b
	trust := *b.Trust
	trust.Key = &Key{Certificate: b.Key.Certificate, Pin: thief.Key.Pin}
	liar.Trust = &trust
	code, said := present(t, &liar, i, func(_ *tls.Conn, _, proof []byte) []byte { return proof })
	if code != http.StatusBadRequest || !strings.Contains(said, "does not have the key of the connection") {
		t.Errorf("%d %s", code, said)
	}
	nobody(t, a.Trust)
}

func TestPairedHostsThatSSHDoesNotKnowYetArePairedAndItIsTold(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	must(t, os.Mkdir(filepath.Join(b.dir, ".ssh"), 0o700))
	must(t, os.WriteFile(filepath.Join(b.dir, ".ssh", "authorized_keys"), []byte(a.SSH.Public+" by hand\n"), 0o600))
	h, err := b.Join(t.Context(), invited(t, a, Node), "")
	var rest *Unapplied
	if !errors.As(err, &rest) || h.Name != "core1" {
		t.Errorf("got %v, %v", h.Name, err)
	}
	wants(t, err, "its line 1 has the key of a trusted host too")
	known(t, a.Trust, "core2")
	known(t, b.Trust, "core1")
	must(t, os.Remove(filepath.Join(b.dir, ".ssh", "authorized_keys")))
	must(t, b.Apply())
}

func TestAnInviterThatShowsAnothersCardIsNotTrusted(t *testing.T) {
	t.Parallel()
	a, b, other := newNode(t, "core1"), newNode(t, "core2"), newNode(t, "core3")
	for name, card := range map[string]func() Card{
		"another's key":  other.Card,
		"no node's card": func() Card { c := a.Card(); c.Role = Front; return c },
		"harmful":        func() Card { c := a.Card(); c.Name = "-oProxyCommand=sh"; return c },
	} {
		i := invited(t, a, Node)
		i.Port = liar(t, a, func(w http.ResponseWriter, _ *http.Request) { send(w, http.StatusOK, card()) }).Port
		if _, err := b.Join(t.Context(), i, ""); err == nil {
			t.Errorf("%s: it is trusted", name)
		}
	}
	nobody(t, b.Trust)
}

func FuzzParseInvitation(f *testing.F) {
	for _, host := range []string{"192.0.2.10", "2001:db8::1", "core1"} {
		f.Add(Invitation{Host: host, Port: 8443, Role: Node, Pin: Pin{1}, token: token{2}}.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		if i, err := ParseInvitation(text); err == nil && i.String() != strings.Join(strings.Fields(text), "") {
			t.Errorf("%q was read as %q", text, i)
		}
	})
}

func TestAProofIsWorthNothingOnAnotherConnection(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	i := invited(t, a, Node)
	other := dial(t, b, i)
	code, said := present(t, b, i, func(_ *tls.Conn, body, _ []byte) []byte {
		text, err := proofText(other.ConnectionState(), body)
		must(t, err)
		return ed25519.Sign(i.token.key(), text)
	})
	if code != http.StatusForbidden || !strings.Contains(said, "the proof is wrong") {
		t.Errorf("a proof of another connection: %d %s", code, said)
	}
	nobody(t, a.Trust)
	if code, said := present(t, b, i, func(_ *tls.Conn, _, proof []byte) []byte { return proof }); code != http.StatusOK {
		t.Errorf("the right proof: %d %s", code, said)
	}
}

// present does what an invited host does, with the proof that edit gives.
func present(t *testing.T, n *node, i Invitation, edit func(c *tls.Conn, body, proof []byte) []byte) (code int, said string) {
	t.Helper()
	conn := dial(t, n, i)
	public, _ := i.token.key().Public().(ed25519.PublicKey)
	body, err := json.Marshal(pairing{version, inviteID(public), n.Card()})
	must(t, err)
	text, err := proofText(conn.ConnectionState(), body)
	must(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+i.At()+pathPair, bytes.NewReader(body))
	must(t, err)
	r.Header.Set(proofHeader, base64.StdEncoding.EncodeToString(edit(conn, body, ed25519.Sign(i.token.key(), text))))
	must(t, r.Write(conn))
	return answerOn(t, conn)
}

func dial(t *testing.T, n *node, i Invitation) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", i.At(), n.clientTLS("core1", i.At(), i.Pin))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestNothingIsSentToAHostWithAnotherKey(t *testing.T) {
	t.Parallel()
	a, b, thief := newNode(t, "core1"), newNode(t, "core2"), newNode(t, "thief")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	heard := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			heard <- err.Error()
			return
		}
		defer c.Close()
		text, _ := io.ReadAll(tls.Server(c, thief.ServerTLS())) // what comes after the handshake
		heard <- string(text)
	}()
	i := invited(t, a, Node)
	addr, _ := l.Addr().(*net.TCPAddr)
	i.Port = uint16(addr.Port) // #nosec G115 -- a port
	_, err = b.Join(t.Context(), i, "")
	wants(t, err, thief.Key.Pin.String(), a.Key.Pin.String())
	if got := <-heard; got != "" {
		t.Errorf("the thief read %q", got)
	}
}

func TestPairingThatBrokeOffIsMendedByARepeat(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]func(t *testing.T, a, b *node, before []byte){
		"the inviter died before it marked the string": func(t *testing.T, a, b *node, before []byte) {
			must(t, os.WriteFile(a.invitesPath(), before, 0o600))
			must(t, os.Remove(b.Hosts.path))
		},
		"the inviter died before it wrote what SSH reads": func(t *testing.T, a, b *node, _ []byte) {
			must(t, os.Remove(filepath.Join(a.dir, ".ssh", "authorized_keys")))
			must(t, os.Remove(a.knownHosts()))
			must(t, os.Remove(b.Hosts.path))
		},
		"the invited died before it entered the inviter": func(t *testing.T, _, b *node, _ []byte) {
			must(t, os.Remove(b.Hosts.path))
		},
		"the invited died before it wrote what SSH reads": func(t *testing.T, _, b *node, _ []byte) {
			must(t, os.Remove(b.knownHosts()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newNode(t, "core1"), newNode(t, "core2")
			i := invited(t, a, Node)
			before, err := os.ReadFile(a.invitesPath())
			must(t, err)
			if _, err := b.Join(t.Context(), i, ""); err != nil {
				t.Fatal(err)
			}
			crash(t, a, b, before)
			if _, err := b.Join(t.Context(), i, ""); err != nil {
				t.Fatalf("the repeat: %v", err)
			}
			for _, n := range []*node{a, b} {
				hosts, err := n.Hosts.List()
				must(t, err)
				p := n.Peer(hosts[0], 0)
				if _, err := p.Report(t.Context()); err != nil || len(hosts) != 1 {
					t.Errorf("%s: %v, %v", n.Name(), hosts, err)
				}
				p.Close()
				for _, path := range []string{filepath.Join(n.dir, ".ssh", "authorized_keys"), n.knownHosts()} {
					if !strings.Contains(readFile(t, path), hosts[0].Name) {
						t.Errorf("%s does not name %s", path, hosts[0].Name)
					}
				}
			}
		})
	}
}

func TestAHostThatWasRemovedDoesNotComeBackWithItsString(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	i := invited(t, a, Node)
	if _, err := b.Join(t.Context(), i, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Remove("core2"); err != nil {
		t.Fatal(err)
	}
	_, err := b.Join(t.Context(), i, "")
	wants(t, err, "not one of this node's")
	nobody(t, a.Trust)
}

func TestTheTokenIsKeptNowhere(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	i := invited(t, a, Node)
	if info, err := os.Stat(a.invitesPath()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v, want mode 0600", info, err)
	}
	if _, err := b.Join(t.Context(), i, ""); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "invitation", i)
	if _, secret, _ := strings.Cut(i.String(), ":"); strings.Contains(log.String(), secret) || !strings.Contains(log.String(), i.At()) {
		t.Errorf("logged %s", &log)
	}
	for _, n := range []*node{a, b} {
		must(t, filepath.WalkDir(n.dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text := readFile(t, path)
			seed := i.token.key().Seed()
			for _, secret := range []string{string(i.token[:]), string(seed), base64.StdEncoding.EncodeToString(i.token[:]), base64.StdEncoding.EncodeToString(seed), i.String()} {
				if strings.Contains(text, secret) {
					t.Errorf("%s tells the token", path)
				}
			}
			return nil
		}))
	}
}
