package register_test

import (
	"fmt"
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
