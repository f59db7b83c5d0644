package register_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/register"
	"github.com/understudy-ha/understudy/internal/register/leasetest"
	"github.com/understudy-ha/understudy/internal/register/registertest"
)

func newLease(t testing.TB, e *register.Etcd, node string, ttl time.Duration) *register.Lease {
	t.Helper()
	l, err := e.NewLease("mdm", node, ttl, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestALeaseKeepsItsPromises(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	var stores atomic.Int64
	leasetest.Run(t, func(*testing.T) leasetest.Leases {
		prefix := fmt.Sprintf("/lease-%d", stores.Add(1))
		return func(t *testing.T, node string, ttl time.Duration) *register.Lease {
			config := etcdConfig(t, cluster)
			config.Prefix = prefix
			return newLease(t, openEtcd(t, config), node, ttl)
		}
	})
}

func TestAnotherClusterThanBeforeIsNotReliedOnUntilAPersonRaisesIt(t *testing.T) {
	t.Parallel()
	first, second := registertest.NewCluster(t, 1), registertest.NewCluster(t, 1)
	config := etcdConfig(t, first)
	e := openEtcd(t, config)
	l := newLease(t, e, "a", 10*time.Second)
	var epoch uint64
	for range 3 {
		term, err := l.Take(t.Context())
		if err := errors.Join(err, l.Release(t.Context())); err != nil {
			t.Fatal(err)
		}
		epoch = term.Epoch
	}
	_ = e.Close()
	config.Endpoints = second.Endpoints()
	l = newLease(t, openEtcd(t, config), "a", 10*time.Second)
	if _, err := l.Look(t.Context()); !errors.As(err, new(*register.WentBack)) {
		t.Errorf("look: %v", err)
	}
	if _, err := l.Take(t.Context()); !errors.As(err, new(*register.WentBack)) {
		t.Errorf("take: %v", err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.Raise(t.Context(), epoch); err != nil {
		t.Fatal(err)
	}
	term, err := l.Take(t.Context())
	if err != nil || term.Epoch <= epoch {
		t.Errorf("take: %+v, %v; want above %d", term, err, epoch)
	}
}

func TestALeaseIsForNamesAndWholeSeconds(t *testing.T) {
	t.Parallel()
	config := register.DefaultEtcd()
	config.Endpoints, config.Copies, config.Watcher = []string{silent(t)}, t.TempDir(), "here"
	e := openEtcd(t, config)
	for _, c := range []struct {
		name, node string
		ttl        time.Duration
	}{{"", "a", time.Second}, {"x/y", "a", time.Second}, {"x", "", time.Second}, {"x", "a", 0}, {"x", "a", 1500 * time.Millisecond}} {
		if _, err := e.NewLease(c.name, c.node, c.ttl, time.Now); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func TestALeasesDeadlineCountsFromTheSendHoweverLateTheAnswer(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	slow := newDelay(t, cluster.Endpoints()[0])
	config := etcdConfig(t, cluster)
	config.Endpoints = []string{slow.url()}
	l := newLease(t, openEtcd(t, config), "a", 10*time.Second)
	const late = 400 * time.Millisecond
	slow.late.Store(int64(late))
	before := time.Now()
	term, err := l.Take(t.Context())
	if got := term.Deadline.Sub(before); err != nil || got < 10*time.Second || got > 10*time.Second+late/2 {
		t.Errorf("taken: until %s after it was sent, %v", got, err)
	}
	before = time.Now()
	deadline, err := l.Renew(t.Context())
	if got := deadline.Sub(before); err != nil || got > 10*time.Second+late/2 {
		t.Errorf("renewed: until %s after it was sent, %v", got, err)
	}
}
