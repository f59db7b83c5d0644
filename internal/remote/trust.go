package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// Trust is this host's side of trust: who it is, and whom it trusts.
type Trust struct {
	Key   *Key
	SSH   *SSHKey // nil: no node, so that it neither calls nor is called over SSH
	Hosts *Hosts

	dir     string // holds the lock and the invitations
	name    string
	role    Role
	site    savedSite // of a node
	resolve func(name string) ([]net.IP, error)
}

// Dir is where trust is kept below a node's data directory.
func Dir(dataDir string) string { return filepath.Join(dataDir, "trust") }

// Open gives the trust of the node whose engine has saved a Site in dir
// (ErrNoSite), and makes its keys if they are missing.
func Open(dir string) (*Trust, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if strings.Trim(dir, programLetters) != "" {
		return nil, fmt.Errorf("folder %q: only letters, digits and / . _ - + can stand in authorized_keys", dir)
	}
	site, err := readSite(dir)
	if err != nil {
		return nil, err
	}
	t := &Trust{dir: dir, name: site.Name, role: Node, site: site, Hosts: NewHosts(filepath.Join(dir, "hosts.json")), resolve: lookUp}
	if t.Key, err = OpenKey(filepath.Join(dir, "tls.pem"), site.Name); err != nil {
		return nil, err
	}
	if t.SSH, err = OpenSSHKey(filepath.Join(dir, "ssh"), "understudy@"+site.Name); err != nil {
		return nil, err
	}
	return t, nil
}

// OpenFront gives the trust of a front or sidecar, whose key is the file at
// path; the nodes that it trusts stand in a file beside that.
func OpenFront(path, name string) (*Trust, error) { return openKey(path, name, Front) }

// OpenAdmin gives the trust of a host that administers the pair, in the same
// way.
func OpenAdmin(path, name string) (*Trust, error) { return openKey(path, name, Admin) }

func openKey(path, name string, role Role) (*Trust, error) {
	if !namePattern.MatchString(name) {
		return nil, fmt.Errorf("name %.80q must be letters, digits, dot, dash and underscore, and begin with a letter or digit", name)
	}
	key, err := OpenKey(path, name)
	if err != nil {
		return nil, err
	}
	return &Trust{dir: filepath.Dir(path), name: name, role: role, Key: key, Hosts: NewHosts(path + ".hosts"), resolve: lookUp}, nil
}

// Name gives this host's own name.
func (t *Trust) Name() string { return t.name }

// Card gives what this host tells of itself. A node whose SSH host keys cannot
// be read has none in it.
func (t *Trust) Card() Card {
	if t.SSH == nil {
		return Card{Name: t.name, Role: t.role, Pin: t.Key.Pin}
	}
	return Card{
		Name: t.name, Role: Node, Addresses: t.site.Addresses, Port: t.site.Port, Pin: t.Key.Pin,
		SSH: CardSSH{Port: t.site.SSH.Port, User: t.site.SSH.User, UserKey: t.SSH.Public, HostKeys: t.hostKeys()},
	}
}

func (t *Trust) hostKeys() (keys []string) {
	for _, path := range t.site.SSH.HostKeys {
		text, err := statefile.Read(path, mostKeyText)
		if err != nil {
			continue
		}
		if key, err := CheckSSHKey(string(text)); err == nil && len(keys) < mostHostKeys {
			keys = append(keys, key)
		}
	}
	return keys
}

// Add enters a host and writes what SSH reads; with an *Unapplied the host is
// entered. A repeat changes nothing but who did it last.
func (t *Trust) Add(c Card, by string, now time.Time) error {
	if c.Name == t.name || c.Pin == t.Key.Pin || (t.SSH != nil && c.SSH.UserKey == t.SSH.Public) {
		return errors.New("this is the key of this very host; paste the one of the other")
	}
	return t.locked(func() error {
		if err := t.Hosts.put(Host{c, by, now.UTC().Truncate(time.Second)}); err != nil {
			return err
		}
		return unapplied(t.apply())
	})
}

// Unapplied is the error where the list of trusted hosts was changed and what
// SSH reads was not, or not all of it. [Trust.Apply] ends that.
type Unapplied struct{ Err error }

func (u *Unapplied) Error() string { return "what SSH reads is not as it should be: " + u.Err.Error() }
func (u *Unapplied) Unwrap() error { return u.Err }

func unapplied(err error) error {
	if err == nil {
		return nil
	}
	return &Unapplied{err}
}

// lookUp gives the addresses of a name, soon or not at all.
func lookUp(name string) ([]net.IP, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return net.DefaultResolver.LookupIP(ctx, "ip", name)
}

// Remove takes a host out, by its name or address: its calls are refused from
// now on, also over connections that stand, and the pairing string that it used
// is void.
func (t *Trust) Remove(name string) (Host, error) {
	host, err := t.Hosts.Get(name)
	if err != nil {
		return Host{}, err
	}
	return host, t.locked(func() error {
		if err := t.voidInvites(host.Pin); err != nil {
			return err
		}
		if err := t.Hosts.remove(host.Name); err != nil {
			return err
		}
		return unapplied(t.apply())
	})
}

// Apply writes what SSH reads, authorized_keys and known_hosts, from the list
// of trusted hosts; names of hosts are looked up anew.
func (t *Trust) Apply() error { return t.locked(t.apply) }

// locked runs do while no other process changes anything.
func (t *Trust) locked(do func() error) error {
	unlock, err := lock(t.Hosts.path + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	return do()
}

func (t *Trust) apply() error {
	if t.SSH == nil {
		return nil
	}
	hosts, err := t.Hosts.List()
	if err != nil {
		return err
	}
	if err := writeOwned(t.knownHosts(), knownHosts(hosts), 0o644); err != nil {
		return err
	}
	if t.site.SSH.AuthorizedKeys == "" {
		return nil
	}
	lines, unresolved := t.authorizedLines(hosts)
	return errors.Join(replaceBlock(t.site.SSH.AuthorizedKeys, lines), unresolved)
}

func (t *Trust) knownHosts() string { return filepath.Join(t.dir, "known_hosts") }
