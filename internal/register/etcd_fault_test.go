package register_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register"
	"github.com/understudy-ha/understudy/internal/register/registertest"
)

const patience = 30 * time.Second

var instant = time.Date(2026, 2, 3, 4, 5, 6, 789012345, time.UTC)

func trafficOf(group string, epoch uint64) ha.Traffic {
	return ha.Traffic{
		Group: group, Epoch: epoch, Order: []string{"mi1", "mi2"}, Serving: "mi1",
		Since: instant, At: instant, Cause: ha.Switched, Actor: "ann",
	}
}

// raw gives etcd's own client, as a person's etcdctl is.
func raw(t testing.TB, c *registertest.Cluster) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func save(t testing.TB, e *register.Etcd, was uint64, v ha.Traffic) {
	t.Helper()
	if err := e.Save(t.Context(), was, v); err != nil {
		t.Fatalf("save epoch %d: %v", v.Epoch, err)
	}
}

// eventually waits for something that needs no more than a few seconds.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func TestWithoutEtcdTheLastKnownTrafficIsGivenAndNothingIsStored(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	config := etcdConfig(t, cluster)
	first := openEtcd(t, config)
	want := trafficOf("app", 3)
	save(t, first, 0, trafficOf("app", 1))
	save(t, first, 1, want)
	_ = first.Close()
	cluster.End(0)

	e := openEtcd(t, config)
	_, err := e.Load(t.Context(), "app")
	var adrift *ha.Adrift
	if !errors.As(err, &adrift) || adrift.Reason != ha.RegisterLost {
		t.Fatalf("load: %v, want the last known traffic", err)
	}
	if diff := cmp.Diff(want, adrift.Last); diff != "" {
		t.Errorf("last known (-want +got):\n%s", diff)
	}
	if !strings.Contains(err.Error(), config.Endpoints[0]) {
		t.Errorf("the error names no member: %v", err)
	}
	start := time.Now()
	for _, next := range []ha.Traffic{trafficOf("app", 4), forcedOf("app", 4)} {
		if err := e.Save(t.Context(), 3, next); err == nil || errors.Is(err, ha.ErrStale) {
			t.Errorf("save without etcd: %v", err)
		}
	}
	if _, err := e.Load(t.Context(), "other"); err == nil || errors.As(err, new(*ha.Adrift)) || errors.Is(err, ha.ErrNone) {
		t.Errorf("load of a group that nobody knows: %v", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("calls wait for etcd that is known to be gone: %s", took)
	}
	cluster.Start(0)
	cluster.Wait(0)
	eventually(t, "load when etcd is back", func() bool {
		got, err := e.Load(t.Context(), "app")
		return err == nil && cmp.Equal(got, want)
	})
	save(t, e, 3, trafficOf("app", 4))
}

func forcedOf(group string, epoch uint64) ha.Traffic {
	v := trafficOf(group, epoch)
	v.Forced, v.Words = true, "restored"
	return v
}

