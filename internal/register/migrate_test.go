package register_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register"
	"github.com/understudy-ha/understudy/internal/register/registertest"
)

func openDir(t *testing.T) *register.Dir {
	t.Helper()
	d, err := register.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestMigrationToEtcdAndBackMovesNoTraffic(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	files, etcd := openDir(t), openEtcd(t, etcdConfig(t, cluster))
	if epoch, err := register.Migrate(t.Context(), files, etcd, "app"); err != nil || epoch != 0 {
		t.Errorf("nothing: epoch %d, %v", epoch, err)
	}
	var past []ha.Traffic
	for was := range uint64(5) {
		past = append(past, trafficOf("app", was+1))
		if err := files.Save(t.Context(), was, past[was]); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // again does no harm
		if epoch, err := register.Migrate(t.Context(), files, etcd, "app"); err != nil || epoch != 5 {
			t.Fatalf("to etcd: epoch %d, %v", epoch, err)
		}
	}
	got, err := etcd.History(t.Context(), "app", 10)
	if diff := cmp.Diff(past, got); err != nil || diff != "" {
		t.Errorf("history in etcd: %v (-want +got):\n%s", err, diff)
	}
	moved := trafficOf("app", 6)
	moved.Serving = "mi2"
	save(t, etcd, 5, moved)
	if _, err := register.Migrate(t.Context(), files, etcd, "app"); err == nil || !strings.Contains(err.Error(), "went on there") {
		t.Errorf("to etcd, which went on: %v", err)
	}
	if epoch, err := register.Migrate(t.Context(), etcd, files, "app"); err != nil || epoch != 6 {
		t.Fatalf("back: epoch %d, %v", epoch, err)
	}
	if got, err := files.Load(t.Context(), "app"); err != nil || !cmp.Equal(got, moved) {
		t.Errorf("back: %+v, %v", got, err)
	}
}

func TestTwoRegistersThatHaveDecidedDifferentlyAreNotMigrated(t *testing.T) {
	t.Parallel()
	a, b := openDir(t), openDir(t)
	other := trafficOf("app", 1)
	other.Serving = "mi2"
	if err := errors.Join(a.Save(t.Context(), 0, trafficOf("app", 1)), b.Save(t.Context(), 0, other)); err != nil {
		t.Fatal(err)
	}
	if _, err := register.Migrate(t.Context(), a, b, "app"); err == nil || !strings.Contains(err.Error(), "two registers have decided") {
		t.Errorf("got %v", err)
	}
}
