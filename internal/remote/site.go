package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// Site is what this machine's configuration says that trust needs. The engine
// saves it at its start, so that the commands and the forced command, which
// run as other users, need not read node.yaml.
type Site struct {
	Name      string    `json:"name"`
	Addresses []string  `json:"addresses"` // where other hosts call this node, and from where it calls
	Port      uint16    `json:"port"`      // of the engine's API; 0: DefaultPort
	SSH       SiteSSH   `json:"ssh"`
	Datasets  []Dataset `json:"datasets,omitempty"`
	Rsync     string    `json:"rsync"`               // empty: /usr/bin/rsync
	Replicate string    `json:"replicate,omitempty"` // the engine's socket for sessions of replication
}

// SiteSSH is how this node is called over SSH.
type SiteSSH struct {
	Port           uint16   `json:"port"` // 0: 22
	User           string   `json:"user"` // empty: understudy
	AuthorizedKeys string   `json:"authorized_keys"`
	HostKeys       []string `json:"host_keys"` // files with the public host keys; empty: those of /etc/ssh
	Program        string   `json:"program"`   // this program, for the forced command; empty: /usr/bin/understudy
}

// Dataset is a folder that trusted nodes may fetch.
type Dataset struct {
	Name string `json:"name"`
	Path string `json:"path"` // absolute; links in it are followed when the Site is saved, and never later
}

const (
	siteFile  = "site.json"
	siteLimit = 256 << 10
)

// defaultHostKeys are where OpenSSH keeps the public host keys.
var defaultHostKeys = []string{
	"/etc/ssh/ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_ecdsa_key.pub", "/etc/ssh/ssh_host_rsa_key.pub",
}

type savedSite struct {
	Version int `json:"version"`
	Site
	Roots []root `json:"roots"`
}

// root is a declared dataset's folder: as it is named in a request, and where
// it is.
type root struct {
	Named string `json:"named"`
	Real  string `json:"real"`
}

// SaveSite writes s into the trust directory dir, which it makes if need be. A
// dataset whose folder is missing may come later.
func SaveSite(dir string, s Site) error {
	if err := s.check(); err != nil {
		return err
	}
	if err := statefile.MakeDir(dir, 0o755); err != nil {
		return err
	}
	saved := savedSite{Version: version, Site: s}
	for _, d := range s.Datasets {
		at, err := resolve(d.Path)
		if err != nil {
			return fmt.Errorf("dataset %s: %w", d.Name, err)
		}
		if info, err := os.Stat(at); err == nil && !info.IsDir() || at == "/" {
			return fmt.Errorf("dataset %s: %s is not a folder that can be fetched", d.Name, d.Path)
		}
		saved.Roots = append(saved.Roots, root{filepath.Clean(d.Path), at})
	}
	text, err := json.MarshalIndent(saved, "", "  ")
	if err != nil {
		return err
	}
	return writeOwned(filepath.Join(dir, siteFile), append(text, '\n'), 0o644)
}

// resolve gives where a path leads, as far as it is there.
func resolve(path string) (string, error) {
	at, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) || path == "/" {
		return at, err
	}
	dir, err := resolve(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), err
}

// ErrNoSite says that no engine has saved a Site yet.
var ErrNoSite = errors.New("this node has not been started yet, so its name and addresses are not known; start it once: understudy node --config node.yaml")

// readSite gives what SaveSite wrote, with the defaults filled in.
func readSite(dir string) (savedSite, error) {
	text, err := statefile.Read(filepath.Join(dir, siteFile), siteLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return savedSite{}, fmt.Errorf("%s: %w", dir, ErrNoSite)
	}
	if err != nil {
		return savedSite{}, err
	}
	var s savedSite
	if err := json.Unmarshal(text, &s); err != nil {
		return savedSite{}, fmt.Errorf("read %s: %w", filepath.Join(dir, siteFile), err)
	}
	if s.Version != version {
		return savedSite{}, fmt.Errorf("read %s: it has version %d, this program reads %d", filepath.Join(dir, siteFile), s.Version, version)
	}
	s.Site = s.filled()
	return s, s.check()
}

func (s Site) filled() Site {
	s.Port = orPort(s.Port, DefaultPort)
	s.SSH.Port = orPort(s.SSH.Port, 22)
	if s.SSH.User == "" {
		s.SSH.User = "understudy"
	}
	if len(s.SSH.HostKeys) == 0 {
		s.SSH.HostKeys = defaultHostKeys
	}
	if s.SSH.Program == "" {
		s.SSH.Program = "/usr/bin/understudy"
	}
	if s.Rsync == "" {
		s.Rsync = "/usr/bin/rsync"
	}
	return s
}

func orPort(port, otherwise uint16) uint16 {
	if port == 0 {
		return otherwise
	}
	return port
}

// programLetters are those of a program that may stand in authorized_keys,
// where the user's shell reads it.
const programLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+"

func (s Site) check() error {
	s = s.filled()
	var faults []error
	if !namePattern.MatchString(s.Name) {
		faults = append(faults, fmt.Errorf("name %.80q cannot be told to other hosts", s.Name))
	}
	if len(s.Addresses) == 0 || len(s.Addresses) > mostAddresses {
		faults = append(faults, fmt.Errorf("a node has 1 to %d addresses where other hosts call it, not %d", mostAddresses, len(s.Addresses)))
	}
	for _, a := range s.Addresses {
		faults = append(faults, checkAddress(a))
	}
	if !userPattern.MatchString(s.SSH.User) {
		faults = append(faults, fmt.Errorf("ssh user %.40q is no name of a user", s.SSH.User))
	}
	for _, f := range []struct{ key, path string }{
		{"ssh authorized_keys", s.SSH.AuthorizedKeys}, {"program", s.SSH.Program}, {"rsync", s.Rsync}, {"replicate", s.Replicate},
	} {
		if f.path != "" && !filepath.IsAbs(f.path) {
			faults = append(faults, fmt.Errorf("%s %q must be an absolute path", f.key, f.path))
		}
	}
	if strings.Trim(s.SSH.Program, programLetters) != "" {
		faults = append(faults, fmt.Errorf("program %q: only letters, digits and / . _ - + can stand in authorized_keys", s.SSH.Program))
	}
	for _, d := range s.Datasets {
		if !filepath.IsAbs(d.Path) || filepath.Clean(d.Path) == "/" {
			faults = append(faults, fmt.Errorf("dataset %s: path %q must be absolute and not /", d.Name, d.Path))
		}
	}
	return errors.Join(faults...)
}