func TestEtcdThatWentBackIsHeldAndReplacedByAPersonOnly(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	client := raw(t, cluster)
	for name, spoil := range map[string]func(config register.EtcdConfig) error{
		"an old backup": func(config register.EtcdConfig) error {
			old := etcdConfig(t, cluster)
			old.Prefix = "/old-" + config.Watcher
			save(t, openEtcd(t, old), 0, trafficOf("app", 2))
			got, err := client.Get(t.Context(), old.Prefix+"/traffic/app")
			if err != nil {
				return err
			}
			if _, err := client.Delete(t.Context(), config.Prefix+"/history/", clientv3.WithPrefix()); err != nil {
				return err
			}
			_, err = client.Put(t.Context(), config.Prefix+"/traffic/app", string(got.Kvs[0].Value))
			return err
		},
		"nothing": func(config register.EtcdConfig) error {
			_, err := client.Delete(t.Context(), config.Prefix+"/", clientv3.WithPrefix())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := etcdConfig(t, cluster)
			config.Watcher = strings.ReplaceAll(name, " ", "-")
			config.Prefix = "/" + config.Watcher
			e := openEtcd(t, config)
			save(t, e, 0, trafficOf("app", 4))
			save(t, e, 4, trafficOf("app", 5))
			if err := spoil(config); err != nil {
				t.Fatal(err)
			}
			for _, e := range []*register.Etcd{e, openEtcd(t, config)} {
				_, err := e.Load(t.Context(), "app")
				var adrift *ha.Adrift
				if !errors.As(err, &adrift) || adrift.Reason != ha.RegisterBack || adrift.Last.Epoch != 5 {
					t.Fatalf("load: %v, want register_back with epoch 5", err)
				}
				for _, was := range []uint64{0, 2, 5} {
					if err := e.Save(t.Context(), was, trafficOf("app", 9)); !errors.As(err, &adrift) {
						t.Errorf("save after %d that nobody forced: %v", was, err)
					}
				}
				if err := e.Save(t.Context(), 4, forcedOf("app", 5)); !errors.Is(err, ha.ErrStale) {
					t.Errorf("save of an epoch that is not above: %v", err)
				}
			}
			save(t, e, 5, forcedOf("app", 6))
			if got, err := e.Load(t.Context(), "app"); err != nil || got.Epoch != 6 {
				t.Errorf("load: %+v, %v", got, err)
			}
		})
	}
}

func TestDamageInEtcdIsNeverGuessedAround(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	client := raw(t, cluster)
	for name, value := range map[string]string{"cut": `{"version":1,"traf`, "empty": "", "newer": `{"version":99,"traffic":{"epoch":77},"checksum":""}`, "missing": "-"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := etcdConfig(t, cluster)
			config.Prefix = "/" + name
			save(t, openEtcd(t, config), 0, trafficOf("app", 4))
			var err error
			if value == "-" {
				_, err = client.Delete(t.Context(), config.Prefix+"/traffic/app")
			} else {
				_, err = client.Put(t.Context(), config.Prefix+"/traffic/app", value)
			}
			if err != nil {
				t.Fatal(err)
			}
			config.Copies = t.TempDir() // a host that knows nothing
			e := openEtcd(t, config)
			_, err = e.Load(t.Context(), "app")
			var damaged *ha.Damaged
			want := uint64(4)
			if name == "newer" {
				want = 77
			}
			if !errors.As(err, &damaged) || damaged.Floor != want {
				t.Fatalf("load: %v, want damaged above %d", err, want)
			}
			if err := e.Save(t.Context(), 4, trafficOf("app", 100)); !errors.As(err, &damaged) {
				t.Errorf("save that nobody forced: %v", err)
			}
			if err := e.Save(t.Context(), 0, forcedOf("app", want)); !errors.Is(err, ha.ErrStale) {
				t.Errorf("save of an epoch that is not above: %v", err)
			}
			save(t, e, 0, forcedOf("app", want+1))
			if got, err := e.Load(t.Context(), "app"); err != nil || got.Epoch != want+1 {
				t.Errorf("load: %+v, %v", got, err)
			}
		})
	}
}

