package register_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register"
	"github.com/understudy-ha/understudy/internal/register/registertest"
)

// watchers opens n handles with names and copies of their own.
func watchers(t testing.TB, c *registertest.Cluster, n int) (all []*register.Etcd) {
	t.Helper()
	for i := range n {
		config := etcdConfig(t, c)
		config.Watcher, config.Watchers = fmt.Sprintf("w%d", i), n
		all = append(all, openEtcd(t, config))
	}
	return all
}

func voteOf(group string, stance ha.Stance) ha.Vote {
	return ha.Vote{Group: group, Epoch: 7, Serving: "mi1", Stance: stance, Since: instant, Nodes: []ha.VotedNode{{Node: "mi1", State: ha.Active, At: instant}}}
}

func TestVotesAreHeardByTheOthersAndEndWithTheirWatcher(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	all := watchers(t, cluster, 3)
	heard, err := all[0].Heard(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	all[0].Vote(voteOf("app", ha.StanceGood))
	all[1].Vote(voteOf("app", ha.StanceMissing))
	all[1].Vote(voteOf("app", ha.StanceDown)) // the last one counts
	all[2].Vote(voteOf("other", ha.StanceDown))
	want := voteOf("app", ha.StanceDown)
	want.Watcher = "w1"
	await := func(what string, want []ha.Vote) {
		t.Helper()
		deadline := time.After(patience)
		for !cmp.Equal(all[0].Votes("app"), want, cmpopts.EquateEmpty()) {
			select {
			case <-heard:
			case <-deadline:
				t.Fatalf("%s: %+v", what, all[0].Votes("app"))
			}
		}
	}
	await("the other's vote", []ha.Vote{want})
	if _, err := raw(t, cluster).Put(t.Context(), "/understudy/votes/app/liar", "{nonsense"); err != nil {
		t.Fatal(err)
	}
	_ = all[1].Close()
	await("after it was closed", nil)
}

func TestAVoteOutlivesTheLossOfItsLease(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	all := watchers(t, cluster, 3)
	all[1].Vote(voteOf("app", ha.StanceDown))
	heardOf := func() bool { return len(all[0].Votes("app")) == 1 }
	eventually(t, "the vote", heardOf)
	client := raw(t, cluster)
	leases, err := client.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases.Leases {
		if _, err := client.Revoke(t.Context(), l.ID); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the vote is gone", func() bool { return !heardOf() })
	eventually(t, "the vote is there again", heardOf)
}

// A vote that was sent long ago and arrives late, a person who deletes keys: in
// the end etcd has what the watcher says now.
func TestAVoteThatIsOverwrittenOrDeletedComesBack(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	all := watchers(t, cluster, 3)
	client := raw(t, cluster)
	const key = "/understudy/votes/app/w1"
	all[1].Vote(voteOf("app", ha.StanceGood))
	says := func(want ha.Stance) func() bool {
		return func() bool { v := all[0].Votes("app"); return len(v) == 1 && v[0].Stance == want }
	}
	eventually(t, "the vote", says(ha.StanceGood))
	was, err := client.Get(t.Context(), key)
	if err != nil || len(was.Kvs) != 1 {
		t.Fatalf("%+v, %v", was, err)
	}
	all[1].Vote(voteOf("app", ha.StanceDown))
	eventually(t, "the next vote", says(ha.StanceDown))
	now, err := client.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(t.Context(), key, string(was.Kvs[0].Value)); err != nil {
		t.Fatal(err)
	}
	back := func() bool {
		got, err := client.Get(t.Context(), key)
		return err == nil && len(got.Kvs) == 1 && string(got.Kvs[0].Value) == string(now.Kvs[0].Value) && got.Kvs[0].Lease == now.Kvs[0].Lease
	}
	eventually(t, "the vote after an old one came late", back)
	if _, err := client.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the vote after it was deleted", back)
	eventually(t, "the other hears it", says(ha.StanceDown))
}

func TestTwoWatchersOfOneNameAreTold(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	var said [2]lockedText
	for i := range said {
		config := etcdConfig(t, cluster)
		config.Watcher, config.Watchers = "same", 3
		e, err := register.OpenEtcd(config, slog.New(slog.NewTextHandler(&said[i], nil)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		e.Vote(voteOf("app", []ha.Stance{ha.StanceGood, ha.StanceDown}[i]))
	}
	const words = "another watcher has this one's name"
	eventually(t, "it is told", func() bool {
		return strings.Contains(said[0].String(), words) || strings.Contains(said[1].String(), words)
	})
	client := raw(t, cluster)
	at := func() int64 {
		got, err := client.Get(t.Context(), "/x")
		if err != nil {
			t.Fatal(err)
		}
		return got.Header.Revision
	}
	before := at()
	<-time.After(3 * time.Second)
	if writes := at() - before; writes > 20 {
		t.Errorf("%d writes in three seconds", writes)
	}
}

// lockedText is what several goroutines write.
type lockedText struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestAThousandCalmGroupsAndFiveWatchersWriteNothing(t *testing.T) {
	t.Parallel()
	const groups, n = 1000, 5
	cluster := registertest.NewCluster(t, 1)
	client := raw(t, cluster)
	all := watchers(t, cluster, n)
	for i := range groups {
		for _, e := range all {
			e.Vote(voteOf(fmt.Sprintf("g%d", i), ha.StanceGood))
		}
	}
	count := func() (keys, revision int64) {
		t.Helper()
		got, err := client.Get(t.Context(), "/understudy/votes/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return got.Count, got.Header.Revision
	}
	eventually(t, "every vote is published", func() bool { keys, _ := count(); return keys == groups*n })
	eventually(t, "every vote is heard", func() bool { return len(all[0].Votes("g999")) == n-1 })
	_, before := count()
	<-time.After(5 * time.Second) // more than one renewal of each lease
	if _, after := count(); after != before {
		t.Errorf("%d writes in five calm seconds", after-before)
	}
}
