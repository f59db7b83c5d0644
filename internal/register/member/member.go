package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
)

// Config is one member and the cluster that it belongs to. The URLs are those
// that other machines use; a member listens at the address of its URL, or at
// every address if the URL has a host name.
type Config struct {
	Name    string
	DataDir string
	Peer    string            // for the other members
	Client  string            // for watchers and nodes
	Members map[string]string // the peer URL of every member, this one's included
	Join    bool              // the cluster runs already and has been told of this member
	Alone   bool              // the other members are lost for good: go on with this one's data

	CA, Cert, Key string // files; every connection is mutually authenticated with them

	Tick time.Duration // from one heartbeat of the leader to the next; an election takes ten
}

// Default gives a heartbeat of 100 ms.
func Default() Config { return Config{Tick: 100 * time.Millisecond} }

// Check says everything that is wrong with c, or nil.
func (c Config) Check() error {
	var faults []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	add(c.Name == "" || strings.ContainsAny(c.Name, "=,/ "), "name %q must be a word", c.Name)
	add(c.DataDir == "", "data_dir is missing: where this member keeps its data")
	secure := c.CA != ""
	add((c.CA == "") != (c.Cert == "") || (c.Cert == "") != (c.Key == ""), "tls needs ca, cert and key")
	for what, u := range map[string]string{"peer": c.Peer, "client": c.Client} {
		if err := checkURL(u, secure); err != nil {
			add(true, "%s %w", what, err)
		}
	}
	if _, ours := c.Members[c.Name]; !ours {
		add(true, "members does not name %s, this member", c.Name)
	} else if c.Members[c.Name] != c.Peer {
		add(true, "members gives %s another peer URL than peer", c.Name)
	}
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Members)) {
		u := c.Members[name]
		if err := checkURL(u, secure); err != nil {
			add(true, "members/%s %w", name, err)
		}
		add(seen[u] != "", "members %s and %s have one peer URL", seen[u], name)
		seen[u] = name
	}
	add(c.Tick < 10*time.Millisecond || c.Tick > 5*time.Second, "heartbeat must be from 10ms to 5s")
	return errors.Join(faults...)
}

func checkURL(raw string, secure bool) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" || u.User != nil:
		return fmt.Errorf("%q is not a URL like https://192.0.2.10:2380", raw)
	case u.Scheme == "https" && secure:
		return nil
	case u.Scheme == "https":
		return errors.New("begins with https, and tls is missing")
	case u.Scheme != "http":
		return fmt.Errorf("%q is not a URL like https://192.0.2.10:2380", raw)
	case secure:
		return errors.New("must begin with https, for tls is given")
	case !loopback(u.Hostname()):
		return errors.New("is reached from other machines: give tls, and https")
	}
	return nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// Warnings names what is legal but unwise.
func (c Config) Warnings() []string {
	var w []string
	if n := len(c.Members); n != 3 && n != 5 {
		w = append(w, fmt.Sprintf("the cluster has %d members; three bear the loss of one, five of two, and an even number no more than the odd one below it", n))
	}
	if !strings.HasPrefix(c.Client, "https:") {
		w = append(w, "without tls whoever can open a connection to this member can move traffic")
	}
	return w
}

// Member is a running member.
type Member struct {
	etcd *embed.Etcd
}

// Start starts a member. It does not wait for the others: Ready does. The error
// says what to do.
func Start(c Config, log *slog.Logger) (*Member, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("start register: %w", err)
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("start register: %w", err)
	}
	if c.Alone && New(c.DataDir) {
		return nil, fmt.Errorf("start register: %s has no data to go on with alone", c.DataDir)
	}
	config, err := c.embed(log)
	if err != nil {
		return nil, fmt.Errorf("start register: %w", err)
	}
	e, err := embed.StartEtcd(config)
	if err != nil {
		return nil, fmt.Errorf("start register: %w%s", err, advice(err, c))
	}
	return &Member{etcd: e}, nil
}

// embed gives c in etcd's words.
func (c Config) embed(log *slog.Logger) (*embed.Config, error) {
	e := embed.NewConfig()
	e.Name, e.Dir = c.Name, c.DataDir
	e.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapTo(log))
	peer, client := must(c.Peer), must(c.Client)
	e.AdvertisePeerUrls, e.AdvertiseClientUrls = []url.URL{peer}, []url.URL{client}
	e.ListenPeerUrls, e.ListenClientUrls = []url.URL{listen(peer)}, []url.URL{listen(client)}
	var members []string
	for _, name := range slices.Sorted(maps.Keys(c.Members)) {
		members = append(members, name+"="+c.Members[name])
	}
	e.InitialCluster, e.InitialClusterToken = strings.Join(members, ","), "understudy"
	if c.Join {
		e.ClusterState = embed.ClusterStateFlagExisting
	}
	e.ForceNewCluster = c.Alone
	e.TickMs, e.ElectionMs = uint(c.Tick/time.Millisecond), uint(10*c.Tick/time.Millisecond)
	e.AutoCompactionMode, e.AutoCompactionRetention = embed.CompactorModePeriodic, "1h"
	e.EnableGRPCGateway = false                                              // nobody here speaks JSON with etcd
	e.WarningUnaryRequestDuration = embed.DefaultWarningUnaryRequestDuration // else each request is one
	if c.CA != "" {
		tls := transport.TLSInfo{CertFile: c.Cert, KeyFile: c.Key, TrustedCAFile: c.CA, ClientCertAuth: true}
		e.ClientTLSInfo, e.PeerTLSInfo = tls, tls
		e.TlsMinVersion = "TLS1.2"
	}
	return e, e.Validate()
}

// must parses a URL that Check has parsed.
func must(raw string) url.URL {
	u, _ := url.Parse(raw)
	return *u
}

// listen gives where to listen for a URL: etcd listens at addresses only.
func listen(u url.URL) url.URL {
	if _, err := netip.ParseAddr(u.Hostname()); err != nil {
		u.Host = net.JoinHostPort("::", u.Port())
	}
	return u
}

func advice(err error, c Config) string {
	switch text := err.Error(); {
	case strings.Contains(text, "address already in use"):
		return "; another process listens there: is this member running already?"
	case strings.Contains(text, "member count is unequal"), strings.Contains(text, "unmatched member"):
		return "; members in the file are not those that the cluster knows: see understudy register members"
	case strings.Contains(text, "permanently removed"):
		return "; this member was removed from the cluster: to take it in again, empty " + c.DataDir + " and join it anew"
	case strings.Contains(text, "cannot fetch cluster info"):
		return "; none of the other members answers: start this one when one of them runs"
	}
	return ""
}

// New says whether a data directory has never been used by a member.
func New(dataDir string) bool {
	_, err := os.Stat(filepath.Join(dataDir, "member"))
	return errors.Is(err, os.ErrNotExist)
}

// Ready waits until the member takes part in a cluster that has a leader.
func (m *Member) Ready(ctx context.Context) error {
	select {
	case <-m.etcd.Server.ReadyNotify():
		return nil
	case err := <-m.etcd.Err():
		return err
	case <-m.etcd.Server.StopNotify():
		return errors.New("the member has stopped")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ended waits until the member ends by itself, with the reason, or ctx ends.
func (m *Member) Ended(ctx context.Context) error {
	select {
	case err := <-m.etcd.Err():
		return err
	case <-m.etcd.Server.StopNotify():
		return errors.New("the member has stopped: was it removed from the cluster?")
	case <-ctx.Done():
		return nil
	}
}

// Close ends the member; it leaves the cluster's other members alone, and hands
// a lead over first.
func (m *Member) Close() { m.etcd.Close() }
