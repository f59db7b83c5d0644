package register

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/statefile"
)

// The times of an Etcd.
const (
	etcdCall = 5 * time.Second // of one call; etcd at two seconds is slow, not gone
	etcdTry  = time.Second     // of its first try

	etcdInsist = 3 * time.Second       // of a call that asks one member after another
	etcdPause  = 50 * time.Millisecond // from one of them to the next
	etcdPulse  = time.Second           // from one look at etcd to the next
	voteTTL    = 10 * time.Second
	etcdLong   = 5 * time.Second // down for this long is more than another leader
)

// EtcdConfig says where etcd is and who we are there.
type EtcdConfig struct {
	Endpoints    []string // URLs of the members' client listeners
	Prefix       string   // of every key: begins with a slash, has none at its end
	CA           string   // file with the authorities of the members' certificates; needed for https
	Cert, Key    string   // files with our certificate, for etcd that asks for one
	User         string   // of etcd's own users; empty: none
	PasswordFile string
	Watcher      string       // our name among the watchers, unique
	Watchers     int          // how many there are: 1, or odd and at least 3
	Copies       string       // directory for the last known Traffics
	Metrics      *EtcdMetrics // nil: nothing is counted
}

// DefaultEtcd gives the prefix /understudy and one watcher with this host's
// name.
func DefaultEtcd() EtcdConfig {
	host, _ := os.Hostname()
	return EtcdConfig{Prefix: "/understudy", Watcher: host, Watchers: 1}
}

// Check says everything that is wrong with c, or nil.
func (c EtcdConfig) Check() error {
	var faults []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	add(len(c.Endpoints) == 0, "endpoints is missing: the URLs of the members of etcd")
	secure, plain := 0, 0
	for _, e := range c.Endpoints {
		u, err := url.Parse(e)
		if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || (u.Scheme != "http" && u.Scheme != "https") {
			add(true, "endpoint %q is not a URL like https://192.0.2.10:2379", cut(e))
			continue
		}
		if u.Scheme == "https" {
			secure++
		} else {
			plain++
		}
	}
	add(secure > 0 && plain > 0, "endpoints mix http and https")
	add(!strings.HasPrefix(c.Prefix, "/") || strings.HasSuffix(c.Prefix, "/"), "prefix %q must begin with a slash and not end with one", cut(c.Prefix))
	add((c.Cert == "") != (c.Key == ""), "cert and key belong together")
	add(plain > 0 && c.CA+c.Cert != "", "tls is for endpoints that begin with https")
	add((c.User == "") != (c.PasswordFile == ""), "user and password_file belong together")
	if err := checkName(c.Watcher); err != nil {
		add(true, "watcher: %s", strings.Replace(err.Error(), "group", "watcher's", 1))
	}
	if err := ha.CheckWatchers(c.Watchers); err != nil {
		faults = append(faults, err)
	}
	add(c.Copies == "", "a directory for the last known traffic is missing")
	return errors.Join(faults...)
}

// client gives etcd's client for c, which asks etcd for a token if c has a
// user. Secrets stand in no error.
func (c EtcdConfig) client(ctx context.Context) (*clientv3.Client, error) {
	config := clientv3.Config{
		Endpoints: c.Endpoints, Context: ctx, Logger: zap.NewNop(), DialTimeout: etcdCall,
		DialKeepAliveTime: 2 * time.Second, DialKeepAliveTimeout: 2 * time.Second, // a peer that is gone is noticed within four seconds
		MaxUnaryRetries: 3,
	}
	if strings.HasPrefix(c.Endpoints[0], "https:") {
		var err error
		if config.TLS, err = c.tls(); err != nil {
			return nil, err
		}
	}
	if c.User != "" {
		password, err := statefile.Read(c.PasswordFile, 4096)
		if err != nil {
			return nil, fmt.Errorf("read password_file: %w", err)
		}
		config.Username, config.Password = c.User, strings.TrimRight(string(password), "\r\n")
	}
	return clientv3.New(config)
}

func (c EtcdConfig) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate in PEM", c.CA)
		}
	}
	if c.Cert == "" {
		return config, nil
	}
	if _, err := tls.LoadX509KeyPair(c.Cert, c.Key); err != nil {
		return nil, fmt.Errorf("load certificate %s: %w", c.Cert, err)
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // a renewed one counts from the next connection on
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		return &pair, err
	}
	return config, nil
}

// Etcd is a register in etcd that several hosts share. All its methods may be
// called from any goroutine; after Close none works.
//
// Its goroutines: pulse looks whether etcd can be reached, two follow hear of
// changes of Traffic and of votes, herald publishes our votes. Close ends and
// waits for them.
type Etcd struct {
	config EtcdConfig
	log    *slog.Logger
	ctx    context.Context // of the goroutines: Close ends it
	cancel context.CancelFunc
	work   sync.WaitGroup
	looked chan struct{} // closed after the first look at etcd
	ears   ears          // of Traffic
	copies copies
	chorus chorus
	marks  marks

	mu     sync.Mutex // guards the fields below
	client *clientv3.Client
	down   error     // why etcd cannot be used, nil if it can
	since  time.Time // when it began to be down
	told   bool      // that it is down for long

	answered time.Time        // when a call was last answered
	known    map[string]known // what is stored, as far as we have seen
}

