package register_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
	"github.com/understudy-ha/understudy/internal/register/registertest"
)

// papers are the files of one who speaks TLS.
type papers struct{ ca, cert, key string }

func newAuthority(t *testing.T) *hatest.Authority {
	t.Helper()
	a, err := hatest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// issue writes a certificate by an authority into a directory.
func issue(t *testing.T, dir string, a *hatest.Authority, name string) papers {
	t.Helper()
	c, err := a.Certificate(name)
	if err != nil {
		t.Fatal(err)
	}
	p := papers{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	write := func(path, kind string, der []byte) {
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(p.ca, a.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	write(p.cert, "CERTIFICATE", c.Certificate[0])
	write(p.key, "PRIVATE KEY", keyOf(t, c))
	return p
}

func keyOf(t *testing.T, c tls.Certificate) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Members and watchers prove themselves to one another; who cannot is told why
// it is of no use, and a certificate that was renewed counts without a restart.
func TestEtcdOverTLSIsForThoseWhoProveThemselves(t *testing.T) {
	t.Parallel()
	ours, strangers := newAuthority(t), newAuthority(t)
	server := issue(t, t.TempDir(), ours, "127.0.0.1")
	cluster := registertest.NewSecureCluster(t, 3, server.ca, server.cert, server.key)
	good, stranger := issue(t, t.TempDir(), ours, "watcher"), issue(t, t.TempDir(), strangers, "watcher")
	load := func(t *testing.T, p papers) error {
		config := etcdConfig(t, cluster)
		config.CA, config.Cert, config.Key = p.ca, p.cert, p.key
		_, err := openEtcd(t, config).Load(t.Context(), "app")
		return err
	}
	for what, c := range map[string]struct {
		papers
		want string // in the error
	}{
		"a certificate of ours":             {good, ""},
		"a member's authority is not known": {papers{stranger.ca, good.cert, good.key}, "certificate"},
		"a certificate of strangers":        {papers{good.ca, stranger.cert, stranger.key}, "certificate"},
		"no certificate":                    {papers{good.ca, "", ""}, "certificate"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			err := load(t, c.papers)
			switch {
			case c.want == "" && !errors.Is(err, ha.ErrNone):
				t.Errorf("load: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("load: %v, want a word of its %s", err, c.want)
			}
		})
	}
	t.Run("a renewed one", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		p := issue(t, dir, strangers, "watcher")
		if err := os.WriteFile(p.ca, ours.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		config := etcdConfig(t, cluster)
		config.CA, config.Cert, config.Key = p.ca, p.cert, p.key
		e := openEtcd(t, config)
		if _, err := e.Load(t.Context(), "app"); err == nil || errors.Is(err, ha.ErrNone) {
			t.Fatalf("load: %v", err)
		}
		issue(t, dir, ours, "watcher")
		eventually(t, "the renewed certificate", func() bool {
			_, err := e.Load(t.Context(), "app")
			return errors.Is(err, ha.ErrNone)
		})
	})
}
