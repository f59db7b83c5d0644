package member

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Admin asks a running cluster, through the member of its configuration, to be
// changed or copied.
type Admin struct {
	config Config
	client *clientv3.Client
}

// OpenAdmin gives the Admin of a member.
func OpenAdmin(c Config) (*Admin, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	secure, err := c.clientTLS()
	if err != nil {
		return nil, err
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{c.Client}, TLS: secure, Logger: zap.NewNop(), DialTimeout: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	return &Admin{c, client}, nil
}

func (c Config) clientTLS() (*tls.Config, error) {
	if c.CA == "" {
		return nil, nil
	}
	return transport.TLSInfo{CertFile: c.Cert, KeyFile: c.Key, TrustedCAFile: c.CA}.ClientConfig()
}

// Close ends the connection.
func (a *Admin) Close() { _ = a.client.Close() }

// Standing is a member as the cluster knows it.
type Standing struct {
	Name    string // empty: it has been added and never started
	Peer    string
	Client  string
	Leader  bool
	Version string // empty: it does not answer
	Wrong   string // why it does not answer
}

// Members gives every member, sorted by name.
func (a *Admin) Members(ctx context.Context) ([]Standing, error) {
	list, err := a.client.MemberList(ctx)
	if err != nil {
		return nil, a.failed("list the members", err)
	}
	var all []Standing
	for _, m := range list.Members {
		s := Standing{Name: m.Name, Peer: strings.Join(m.PeerURLs, " "), Client: strings.Join(m.ClientURLs, " ")}
		for _, url := range m.ClientURLs {
			short, cancel := context.WithTimeout(ctx, 2*time.Second)
			status, err := a.client.Status(short, url)
			cancel()
			if err != nil {
				s.Wrong = "no answer"
				continue
			}
			s.Version, s.Leader, s.Wrong = status.Version, status.Leader == m.ID, ""
			break
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y Standing) int { return strings.Compare(x.Name, y.Name) })
	return all, nil
}

// Add tells the cluster of a new member; it is then started with join. The
// cluster refuses where it would lose its majority by that.
func (a *Admin) Add(ctx context.Context, name, peer string) error {
	if _, err := a.id(ctx, name); err == nil {
		return fmt.Errorf("add member %s: the cluster has a member of that name; remove it first", name)
	}
	if err := checkURL(peer, a.config.CA != ""); err != nil {
		return fmt.Errorf("add member %s: its peer URL %w", name, err)
	}
	if _, err := a.client.MemberAdd(ctx, []string{peer}); err != nil {
		return a.failed("add member "+name, err)
	}
	return nil
}

// Remove takes a member out of the cluster for good, by its name, or by its peer
// URL if it was never started. Its data directory is worth nothing then.
func (a *Admin) Remove(ctx context.Context, name string) error {
	id, err := a.id(ctx, name)
	if err != nil {
		return fmt.Errorf("remove member %s: %w", name, err)
	}
	if _, err := a.client.MemberRemove(ctx, id); err != nil {
		return a.failed("remove member "+name, err)
	}
	return nil
}

func (a *Admin) id(ctx context.Context, name string) (uint64, error) {
	list, err := a.client.MemberList(ctx)
	if err != nil {
		return 0, a.failed("list the members", err)
	}
	for _, m := range list.Members {
		if m.Name == name || slices.Contains(m.PeerURLs, name) {
			return m.ID, nil
		}
	}
	return 0, errors.New("the cluster has no member of that name")
}

// Snapshot writes a copy of all data to a file that does not exist yet. It is
// whole, or not there.
func (a *Admin) Snapshot(ctx context.Context, file string) (err error) {
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("write snapshot: %s is there already", file)
	}
	data, err := a.client.Snapshot(ctx)
	if err != nil {
		return a.failed("write snapshot", err)
	}
	defer data.Close()
	temp, err := os.CreateTemp(filepath.Dir(file), ".snapshot-*")
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	if _, err := io.Copy(temp, data); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := temp.Sync(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return os.Rename(temp.Name(), file)
}

func (a *Admin) failed(what string, err error) error {
	switch text := err.Error(); {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: the member at %s does not answer; more than half of the members must run", what, a.config.Client)
	case strings.Contains(text, "unhealthy cluster"), strings.Contains(text, "unstarted member"):
		return fmt.Errorf("%s: too few members run for that; start those that are down, or remove a lost one first", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}
