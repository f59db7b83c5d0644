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

// What is written after an old backup was put back brings the revision above
// all that was seen; the record of who has served stays old.
func TestAnOldBackupIsNoticedAlsoWhenItsRevisionHasCaughtUp(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	config := etcdConfig(t, cluster)
	l := newLease(t, openEtcd(t, config), "a", 10*time.Second)
	serve := func() uint64 {
		t.Helper()
		term, err := l.Take(t.Context())
		if err == nil {
			err = l.Serve(t.Context(), term.Epoch)
		}
		if err := errors.Join(err, l.Release(t.Context())); err != nil {
			t.Fatal(err)
		}
		return term.Epoch
	}
	client := raw(t, cluster)
	serve()
	record := config.Prefix + "/lease/mdm/served"
	old, err := client.Get(t.Context(), record)
	if err != nil || len(old.Kvs) != 1 {
		t.Fatalf("%s: %v, %v", record, old, err)
	}
	epoch := serve()
	if _, err := client.Put(t.Context(), record, string(old.Kvs[0].Value)); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*register.Lease{l, newLease(t, openEtcd(t, config), "a", 10*time.Second)} { // also after a restart
		if _, err := l.Look(t.Context()); !errors.As(err, new(*register.WentBack)) {
			t.Errorf("look: %v", err)
		}
	}
	if err := l.Raise(t.Context(), epoch); err != nil {
		t.Fatal(err)
	}
	if seen, err := l.Look(t.Context()); err != nil || seen.Served.Epoch >= epoch {
		t.Errorf("after a person vouched for it: %+v, %v", seen, err)
	}
	if next := serve(); next <= epoch {
		t.Errorf("epoch %d is not above %d", next, epoch)
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