func TestACompactionUnderAWatchLosesNothing(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	client := raw(t, cluster)
	a, b := openEtcd(t, etcdConfig(t, cluster)), openEtcd(t, etcdConfig(t, cluster))
	signal, err := b.Watch(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	for was := range uint64(20) {
		save(t, a, was, trafficOf("app", was+1))
		at, err := client.Get(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Compact(t.Context(), at.Header.Revision); err != nil {
			t.Fatal(err)
		}
	}
	for epoch := uint64(0); epoch < 20; {
		select {
		case <-signal:
		case <-time.After(patience):
			t.Fatalf("no signal after epoch %d", epoch)
		}
		got, err := b.Load(t.Context(), "app")
		if err != nil {
			t.Fatal(err)
		}
		epoch = got.Epoch
	}
}

func TestTheHistoryInEtcdIsBounded(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	e := openEtcd(t, etcdConfig(t, cluster))
	for was := range uint64(240) {
		save(t, e, was, trafficOf("app", was+1))
	}
	past, err := e.History(t.Context(), "app", 1000)
	if err != nil || len(past) < 200 || len(past) > 216 || past[len(past)-1].Epoch != 240 {
		t.Errorf("%d entries, %v", len(past), err)
	}
}

func TestUsersOfEtcdAreAskedForAndTold(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	client := raw(t, cluster)
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(client.UserAdd(ctx, "root", "r00t"))
	must(client.UserGrantRole(ctx, "root", "root"))
	must(client.RoleAdd(ctx, "watcher"))
	must(client.RoleGrantPermission(ctx, "watcher", "/understudy/", clientv3.GetPrefixRangeEnd("/understudy/"), clientv3.PermissionType(clientv3.PermReadWrite)))
	must(client.UserAdd(ctx, "front", "s3cret-word"))
	must(client.UserGrantRole(ctx, "front", "watcher"))
	must(client.UserAdd(ctx, "nobody", "s3cret-word"))
	must(client.AuthEnable(ctx))
	password := func(word string) string {
		file := filepath.Join(t.TempDir(), "password")
		must(nil, os.WriteFile(file, []byte(word+"\n"), 0o600))
		return file
	}
	for name, c := range map[string]struct{ user, word, want string }{
		"the right one":             {"front", "s3cret-word", ""},
		"a wrong password":          {"front", "s3cret-wrong", `refuses user "front"`},
		"no user":                   {"", "", `refuses user ""`},
		"a user without permission": {"nobody", "s3cret-word", `does not let user "nobody"`},
	} {
		t.Run(name, func(t *testing.T) {
			config := etcdConfig(t, cluster)
			if config.User = c.user; c.user != "" {
				config.PasswordFile = password(c.word)
			}
			e := openEtcd(t, config)
			_, err := e.Load(ctx, "app")
			for range 10 { // etcd takes its time over a password where others are at work
				if err == nil || !strings.Contains(err.Error(), "does not answer") {
					break
				}
				_, err = e.Load(ctx, "app")
			}
			switch {
			case c.want == "" && !errors.Is(err, ha.ErrNone):
				t.Errorf("load: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret")):
				t.Errorf("load: %v, want %s", err, c.want)
			}
		})
	}
}

func TestAConfigurationOfEtcdIsCheckedWhole(t *testing.T) {
	t.Parallel()
	config := register.EtcdConfig{Endpoints: []string{"https://a:1", "http://b:2", "ftp://x"}, Prefix: "understudy/", Cert: "c", User: "u", Watcher: "a b", Watchers: 2, CA: "ca"}
	_, err := register.OpenEtcd(config, slog.New(slog.DiscardHandler))
	for _, want := range []string{"ftp://x", "mix http and https", "prefix", "cert and key", "user and password_file", "watcher's name", "watchers is 1, or odd", "directory"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		}
	}
}

func TestCallsEndWithTheirContextWhileEtcdIsSilent(t *testing.T) {
	t.Parallel()
	config := register.DefaultEtcd()
	config.Endpoints, config.Copies, config.Watcher = []string{silent(t)}, t.TempDir(), "here"
	e := openEtcd(t, config)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := e.Load(ctx, "app"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("load: %v", err)
	}
}

func TestSlowEtcdIsSlowAndNotGone(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	slow := newDelay(t, cluster.Endpoints()[0])
	config := etcdConfig(t, cluster)
	config.Endpoints = []string{slow.url()}
	e := openEtcd(t, config)
	save(t, e, 0, trafficOf("app", 1))
	slow.late.Store(int64(2 * time.Second))
	save(t, e, 1, trafficOf("app", 2))
	slow.late.Store(0)
	if got, err := e.Load(t.Context(), "app"); err != nil || got.Epoch != 2 {
		t.Errorf("load: %+v, %v", got, err)
	}
	if past, err := e.History(t.Context(), "app", 10); err != nil || len(past) != 2 {
		t.Errorf("history: %d entries, %v", len(past), err)
	}
}