// known is a stored epoch and the revision of etcd that has it.
type known struct {
	epoch uint64
	rev   int64
}

// OpenEtcd gives the register in etcd. It does not wait for etcd: what cannot
// be reached is told by every call, and tried again all the time. The error
// says what is wrong with the configuration.
func OpenEtcd(c EtcdConfig, log *slog.Logger) (*Etcd, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("open register: %w", err)
	}
	path, err := filepath.Abs(c.Copies)
	if err != nil {
		return nil, fmt.Errorf("open register: %w", err)
	}
	c.Copies = path
	if err := statefile.MakeDir(path, dirMode); err != nil {
		return nil, fmt.Errorf("open register: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &Etcd{
		config: c, log: log, ctx: ctx, cancel: cancel, looked: make(chan struct{}),
		ears: ears{all: map[string]map[chan struct{}]func() bool{}}, copies: copies{dir: path, last: map[string]ha.Traffic{}},
		known: map[string]known{}, down: errUnasked,
	}
	e.chorus.init()
	e.work.Go(e.pulse)
	e.work.Go(func() { e.follow(e.key(trafficKeys), e.traffics()) })
	e.work.Go(func() { e.follow(e.key(voteKeys), e.heardVotes) })
	e.work.Go(e.herald)
	return e, nil
}

// Close ends every watch and withdraws our votes. It may be called twice.
func (e *Etcd) Close() error {
	e.cancel()
	e.work.Wait()
	e.ears.close()
	e.chorus.ears.close()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.client == nil {
		return nil
	}
	client := e.client
	e.client, e.down = nil, errors.New("the register is closed")
	return client.Close()
}

// The kinds of keys, below the prefix.
const (
	trafficKeys = "traffic/" // GROUP
	historyKeys = "history/" // GROUP/EPOCH
	voteKeys    = "votes/"   // GROUP/WATCHER
	leaseKeys   = "lease/"   // GROUP, GROUP/served
)

func (e *Etcd) key(kind string, parts ...string) string {
	return e.config.Prefix + "/" + kind + strings.Join(parts, "/")
}

// call asks etcd, a second time if the first is not answered soon. Where it is
// known that etcd cannot be reached, it does not wait. The error tells what to
// do.
func (e *Etcd) call(ctx context.Context, ask func(context.Context, *clientv3.Client) error) (err error) {
	began := time.Now()
	defer func() { e.config.Metrics.called(began, err) }()
	client, down, err := e.reach(ctx)
	if err != nil {
		return err
	}
	if down != nil {
		return &unreached{down}
	}
	err = try(ctx, client, etcdTry, ask)
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = try(ctx, client, etcdCall-etcdTry, ask) // of another member, should the first one have vanished
	}
	switch {
	case err == nil:
		e.answers()
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	err = e.advise(err)
	e.fell(err)
	return &unreached{err}
}

// reach gives the client, once etcd has been looked for, and why it cannot be
// reached as far as is known.
func (e *Etcd) reach(ctx context.Context) (client *clientv3.Client, down, err error) {
	select {
	case <-e.looked:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.client, e.down, nil
}

// answers notes that etcd has answered now.
func (e *Etcd) answers() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answered = time.Now()
}

// insist is call for what cannot wait until etcd is known to be there again: it
// asks one member after another, and takes one that has no leader for one that
// is gone.
func (e *Etcd) insist(ctx context.Context, ask func(context.Context, *clientv3.Client) error) error {
	client, down, err := e.reach(ctx)
	if err != nil {
		return err
	}
	if client == nil || errors.As(down, new(*unfit)) {
		return &unreached{down}
	}
	limited, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), etcdCall)
	defer cancel()
	for began := time.Now(); ; {
		err := try(limited, client, etcdTry, ask)
		switch {
		case err == nil:
			e.answers()
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if limited.Err() != nil || time.Since(began) > etcdInsist || !passing(err) {
			return &unreached{e.advise(err)}
		}
		select {
		case <-limited.Done():
		case <-time.After(etcdPause):
		}
	}
}

// passing says whether another member may give a better answer.
func passing(err error) bool {
	for _, no := range []error{rpctypes.ErrAuthFailed, rpctypes.ErrUserEmpty, rpctypes.ErrUserNotFound, rpctypes.ErrInvalidAuthToken, rpctypes.ErrPermissionDenied, rpctypes.ErrNoSpace} {
		if errors.Is(err, no) {
			return false
		}
	}
	return true
}

func try(ctx context.Context, c *clientv3.Client, limit time.Duration, ask func(context.Context, *clientv3.Client) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return ask(limited, c)
}

// unreached is the error of a call that etcd has not answered, or refused.
type unreached struct{ error }

func (u *unreached) Unwrap() error { return u.error }
