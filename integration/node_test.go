//go:build linux

package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// node is a node of a story: a *hatest.Node in the test, or a *child, the same
// in a process of its own.
type node interface {
	Name() string
	URL() string
	Set(ha.State)
	SetEpoch(uint64)
	SetLatency(hatest.Part, time.Duration)
	Kill()
	Start()
	IDs(method string) map[string]int
	Hits() int
}

var (
	_ node = (*hatest.Node)(nil)
	_ node = (*child)(nil)
)

// local gives a node in the test's own process.
func local(t *testing.T, name string, state ha.State) *hatest.Node {
	t.Helper()
	return hatest.New(t, hatest.Config{Name: name, State: state})
}

// pair gives a Primary that is Active and a Secondary in Standby, each a
// process of its own.
func pair(t *testing.T) (core1, core2 *child) {
	t.Helper()
	return newChild(t, "core1", ha.Active), newChild(t, "core2", ha.Standby)
}

// localPair is pair within the test's process.
func localPair(t *testing.T) (core1, core2 *hatest.Node) {
	t.Helper()
	return local(t, "core1", ha.Active), local(t, "core2", ha.Standby)
}

// order is what a child is asked to do.
type order struct {
	Do    string        `json:"do"`
	State ha.State      `json:"state"`
	Epoch uint64        `json:"epoch,omitempty"`
	Part  hatest.Part   `json:"part,omitempty"`
	Wait  time.Duration `json:"wait,omitempty"`
}

// told is what a child says: that an order is done, or a request that came.
type told struct {
	Done   bool   `json:"done,omitempty"`
	Method string `json:"method,omitempty"`
	ID     string `json:"id,omitempty"`
	Busy   int    `json:"busy,omitempty"`
}

// birth is what a child is at its start.
type birth struct {
	Name   string   `json:"name"`
	Listen string   `json:"listen"`
	State  ha.State `json:"state"`
	Epoch  uint64   `json:"epoch"`
}

const childSpec = "UNDERSTUDY_CHILD"

// child is a node in a process of its own, which can be killed with -9 and
// stopped. It keeps its port and its count of requests over that.
type child struct {
	t      *testing.T
	log    *output
	inside *host // where it runs, nil: where the test does

	mu    sync.Mutex // one order at a time; guards the fields below
	birth birth
	life  *process
	in    *json.Encoder
	done  chan told

	counting sync.Mutex // guards came
	came     map[told]int
}

// newChild starts a node that ends with the test.
func newChild(t *testing.T, name string, state ha.State) *child {
	t.Helper()
	c := &child{t: t, log: new(output), birth: birth{Name: name, Listen: loopback(freePort(t)), State: state}, came: map[told]int{}}
	c.Start()
	return c
}

// Name gives the node's name.
func (c *child) Name() string { return c.birth.Name }

// URL gives the root of the node.
func (c *child) URL() string { return "http://" + c.birth.Listen }

// Start starts the process, if it does not run, in the state that was set last.
func (c *child) Start() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life != nil && c.life.up() {
		return
	}
	spec, _ := json.Marshal(c.birth)
	self, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := c.inside.command(self)
	cmd.Env = append(os.Environ(), childSpec+"="+string(spec))
	cmd.Stderr = c.log
	in, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	out, from, err := os.Pipe() // Wait must not close our end: what a killed process said is still to be read
	if err != nil {
		c.t.Fatal(err)
	}
	cmd.Stdout = from
	c.life, c.in, c.done = run(c.t, cmd), json.NewEncoder(in), make(chan told, 1)
	_ = from.Close()
	go c.listen(out, c.done)
	c.wait("start")
}

// listen takes what the process says until it has ended.
func (c *child) listen(out *os.File, done chan<- told) {
	defer out.Close()
	defer close(done)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var say told
		if json.Unmarshal(lines.Bytes(), &say) != nil {
			continue
		}
		if say.Done {
			done <- say
			continue
		}
		c.counting.Lock()
		c.came[say]++
		c.counting.Unlock()
	}
}

// wait waits until the order is done. c.mu is held.
func (c *child) wait(what string) told {
	c.t.Helper()
	select {
	case say, ok := <-c.done:
		if !ok {
			c.t.Fatalf("%s: the node's process ended before %s:\n%s", c.birth.Name, what, c.log)
		}
		return say
	case <-time.After(patience):
		c.t.Fatalf("%s: no answer to %s within %s", c.birth.Name, what, patience)
	}
	return told{}
}

