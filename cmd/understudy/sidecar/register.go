package sidecar

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/register"
	"github.com/understudy-ha/understudy/probes"
)

// shared is the register of a sidecar: files that the processes of one host
// share, or etcd that several hosts share.
type shared interface {
	probes.Register
	Close() error
}

func openRegister(c *config.Sidecar, log *slog.Logger) (shared, error) {
	if c.Etcd != nil {
		return register.OpenEtcd(EtcdOf(c), log)
	}
	r, err := register.OpenDir(c.StateDir)
	if err != nil {
		return nil, fmt.Errorf("open state_dir: %w", err)
	}
	return r, nil
}

// PlaceOf gives where a sidecar keeps what is decided.
func PlaceOf(c *config.Sidecar) register.Place {
	p := register.Place{Dir: c.StateDir}
	if c.Etcd != nil {
		e := EtcdOf(c)
		p.Etcd = &e
	}
	return p
}

// EtcdOf gives what a sidecar.yaml says of etcd. The last known traffic is
// copied below state_dir.
func EtcdOf(c *config.Sidecar) register.EtcdConfig {
	host, _ := os.Hostname()
	e := c.Etcd
	return register.EtcdConfig{
		Endpoints: e.Endpoints, Prefix: e.Prefix, CA: e.CA, Cert: e.Cert, Key: e.Key,
		User: e.User, PasswordFile: e.PasswordFile,
		Watcher: cmp.Or(e.Watcher, host), Watchers: e.Watchers, Copies: filepath.Join(c.StateDir, "etcd"),
		Metrics: registerMetrics(),
	}
}

// sharedFaults says what is wrong with etcd.
func sharedFaults(c *config.Sidecar) (f config.Faults) {
	if c.Etcd == nil {
		return nil
	}
	err := EtcdOf(c).Check()
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			f.Add("etcd", "%s", e)
		}
	}
	return f
}
