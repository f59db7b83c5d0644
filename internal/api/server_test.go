package api_test

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
)

// serve starts the API of groups and stops it with the test.
func serve(t *testing.T, c api.Config) *httptest.Server {
	t.Helper()
	a := api.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	s := httptest.NewServer(a.Handler())
	t.Cleanup(func() {
		cancel()
		running.Wait()
		s.Close()
	})
	return s
}

func client(t *testing.T, groups api.Groups) *api.Client {
	t.Helper()
	c, err := api.NewClient(serve(t, api.Config{Groups: groups, Watcher: "front-a"}).URL, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}
