package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// strike is what happens to the Primary while clients go on.
type strike struct {
	signal syscall.Signal
	window time.Duration // how long clients go on after it
	resume bool          // the Primary goes on afterwards, and does what it has kept
}

// calm is how long clients are served before the strike.
const calm = 2 * time.Second

// slowPost is how long a POST takes, so that some are in flight at a strike.
const slowPost = 60 * time.Millisecond

// comeback is how long the Primary has to be taken for well again after a
// hang.
const comeback = 3 * time.Second

// front is a peer of the comparison.
type front struct {
	name   string
	run    program
	config string
}

// fronts are compared by crash and hang; ours is the first.
var fronts = []front{
	{"understudy", caddy, "understudy.caddyfile"},
	{"HAProxy, plain", haproxy, "haproxy-plain.cfg"},
	{"HAProxy, at its best", haproxy, "haproxy-best.cfg"},
	{"stock Caddy", caddy, "stock.caddyfile"},
}

// result is what one strike did to the clients of one front.
type result struct {
	get, post tally
	twice     int     // POSTs that arrived more than once
	peak      float64 // bytes of memory, the most of the front
	resumed   bool    // the Primary went on afterwards
	back      bool    // and clients are sent to it again
}

// stand is a pair of nodes and a front.
type stand struct {
	settings
	front   *child
	nodes   [2]*child
	arrived [2]string // files
}

func (s *stand) stop() {
	for _, c := range []*child{s.front, s.nodes[0], s.nodes[1]} {
		if c != nil {
			c.stop()
		}
	}
}

// newStand starts two nodes and a front, and waits until clients are served
// and the front has looked at both nodes.
func (b *bench) newStand(ctx context.Context, f front) (s *stand, err error) {
	s = &stand{}
	if s.settings, err = b.newSettings(); err != nil {
		return s, err
	}
	for i, address := range []*string{&s.Core1, &s.Core2} {
		if *address, err = freeAddress(); err != nil {
			return s, err
		}
		name := fmt.Sprintf("core%d", i+1)
		s.arrived[i] = filepath.Join(s.Room, name+".ids")
		args := []string{"node", "-name", name, "-listen", *address, "-slow", slowPost.String(), "-arrived", s.arrived[i]}
		args = append(args, [2]string{"-active", "-promote"}[i])
		if s.nodes[i], _, _, err = b.startSelf(ctx, args...); err != nil {
			return s, err
		}
	}
	if s.front, err = b.launch(ctx, s.settings, f.run, f.config); err != nil {
		return s, err
	}
	w := &wire{address: s.address()}
	defer w.close()
	err = s.front.await(ctx, func() bool {
		r, err := w.ask(http.MethodGet, "first", time.Now().Add(time.Second))
		return err == nil && r.status == http.StatusOK && r.node == "core1"
	})
	if err != nil {
		return s, err
	}
	return s, pause(ctx, 1500*time.Millisecond)
}

// strike has clients ask through a front, strikes the Primary, and says what
// the clients got.
func (b *bench) strike(ctx context.Context, f front, k strike) (r result, err error) {
	s, err := b.newStand(ctx, f)
	defer s.stop()
	if err != nil {
		return r, err
	}
	var clients sync.WaitGroup
	var gets, posts []outcome
	clients.Go(func() {
		gets = load{http.MethodGet, b.rate, calm + k.window}.run(ctx, s.address())
	})
	clients.Go(func() {
		posts = load{http.MethodPost, b.posts, calm + k.window}.run(ctx, s.address())
	})
	err = pause(ctx, calm)
	if err == nil {
		err = s.nodes[0].signal(k.signal)
	}
	if k.resume && f.name == fronts[0].name && pause(ctx, 3*time.Second) == nil {
		b.profile(ctx, s.Admin, "heap", "hang-heap")()
	}
	clients.Wait()
	if err != nil {
		return r, err
	}
	if _, r.peak, err = s.front.memory(); err != nil {
		return r, err
	}
	if r.resumed = k.resume; k.resume {
		if r.back, err = s.comeback(ctx); err != nil {
			return r, err
		}
	}
	r.get, r.post = sum(gets, calm), sum(posts, calm)
	r.twice, err = twice(s.arrived[:]...)
	return r, err
}

// comeback lets the Primary go on, and says whether the front then goes back
// to it, whose data is old, by itself.
func (s *stand) comeback(ctx context.Context) (bool, error) {
	if err := s.nodes[0].signal(sigCont); err != nil {
		return false, err
	}
	if err := pause(ctx, comeback); err != nil {
		return false, err
	}
	w := &wire{address: s.address()}
	defer w.close()
	answer, err := w.ask(http.MethodGet, "last", time.Now().Add(clientPatience))
	return err == nil && answer.node == "core1", nil
}

// twice counts the ids that stand more than once in files, all together.
func twice(files ...string) (n int, err error) {
	seen := map[string]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		for _, id := range strings.Fields(string(text)) {
			if seen[id]++; seen[id] == 2 {
				n++
			}
		}
	}
	return n, nil
}
