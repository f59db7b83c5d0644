package remote

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestKeysAreMadeOnceAndAreForTheOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pins := make([]Pin, 8)
	var all sync.WaitGroup
	for i := range pins { // engine and commands may start side by side
		all.Go(func() {
			key, err := OpenKey(filepath.Join(dir, "tls.pem"), "core1")
			if err != nil {
				t.Error(err)
				return
			}
			pins[i] = key.Pin
		})
	}
	all.Wait()
	for _, p := range pins {
		if p != pins[0] || p == (Pin{}) {
			t.Fatalf("different keys: %v", pins)
		}
	}
	a, err := OpenSSHKey(filepath.Join(dir, "ssh"), "x")
	must(t, err)
	b, err := OpenSSHKey(filepath.Join(dir, "ssh"), "x")
	must(t, err)
	if a.Public != b.Public {
		t.Error("another SSH key after a restart")
	}
	for _, name := range []string{"tls.pem", "ssh"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		must(t, os.Chmod(path, 0o640))
		_, err := openSecret(path, nil)
		wants(t, err, "can be read by others", "chmod 600")
		must(t, os.Chmod(path, 0o600))
		must(t, os.WriteFile(path, []byte("damaged"), 0o600))
	}
	_, err = OpenKey(filepath.Join(dir, "tls.pem"), "core1")
	wants(t, err, "move it away to get a new one")
	_, err = OpenSSHKey(filepath.Join(dir, "ssh"), "core1")
	wants(t, err, "it is damaged")
}

func TestOpenSSHReadsOurKey(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("no ssh-keygen here; tools/deps.sh installs it")
	}
	key, err := OpenSSHKey(filepath.Join(t.TempDir(), "ssh"), "understudy@core1")
	must(t, err)
	out, err := exec.Command("ssh-keygen", "-y", "-f", key.Path).CombinedOutput() // #nosec G204 -- our own file
	if err != nil || strings.TrimSpace(string(out)) != key.Public+" understudy@core1" {
		t.Errorf("ssh-keygen reads %s (%v), want %s", out, err, key.Public)
	}
}

func TestTheLocalServerSSHKeyCarriesTheWholeCard(t *testing.T) {
	t.Parallel()
	a := newNode(t, "core1")
	line, err := a.Card().Line()
	must(t, err)
	if key, err := CheckSSHKey(line); err != nil || key != a.SSH.Public {
		t.Errorf("it is no plain SSH key: %q, %v", key, err)
	}
	got, whole, err := ParseLine("  " + line + "\n")
	if diff := cmp.Diff(a.Card(), got); err != nil || !whole || diff != "" {
		t.Errorf("%v %v\n%s", whole, err, diff)
	}
	for n := range len(line) {
		for _, broken := range []string{line[:n], swap(line, n)} {
			c, whole, err := ParseLine(broken)
			if whole || (err == nil && (c.Pin != Pin{} || n < len(a.SSH.Public))) {
				t.Errorf("broken at %d: taken for %+v", n, c)
			}
		}
	}
	plain, whole, err := ParseLine(a.SSH.Public + " someone@core1")
	if err != nil || whole || plain.SSH.UserKey != a.SSH.Public || plain.Name != "" {
		t.Errorf("a plain key: %+v %v %v", plain, whole, err)
	}
}

func TestWhatIsNoUsableSSHKeyIsRefused(t *testing.T) {
	t.Parallel()
	key, err := OpenSSHKey(filepath.Join(t.TempDir(), "ssh"), "")
	must(t, err)
	for text, want := range map[string]string{
		"":                                     "this is no SSH key",
		"hello":                                "this is no SSH key",
		readFile(t, key.Path):                  "this is a private key: it must never leave",
		key.Public + "\n" + key.Public:         "more than one line",
		`command="sh" ` + key.Public:           "options in front",
		"ssh-dss " + "AAAAB3NzaC1kc3MAAACB":    "this is no SSH key",
		key.Public + strings.Repeat("x", 5000): "longer than any key",
	} {
		if _, err := CheckSSHKey(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: got %v, want %q", text, err, want)
		}
	}
}

func TestCardsThatCouldHarmAreRefused(t *testing.T) {
	t.Parallel()
	good := newNode(t, "core1").Card()
	must(t, good.Check())
	for name, edit := range map[string]func(c *Card){
		"name with a quote":     func(c *Card) { c.Name = `a"b` },
		"name with a space":     func(c *Card) { c.Name = "a b" },
		"name with a line end":  func(c *Card) { c.Name = "a\nb" },
		"name like an option":   func(c *Card) { c.Name = "-oProxyCommand=sh" },
		"no name":               func(c *Card) { c.Name = "" },
		"role":                  func(c *Card) { c.Role = "root" },
		"no address":            func(c *Card) { c.Addresses = nil },
		"address like options":  func(c *Card) { c.Addresses = []string{"-oProxyCommand=sh"} },
		"address with wildcard": func(c *Card) { c.Addresses = []string{"*"} },
		"address with comma":    func(c *Card) { c.Addresses = []string{"a,b"} },
		"any address":           func(c *Card) { c.Addresses = []string{"0.0.0.0"} },
		"many addresses":        func(c *Card) { c.Addresses = make([]string, 9) },
		"user":                  func(c *Card) { c.SSH.User = "a b" },
		"user like an option":   func(c *Card) { c.SSH.User = "-l" },
		"port":                  func(c *Card) { c.SSH.Port = 0 },
		"key with options":      func(c *Card) { c.SSH.UserKey = `command="sh" ` + c.SSH.UserKey },
		"key with comment":      func(c *Card) { c.SSH.UserKey += " x" },
		"key with line end":     func(c *Card) { c.SSH.UserKey += "\n" + c.SSH.UserKey },
		"host key":              func(c *Card) { c.SSH.HostKeys = []string{"@cert-authority * " + c.SSH.UserKey} },
	} {
		c := good
		edit(&c)
		if c.Check() == nil {
			t.Errorf("%s: %+v was taken", name, c)
		}
	}
}

