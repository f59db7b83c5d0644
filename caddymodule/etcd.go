package caddymodule

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/understudy-ha/understudy/internal/register"
	"github.com/understudy-ha/understudy/probes"
)

// Etcd is a register that several hosts share, in place of the state directory.
type Etcd struct {
	// Endpoints are the client URLs of the members.
	Endpoints []string `json:"endpoints,omitempty"`
	// Prefix is that of every key. Default: /understudy.
	Prefix string `json:"prefix,omitempty"`
	// CA is a file with the authorities of the members' certificates.
	CA string `json:"tls_ca,omitempty"`
	// Cert and Key are files with our certificate.
	Cert string `json:"tls_cert,omitempty"`
	Key  string `json:"tls_key,omitempty"`
	// User is one of etcd's own users, PasswordFile has its password.
	User         string `json:"user,omitempty"`
	PasswordFile string `json:"password_file,omitempty"`
	// Watcher is our name among the watchers. Default: this host's name.
	Watcher string `json:"watcher,omitempty"`
	// Watchers is how many there are: 1, or odd and at least 3. Default: 1.
	Watchers int `json:"watchers,omitempty"`
}

// config gives e for a state directory, below which the last known traffic is
// copied.
func (e *Etcd) config(dir string) register.EtcdConfig {
	host, _ := os.Hostname()
	return register.EtcdConfig{
		Endpoints: e.Endpoints, Prefix: cmp.Or(e.Prefix, "/understudy"), CA: e.CA, Cert: e.Cert, Key: e.Key,
		User: e.User, PasswordFile: e.PasswordFile,
		Watcher: cmp.Or(e.Watcher, host), Watchers: cmp.Or(e.Watchers, 1), Copies: filepath.Join(dir, "etcd"),
		Metrics: registerMetrics(),
	}
}

func (e *Etcd) check(path string, f *faults) {
	err := e.config("/").Check()
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			f.add(path, "%s", one)
		}
	}
}

// place is where groups keep their Traffic: a directory, and an Etcd as JSON if
// several hosts share.
type place struct{ dir, etcd string }

func (a *App) place() place {
	p := place{dir: a.StateDir}
	if a.Etcd != nil {
		text, _ := json.Marshal(a.Etcd) // strings and a number
		p.etcd = string(text)
	}
	return p
}

// shared is a register that is open.
type shared interface {
	probes.Register
	Close() error
}

func (p place) open() (shared, error) {
	if p.etcd == "" {
		r, err := register.OpenDir(p.dir)
		if err != nil {
			return nil, fmt.Errorf("open state_dir: %w", err)
		}
		return r, nil
	}
	var e Etcd
	if err := json.Unmarshal([]byte(p.etcd), &e); err != nil {
		return nil, err
	}
	return register.OpenEtcd(e.config(p.dir), slog.New(caddyLog{}))
}

// etcd reads the option of that name.
func (p *parser) etcd() {
	e := &Etcd{Endpoints: p.RemainingArgs()}
	p.mark("etcd")
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		switch p.Val() {
		case "prefix":
			p.text(&e.Prefix)
		case "tls_ca":
			p.text(&e.CA)
		case "tls_cert":
			p.text(&e.Cert)
		case "tls_key":
			p.text(&e.Key)
		case "user":
			p.text(&e.User)
		case "password_file":
			p.text(&e.PasswordFile)
		case "watcher":
			p.text(&e.Watcher)
		case "watchers":
			p.count(&e.Watchers)
		default:
			p.unknown(strings.Join([]string{"prefix", "tls_ca", "tls_cert", "tls_key", "user", "password_file", "watcher", "watchers"}, ", "))
		}
	}
	p.app.Etcd = e
}
