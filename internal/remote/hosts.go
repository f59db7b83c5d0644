package remote

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// Host is a trusted host: its card, and who added it.
type Host struct {
	Card
	By string    `json:"by"`
	At time.Time `json:"at"`
}

const (
	mostHosts  = 32
	hostsLimit = 1 << 20
)

// Hosts are the trusted hosts in one file. Other processes may change it.
type Hosts struct {
	path string

	mu    sync.Mutex // guards the fields below
	seen  fs.FileInfo
	hosts []Host // never changed, only replaced
}

// NewHosts gives the trusted hosts in the file at path; none while it is
// missing.
func NewHosts(path string) *Hosts { return &Hosts{path: path} }

type hostsFile struct {
	Version int    `json:"version"`
	Hosts   []Host `json:"hosts"`
}

// List gives all hosts by name. With an error nobody is to be trusted.
func (h *Hosts) List() ([]Host, error) {
	info, err := os.Stat(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if same(h.seen, info) {
		return slices.Clone(h.hosts), nil
	}
	hosts, err := readHosts(h.path)
	if err != nil {
		return nil, err
	}
	h.seen, h.hosts = info, hosts
	return slices.Clone(hosts), nil
}

// same says whether a file is still the one that was read. Every change makes
// a new file.
func same(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

func readHosts(path string) ([]Host, error) {
	text, err := statefile.Read(path, hostsLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f hostsFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("read trusted hosts %s: %w", path, err)
	}
	if f.Version != version {
		return nil, fmt.Errorf("read trusted hosts %s: it has version %d, this program reads %d", path, f.Version, version)
	}
	for _, host := range f.Hosts {
		if err := host.Check(); err != nil {
			return nil, fmt.Errorf("read trusted hosts %s: %w", path, err)
		}
	}
	return f.Hosts, nil
}

// Find gives the host with a pin.
func (h *Hosts) Find(p Pin) (Host, bool, error) {
	hosts, err := h.List()
	if err != nil || p == (Pin{}) {
		return Host{}, false, err
	}
	i := slices.IndexFunc(hosts, func(host Host) bool { return host.Pin == p })
	if i < 0 {
		return Host{}, false, nil
	}
	return hosts[i], true, nil
}

// Unknown is the error for a name that no trusted host has.
type Unknown struct {
	Name  string
	Known []string
}

func (u *Unknown) Error() string {
	if len(u.Known) == 0 {
		return fmt.Sprintf("%.80q is no trusted host; there is none yet", u.Name)
	}
	return fmt.Sprintf("%.80q is no trusted host; these are: %s", u.Name, strings.Join(u.Known, ", "))
}

// Get gives the host with a name, or else the only one with an address;
// *Unknown if there is none.
func (h *Hosts) Get(name string) (Host, error) {
	hosts, err := h.List()
	if err != nil {
		return Host{}, err
	}
	u := &Unknown{Name: name}
	var at []Host
	for _, host := range hosts {
		if host.Name == name {
			return host, nil
		}
		if slices.Contains(host.Addresses, name) {
			at = append(at, host)
		}
		u.Known = append(u.Known, host.Name)
	}
	switch len(at) {
	case 0:
		return Host{}, u
	case 1:
		return at[0], nil
	}
	return Host{}, fmt.Errorf("%d trusted hosts have the address %s: say their name, like %s", len(at), name, at[0].Name)
}

// put enters a host; the lock is held. The same host with the same key replaces
// its entry; a name or a key that is another's is an error.
func (h *Hosts) put(host Host) error {
	if err := host.Check(); err != nil {
		return err
	}
	hosts, err := readHosts(h.path)
	if err != nil {
		return err
	}
	for _, other := range hosts {
		if err := clash(other, host); err != nil {
			return err
		}
	}
	hosts = slices.DeleteFunc(hosts, func(o Host) bool { return o.Name == host.Name })
	if len(hosts) == mostHosts {
		return fmt.Errorf("there are %d trusted hosts already, and no more are kept; remove one first", mostHosts)
	}
	return h.write(append(hosts, host))
}

// clash says why a host may not stand beside, or replace, another one.
func clash(old, host Host) error {
	remove := "; if that is right, first: failover trusted-hosts remove " + old.Name
	sameKey := old.SSH.UserKey == host.SSH.UserKey
	switch named := old.Name == host.Name; {
	case named && old.Role != host.Role:
		return fmt.Errorf("%s is trusted as a %s and cannot become a %s%s", old.Name, old.Role, host.Role, remove)
	case named && old.Pin != (Pin{}) && old.Pin != host.Pin:
		return fmt.Errorf("%s is trusted with the TLS key %s, and this is another: %s%s", old.Name, old.Pin, host.Pin, remove)
	case named && old.Pin == (Pin{}) && !sameKey:
		return fmt.Errorf("%s is trusted with another SSH key%s", old.Name, remove)
	case !named && old.Pin == host.Pin && host.Pin != (Pin{}):
		return fmt.Errorf("this TLS key is trusted already, by the name of %s%s", old.Name, remove)
	case !named && sameKey && host.SSH.UserKey != "":
		return fmt.Errorf("this SSH key is trusted already, by the name of %s%s", old.Name, remove)
	}
	return nil
}

// remove takes a host out; the lock is held.
func (h *Hosts) remove(name string) error {
	hosts, err := readHosts(h.path)
	if err != nil {
		return err
	}
	return h.write(slices.DeleteFunc(hosts, func(o Host) bool { return o.Name == name }))
}

// write replaces the file. Nothing in it is secret.
func (h *Hosts) write(hosts []Host) error {
	slices.SortFunc(hosts, func(a, b Host) int { return cmp.Compare(a.Name, b.Name) })
	text, err := json.MarshalIndent(hostsFile{version, hosts}, "", "  ")
	if err != nil {
		return err
	}
	return writeOwned(h.path, append(text, '\n'), 0o644)
}