// ask has the process do something; a process that does not run is only told
// when it starts.
func (c *child) ask(o order, keep func(*birth)) told {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if keep != nil {
		keep(&c.birth)
	}
	if !c.life.up() {
		return told{}
	}
	if err := c.in.Encode(o); err != nil {
		c.t.Fatalf("%s: %s: %v", c.birth.Name, o.Do, err)
	}
	return c.wait(o.Do)
}

// Set gives the node a state.
func (c *child) Set(s ha.State) {
	c.t.Helper()
	c.ask(order{Do: "set", State: s}, func(b *birth) { b.State = s })
}

// SetEpoch puts an epoch on the node's pages.
func (c *child) SetEpoch(epoch uint64) {
	c.t.Helper()
	c.ask(order{Do: "epoch", Epoch: epoch}, func(b *birth) { b.Epoch = epoch })
}

// SetLatency makes a part of the node wait before each answer, until it ends.
func (c *child) SetLatency(part hatest.Part, wait time.Duration) {
	c.t.Helper()
	c.ask(order{Do: "latency", Part: part, Wait: wait}, nil)
}

// Kill ends the process with SIGKILL.
func (c *child) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life.kill()
	for range c.done { // what it said last has been counted when this ends
	}
}

// Stop stops the process: the kernel takes connections, nobody answers.
func (c *child) Stop() { c.life.signal(syscall.SIGSTOP) }

// Continue lets a stopped process go on.
func (c *child) Continue() { c.life.signal(syscall.SIGCONT) }

// Busy counts the requests that are being answered.
func (c *child) Busy() int {
	c.t.Helper()
	return c.ask(order{Do: "count"}, nil).Busy
}

// IDs counts the requests with a method by X-Request-Id, over all lives.
func (c *child) IDs(method string) map[string]int {
	c.t.Helper()
	c.ask(order{Do: "count"}, nil)
	c.counting.Lock()
	defer c.counting.Unlock()
	ids := map[string]int{}
	for r, n := range c.came {
		if r.ID != "" && (method == "" || r.Method == method) {
			ids[r.ID] += n
		}
	}
	return ids
}

// Hits counts all requests to the application, over all lives.
func (c *child) Hits() int {
	c.t.Helper()
	c.ask(order{Do: "count"}, nil)
	c.counting.Lock()
	defer c.counting.Unlock()
	total := 0
	for _, n := range c.came {
		total += n
	}
	return total
}

// beNode is the other side: it is a node until its input ends.
func beNode(spec string) int {
	var b birth
	if err := json.Unmarshal([]byte(spec), &b); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	n, err := hatest.Open(hatest.Config{Name: b.Name, Listen: b.Listen, State: b.State, Epoch: b.Epoch})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer n.Close()
	r := &reporter{node: n, out: json.NewEncoder(os.Stdout), told: map[told]int{}}
	go func() { _ = n.Await(context.Background(), func() bool { r.report(); return false }) }()
	r.say(told{Done: true})
	orders := json.NewDecoder(os.Stdin)
	for {
		var o order
		if orders.Decode(&o) != nil {
			return 0
		}
		switch o.Do {
		case "set":
			n.Set(o.State)
		case "epoch":
			n.SetEpoch(o.Epoch)
		case "latency":
			n.SetLatency(o.Part, o.Wait)
		case "count":
			r.report()
		}
		r.say(told{Done: true, Busy: n.Busy()})
	}
}

// reporter tells the test of every request as it comes, so that the count
// outlives a kill.
type reporter struct {
	node *hatest.Node

	mu   sync.Mutex // guards the fields below
	out  *json.Encoder
	told map[told]int
}

func (r *reporter) say(s told) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.out.Encode(s)
}

func (r *reporter) report() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := map[told]int{}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
		named := 0
		for id, n := range r.node.IDs(method) {
			now[told{Method: method, ID: id}] = n
			named += n
		}
		now[told{Method: method}] = r.node.HitsOf(method, "") - named
	}
	for q, n := range now {
		for range n - r.told[q] {
			_ = r.out.Encode(q)
		}
	}
	maps.Copy(r.told, now)
}
