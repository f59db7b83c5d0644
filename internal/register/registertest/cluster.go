package registertest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/register/member"
)

// Cluster is a real cluster of etcd on loopback, whose members can be ended and
// started again.
type Cluster struct {
	t       testing.TB
	configs []member.Config
	running []*member.Member
}

// NewCluster starts n members and waits for their leader. They end with t.
func NewCluster(t testing.TB, n int) *Cluster {
	t.Helper()
	return newCluster(t, n, func(*member.Config) {})
}

// NewSecureCluster is NewCluster with TLS: ca, cert and key are files, of a
// certificate for 127.0.0.1.
func NewSecureCluster(t testing.TB, n int, ca, cert, key string) *Cluster {
	t.Helper()
	return newCluster(t, n, func(c *member.Config) {
		c.CA, c.Cert, c.Key = ca, cert, key
		c.Peer, c.Client = strings.Replace(c.Peer, "http:", "https:", 1), strings.Replace(c.Client, "http:", "https:", 1)
	})
}

func newCluster(t testing.TB, n int, change func(*member.Config)) *Cluster {
	t.Helper()
	c := &Cluster{t: t, running: make([]*member.Member, n)}
	members := map[string]string{}
	for i := range n {
		config := member.Default()
		config.Name, config.DataDir = fmt.Sprintf("m%d", i), filepath.Join(t.TempDir(), "data")
		config.Peer, config.Client = freeURL(t), freeURL(t)
		config.Members, config.Tick = members, 50*time.Millisecond
		change(&config)
		members[config.Name] = config.Peer
		c.configs = append(c.configs, config)
	}
	t.Cleanup(func() {
		for i := range c.running {
			c.End(i)
		}
	})
	for i := range n {
		c.Start(i)
	}
	for i := range n {
		c.Wait(i)
	}
	return c
}

// Endpoints gives the client URLs of all members.
func (c *Cluster) Endpoints() []string {
	var all []string
	for _, config := range c.configs {
		all = append(all, config.Client)
	}
	return all
}

// Start starts a member, anew or again.
func (c *Cluster) Start(i int) {
	c.t.Helper()
	m, err := member.Start(c.configs[i], slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	c.running[i] = m
}

// Wait waits until a member takes part.
func (c *Cluster) Wait(i int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.running[i].Ready(ctx); err != nil {
		c.t.Fatalf("member %d: %v", i, err)
	}
}

// End ends a member, if it runs. Its data stays.
func (c *Cluster) End(i int) {
	if c.running[i] != nil {
		c.running[i].Close()
		c.running[i] = nil
	}
}

// Config gives the configuration of a member.
func (c *Cluster) Config(i int) member.Config { return c.configs[i] }

// freeURL gives a URL on loopback at which nothing listens.
func freeURL(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}