func TestANameOrAKeyIsNotTakenOverByAnother(t *testing.T) {
	t.Parallel()
	a, b, c := newNode(t, "core1"), newNode(t, "core2"), newNode(t, "core3")
	now := time.Now()
	must(t, a.Add(b.Card(), "anna", now))
	must(t, a.Add(b.Card(), "anna", now)) // a repeat is harmless
	named := c.Card()
	named.Name = "core2"
	wants(t, a.Add(named, "", now), b.Key.Pin.String(), c.Key.Pin.String(), "failover trusted-hosts remove core2")
	pinned := c.Card()
	pinned.Pin = b.Key.Pin
	wants(t, a.Add(pinned, "", now), "this TLS key is trusted already, by the name of core2")
	keyed := c.Card()
	keyed.SSH.UserKey = b.SSH.Public
	wants(t, a.Add(keyed, "", now), "this SSH key is trusted already, by the name of core2")
	front := Card{Name: "core2", Role: Front, Pin: b.Key.Pin}
	wants(t, a.Add(front, "", now), "trusted as a node and cannot become a front")
	wants(t, a.Add(a.Card(), "", now), "key of this very host")
	if diff := cmp.Diff(b.Card(), known(t, a.Trust, "core2").Card); diff != "" {
		t.Error(diff)
	}
	if _, err := a.Remove("core9"); err == nil || !strings.Contains(err.Error(), `"core9" is no trusted host; these are: core2`) {
		t.Errorf("got %v", err)
	}
}

func TestANameGoesBeforeAnAddressAndAnAddressIsOneHosts(t *testing.T) {
	t.Parallel()
	a, b, c := newNode(t, "core1"), newNode(t, "core2"), newNode(t, "dr1")
	near, far := b.Card(), c.Card()
	near.Addresses = []string{"dr1", "192.0.2.9"} // the name of the other
	far.Addresses = []string{"192.0.2.9", "192.0.2.7"}
	must(t, errors.Join(unappliedIsFine(a.Add(near, "", time.Now())), unappliedIsFine(a.Add(far, "", time.Now()))))
	for name, want := range map[string]string{"dr1": "dr1", "core2": "core2", "192.0.2.7": "dr1"} {
		if got, err := a.Hosts.Get(name); err != nil || got.Name != want {
			t.Errorf("%s: got %s, %v; want %s", name, got.Name, err, want)
		}
	}
	_, err := a.Remove("192.0.2.9")
	wants(t, err, "2 trusted hosts have the address 192.0.2.9", "say their name")
}

// unappliedIsFine forgets that a name could not be looked up.
func unappliedIsFine(err error) error {
	var rest *Unapplied
	if errors.As(err, &rest) {
		return nil
	}
	return err
}

func TestDamagedTrustedHostsAreAnErrorAndTrustNobody(t *testing.T) {
	t.Parallel()
	a, b := newNode(t, "core1"), newNode(t, "core2")
	paired(t, a, b)
	for _, text := range []string{"", "{", `{"version":2,"hosts":[]}`, `{"version":1,"hosts":[{"name":"-x"}]}`} {
		must(t, os.WriteFile(a.Hosts.path, []byte(text), 0o600))
		if _, _, err := a.Hosts.Find(b.Key.Pin); err == nil {
			t.Errorf("%q was read", text)
		}
		p := b.Peer(known(t, b.Trust, "core1"), 0)
		_, err := p.Report(t.Context())
		wants(t, err, "the list of trusted hosts cannot be read")
		p.Close()
	}
}

func FuzzParseLine(f *testing.F) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBVPkkLzjHM3gVnfrYzcAfmlbaEKsfyhMRpF6TH1Zc3z"
	line, err := Card{Name: "core1", Role: Node, Addresses: []string{"192.0.2.1"}, SSH: CardSSH{Port: 22, User: "u", UserKey: key}}.Line()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add(key)
	f.Fuzz(func(t *testing.T, text string) {
		c, whole, err := ParseLine(text)
		if err == nil && whole && c.Check() != nil {
			t.Errorf("%q gave the faulty card %+v", text, c)
		}
	})
}

func TestPinsAreReadAsTheyAreShown(t *testing.T) {
	t.Parallel()
	p := Pin{1, 2, 3}
	if got, err := ParsePin(p.String()); err != nil || got != p {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"", "none", "SHA256:", p.String()[1:], p.String() + "A", strings.ToLower(p.String()), p.String()[:len(p.String())-1] + "B"} {
		if got, err := ParsePin(text); err == nil {
			t.Errorf("%q was taken for %s", text, got)
		}
	}
}
