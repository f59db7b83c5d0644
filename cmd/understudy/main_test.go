package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/apitest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"understudy": main, "failover": main})
}

// front is an API over groups in memory.
type front struct {
	*apitest.Memory
	url string
	end func() // ends the API, not its server
}

// serve starts a front; stop ends it with its server.
func serve(m *apitest.Memory) (f *front, stop func()) {
	a := api.New(api.Config{Groups: m, Watcher: "front-a"})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	s := httptest.NewServer(a.Handler())
	end := func() { cancel(); running.Wait() }
	return &front{m, s.URL, end}, func() { end(); s.Close() }
}

func newFront(t *testing.T) *front {
	t.Helper()
	m := apitest.New()
	m.Pair()
	f, stop := serve(m)
	t.Cleanup(stop)
	return f
}

// result is what one run of the binary came to.
type result struct {
	code     int
	out, err string
}

// runs runs a command line in this process. Environment variables are those of
// env, as NAME=value.
func runs(t *testing.T, env []string, line ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	s := &session{name: "understudy", args: line, out: &out, err: &err, host: "desk", getenv: lookup(env)}
	code := run(t.Context(), s)
	return result{code, out.String(), err.String()}
}

func lookup(env []string) func(string) string {
	return func(name string) string {
		for _, entry := range env {
			if value, ok := strings.CutPrefix(entry, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

// ask runs a command line against f.
func (f *front) ask(t *testing.T, line ...string) result {
	t.Helper()
	return runs(t, []string{"UNDERSTUDY_API=" + f.url, "USER=anna"}, line...)
}
