package register

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// askTime is how long a member has to greet whoever connects.
const askTime = time.Second

// faults gives what is wrong with the ways to the members, one by one: etcd's
// client only says that time was over. Empty if all of them greet.
func (c EtcdConfig) faults(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*askTime)
	defer cancel()
	found := make([]error, len(c.Endpoints))
	var asking sync.WaitGroup
	for i, endpoint := range c.Endpoints {
		asking.Go(func() { found[i] = c.greet(ctx, endpoint) })
	}
	asking.Wait()
	var words []string
	for i, err := range found {
		if err != nil {
			words = append(words, fmt.Sprintf("%s: %s", c.Endpoints[i], cut(err.Error())))
		}
	}
	return strings.Join(words, "; ")
}

// greet connects to a member and waits for its first word, for it may refuse
// our certificate only after it has shown its own.
func (c EtcdConfig) greet(ctx context.Context, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: askTime}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if u.Scheme != "https" {
		return nil
	}
	config, err := c.tls()
	if err != nil {
		return err
	}
	config.ServerName, config.NextProtos = u.Hostname(), []string{"h2"}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return err
	}
	_ = secure.SetReadDeadline(time.Now().Add(askTime))
	if _, err := secure.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}
