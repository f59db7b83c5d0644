package register_test

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/understudy-ha/understudy/internal/register"
	"github.com/understudy-ha/understudy/internal/register/registertest"
)

// etcdConfig gives a configuration for a cluster, with copies of its own.
func etcdConfig(t testing.TB, c *registertest.Cluster) register.EtcdConfig {
	t.Helper()
	config := register.DefaultEtcd()
	config.Endpoints, config.Copies, config.Watcher = c.Endpoints(), t.TempDir(), "here"
	return config
}

func openEtcd(t testing.TB, config register.EtcdConfig) *register.Etcd {
	t.Helper()
	e, err := register.OpenEtcd(config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func TestEtcdKeepsWhatARegisterPromises(t *testing.T) {
	t.Parallel()
	cluster := registertest.NewCluster(t, 1)
	var stores atomic.Int64
	registertest.Run(t, func(t *testing.T) func() registertest.Register {
		prefix := fmt.Sprintf("/store-%d", stores.Add(1))
		return func() registertest.Register {
			config := etcdConfig(t, cluster)
			config.Prefix = prefix
			return openEtcd(t, config)
		}
	})
}
