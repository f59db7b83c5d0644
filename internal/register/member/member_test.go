package member_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/understudy-ha/understudy/internal/register/member"
)

const patience = 30 * time.Second

func freeURL(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// configs gives n members of one cluster.
func configs(t *testing.T, n int) []member.Config {
	t.Helper()
	var all []member.Config
	members := map[string]string{}
	for i := range n {
		c := member.Default()
		c.Name, c.DataDir = fmt.Sprintf("m%d", i), filepath.Join(t.TempDir(), "data")
		c.Peer, c.Client, c.Members, c.Tick = freeURL(t), freeURL(t), members, 50*time.Millisecond
		members[c.Name] = c.Peer
		all = append(all, c)
	}
	return all
}

func start(t *testing.T, c member.Config) *member.Member {
	t.Helper()
	m, err := member.Start(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ready(t *testing.T, m *member.Member) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := m.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}

func admin(t *testing.T, c member.Config) *member.Admin {
	t.Helper()
	a, err := member.OpenAdmin(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// put and get are what a watcher does.
func put(t *testing.T, c member.Config, key, value string) (got string) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{c.Client}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if value != "" {
		if _, err := client.Put(ctx, key, value); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := client.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range answer.Kvs {
		got = string(kv.Value)
	}
	return got
}

func TestALostMemberIsReplacedAndItsDataComesBack(t *testing.T) {
	t.Parallel()
	all := configs(t, 3)
	running := []*member.Member{start(t, all[0]), start(t, all[1]), start(t, all[2])}
	for _, m := range running {
		ready(t, m)
	}
	put(t, all[0], "k", "before")
	running[2].Close() // its machine is gone
	a := admin(t, all[0])
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := a.Remove(ctx, "m2"); err != nil {
		t.Fatal(err)
	}
	again := all[2]
	again.Name, again.Join, again.DataDir = "m3", true, filepath.Join(t.TempDir(), "new")
	again.Peer, again.Client = freeURL(t), freeURL(t)
	again.Members = map[string]string{"m0": all[0].Peer, "m1": all[1].Peer, "m3": again.Peer}
	var err error
	for range 100 { // the cluster wants to have seen its members well for a while
		if err = a.Add(ctx, "m3", again.Peer); err == nil {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	joined := start(t, again)
	defer joined.Close()
	ready(t, joined)
	running[1].Close() // m0 and m3 are a majority of three
	if got := put(t, again, "k", ""); got != "before" {
		t.Errorf("the new member has %q", got)
	}
	if got := put(t, again, "k", "after"); got != "after" {
		t.Errorf("then %q", got)
	}
	standing, err := admin(t, again).Members(ctx)
	if err != nil || len(standing) != 3 {
		t.Fatalf("%+v, %v", standing, err)
	}
	running[0].Close()
}

func TestOneMemberGoesOnAlone(t *testing.T) {
	t.Parallel()
	all := configs(t, 3)
	running := []*member.Member{start(t, all[0]), start(t, all[1]), start(t, all[2])}
	for _, m := range running {
		ready(t, m)
	}
	put(t, all[0], "k", "kept")
	for _, m := range running {
		m.Close()
	}
	alone := all[1]
	alone.Alone = true
	m := start(t, alone)
	defer m.Close()
	ready(t, m)
	if got := put(t, alone, "k", ""); got != "kept" {
		t.Errorf("it has %q", got)
	}
	empty := all[2]
	empty.Alone, empty.DataDir = true, t.TempDir()
	if _, err := member.Start(empty, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "no data to go on with") {
		t.Errorf("one without data: %v", err)
	}
}

func TestASnapshotIsWrittenWholeAndOnce(t *testing.T) {
	t.Parallel()
	all := configs(t, 1)
	m := start(t, all[0])
	defer m.Close()
	ready(t, m)
	a := admin(t, all[0])
	file := filepath.Join(t.TempDir(), "copy")
	if err := a.Snapshot(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	if err := a.Snapshot(t.Context(), file); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("again: %v", err)
	}
}

func TestAMemberIsCheckedWhole(t *testing.T) {
	t.Parallel()
	c := member.Config{Name: "a b", Peer: "http://192.0.2.1:2380", Client: "https://192.0.2.1:2379", Cert: "c", Members: map[string]string{"b": "x"}}
	err := c.Check()
	for _, want := range []string{"must be a word", "data_dir is missing", "tls needs ca", "peer is reached from other machines", "client begins with https", "does not name a b", `members/b "x"`, "heartbeat"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		}
	}
	if w := (member.Config{Members: map[string]string{"a": "", "b": ""}, Client: "https://x"}).Warnings(); len(w) != 1 || !strings.Contains(w[0], "2 members") {
		t.Errorf("warnings %q", w)
	}
}

func TestAPortThatIsTakenIsSaid(t *testing.T) {
	t.Parallel()
	c := configs(t, 1)[0]
	l, err := net.Listen("tcp", strings.TrimPrefix(c.Client, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := member.Start(c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "is this member running already?") {
		t.Errorf("got %v", err)
	}
}
