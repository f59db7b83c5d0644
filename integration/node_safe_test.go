//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// strong is a pair in profile safe on three machines of a network of its own:
// two nodes and a third, each with a member of the register.
type strong struct {
	*world
	core1, core2 *member
	third        *host
	keepers      []*keeper // of core1, core2, third
	ledger       string
	stop         context.CancelFunc
	clients      sync.WaitGroup
}

func newStrong(t *testing.T) *strong {
	t.Helper()
	s := &strong{world: newWorld(t), ledger: filepath.Join(tempDir(t), "ledger")}
	authority, err := hatest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	hosts := []*host{s.host("core1", "192.0.2.10"), s.host("core2", "198.51.100.10"), s.host("third", "203.0.113.30")}
	s.third = hosts[2]
	urls := s.members(hosts, authority)
	s.core1, s.core2 = s.node(hosts[0], hosts[1], urls), s.node(hosts[1], hosts[0], urls)
	for _, m := range []*member{s.core1, s.core2} {
		m.start()
		m.say(0, "config", "set", "heartbeat-interval", "300ms", "consecutive heartbeat failures before failover", "3", "re-check interval", "300ms",
			"attempt-timeout", "300ms", "promotion-hold", "100ms", "retry", "200ms", "stop-timeout", "1s", "promotion-time", "9s", "application fail time", "2s")
	}
	s.core1.say(0, "ha", "enable", "--mode", "primary")
	s.core1.await(ha.Active)
	s.core2.say(0, "ha", "enable", "--mode", "secondary")
	s.core2.await(ha.Standby)
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	for _, m := range []*member{s.core1, s.core2} {
		s.clients.Go(func() { s.client(ctx, m) })
	}
	t.Cleanup(func() { s.stop(); s.clients.Wait() })
	return s
}

// members starts the register, one member a machine.
func (s *strong) members(hosts []*host, authority *hatest.Authority) (urls []string) {
	s.t.Helper()
	var all []string
	for _, h := range hosts {
		all = append(all, fmt.Sprintf("%s: %q", h.name, "https://"+h.at(2380)))
		urls = append(urls, "https://"+h.at(2379))
	}
	for i, h := range hosts {
		dir := tempDir(s.t)
		k := &keeper{t: s.t, file: filepath.Join(dir, "register.yaml"), url: urls[i], log: new(output), inside: h}
		write(s.t, k.file, fmt.Sprintf("name: %s\ndata_dir: %s\npeer: %q\nclient: %q\nmembers: {%s}\nheartbeat: 50ms\n%s\n",
			h.name, filepath.Join(dir, "data"), "https://"+h.at(2380), urls[i], strings.Join(all, ", "), certified(s.t, dir, authority, h.address)))
		k.start()
		s.keepers = append(s.keepers, k)
	}
	for _, k := range s.keepers {
		await(s.t, "the register serves", func() bool { return strings.Contains(k.log.String(), "the register serves") })
	}
	return urls
}

// certified writes a certificate and gives the lines that name it.
func certified(t *testing.T, dir string, authority *hatest.Authority, address string) string {
	t.Helper()
	c, err := authority.Certificate(address)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	in := func(name, text string) string {
		path := filepath.Join(dir, name+".pem")
		write(t, path, text)
		return path
	}
	return fmt.Sprintf("tls: {ca: %q, cert: %q, key: %q}", in("ca", string(authority.PEM())),
		in("cert", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))),
		in("key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))))
}

// node prepares a node on a machine.
func (s *strong) node(at, other *host, urls []string) *member {
	s.t.Helper()
	m, _ := newMembers(s.t)
	m.name, m.peer, m.inside, m.ledger = at.name, other.name, at, s.ledger
	m.pages, m.peerPages, m.door, m.app = at.at(8080), other.at(8080), at.at(443), 9000
	tls, _, _ := strings.Cut(read(s.t, s.keepers[map[string]int{"core1": 0, "core2": 1}[at.name]].file), "\n")
	text := read(s.t, s.keepers[map[string]int{"core1": 0, "core2": 1}[at.name]].file)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "tls:") {
			tls = strings.TrimSpace(line)
		}
	}
	m.more = fmt.Sprintf("etcd: {endpoints: [%s], lease: 8s, watchdog: 1500ms, slack: 1s, %s}\n", strings.Join(urls, ", "), tls)
	return m
}

// front runs a front on the third machine.
func (s *strong) front() *front {
	s.t.Helper()
	p := plan{
		nodes: []node{s.core1, s.core2}, probe: map[string]string{"timeout": "500ms"},
		url: map[string]string{"core1": "http://" + s.core1.door, "core2": "http://" + s.core2.door},
	}
	f := newFront(s.t, p)
	f.inside, f.at.site = s.third, s.third.at(80)
	write(s.t, f.file, p.caddyfile(f.at))
	f.client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: s.third.dial}
	f.start()
	f.await("armed", func(g api.Group) bool { return g.Serving == "core1" && g.Armed })
	return f
}

// client asks a node's door all the time, whoever serves: it obeys no front.
func (s *strong) client(ctx context.Context, m *member) {
	c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: m.inside.dial}}
	for ctx.Err() == nil {
		if resp, err := c.Get("http://" + m.door + "/write"); err == nil {
			_ = resp.Body.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// expectFenced fails if a node has done anything after another one had begun at
// a higher epoch. It gives how much was done.
func (s *strong) expectFenced() int {
	s.t.Helper()
	text, err := os.ReadFile(s.ledger)
	if err != nil {
		s.t.Fatal(err)
	}
	highest, last, done := uint64(0), "", 0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); done++ {
		word, node, _ := strings.Cut(lines.Text(), " ")
		epoch, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			s.t.Fatalf("the ledger holds %q", lines.Text())
		}
		if epoch < highest || epoch == highest && node != last && last != "" {
			s.t.Fatalf("two were Active: %s at epoch %d after %s at epoch %d", node, epoch, last, highest)
		}
		highest, last = epoch, node
	}
	return done
}

// roles gives who is Active now, and the other.
func (s *strong) roles() (active, other *member) {
	s.t.Helper()
	await(s.t, "one of the nodes is Active", func() bool {
		for _, m := range []*member{s.core1, s.core2} {
			var d nodeapi.Status
			if m.engine.up() && m.client.Get(context.Background(), "status", &d) == nil && d.State == ha.Active {
				active = m
			}
		}
		return active != nil
	})
	if active == s.core1 {
		return s.core1, s.core2
	}
	return s.core2, s.core1
}

// calm brings the pair to one Active node and one that stands by.
func (s *strong) calm() (active, other *member) {
	s.t.Helper()
	for _, m := range []*member{s.core1, s.core2} {
		if !m.engine.up() {
			m.start()
		}
	}
	for _, k := range s.keepers {
		if !k.up() {
			k.start()
		}
	}
	await(s.t, "the register is whole", func() bool { // each member sees all three
		for _, k := range s.keepers {
			out, err := k.inside.command(understudy, "register", "members", "--config", k.file).Output()
			if err != nil || strings.Count(string(out), "follows") != 2 || strings.Count(string(out), "leads") != 1 {
				return false
			}
		}
		return true
	})
	_, other = s.roles()
	if d := other.status(); d.State != ha.Standby {
		other.awaits("a phase that a person can end", func(d nodeapi.Status) bool {
			return d.Phase >= ha.InHeld && d.Phase != ha.InDemoting || d.State == ha.Standby
		})
		other.say(0, "mode", "secondary")
		other.await(ha.Standby)
	}
	active, other = s.roles()
	return active, other
}

// outcome is what must come of a fault.
type outcome int

const (
	stays outcome = iota // the Active serves on
	moves                // the other one takes over
	stops                // nobody serves until it is mended
)

// fault is one thing that goes wrong, and what must come of it.
type fault struct {
	name string
	does func(s *strong, active, other *member) (mend func())
	then outcome
}

func faults() []fault {
	nothing := func() {}
	return append([]fault{
		{"the Active is cut from everybody", func(s *strong, a, o *member) func() {
			s.cut(a.inside, o.inside, s.third)
			return func() { s.mend(a.inside, o.inside, s.third) }
		}, moves},
		{"its engine hangs", func(_ *strong, a, _ *member) func() { a.engine.signal(syscall.SIGSTOP); return nothing }, moves},
		{"its engine is told to end", func(_ *strong, a, _ *member) func() {
			a.engine.signal(syscall.SIGTERM)
			return func() { await(a.t, a.name+" has ended", func() bool { return !a.engine.up() }) }
		}, moves},
		{"its supervisor hangs", func(_ *strong, a, _ *member) func() { a.signalGuards(syscall.SIGSTOP); return nothing }, stays},
		{"the nodes lose sight of one another", func(s *strong, a, o *member) func() {
			s.cut(a.inside, o.inside)
			return func() { s.mend(a.inside, o.inside) }
		}, stays},
		{"its engine is killed", func(_ *strong, a, _ *member) func() { a.engine.kill(); return nothing }, moves},
		{"the machine dies", func(s *strong, a, _ *member) func() {
			s.beside(a).kill()
			a.die()
			return nothing
		}, moves},
		{"its application is killed and stays down", func(_ *strong, a, _ *member) func() { a.signalApp(syscall.SIGKILL); return nothing }, moves},
		{"engine and application hang", func(_ *strong, a, _ *member) func() {
			a.signalApp(syscall.SIGSTOP)
			a.engine.signal(syscall.SIGSTOP)
			return nothing
		}, moves},
		{"the Active is cut from the third and its peer's member", func(s *strong, a, o *member) func() {
			s.cut(a.inside, o.inside, s.third)
			return func() { s.mend(a.inside, o.inside, s.third) }
		}, moves},
		{"what the Active sends to the others is lost", func(s *strong, a, o *member) func() {
			s.oneWay("add", a.inside, o.inside, s.third)
			return func() { s.oneWay("del", a.inside, o.inside, s.third) }
		}, moves},
		{"the stand-by is cut from everybody", func(s *strong, a, o *member) func() {
			s.cut(o.inside, a.inside, s.third)
			return func() { s.mend(o.inside, a.inside, s.third) }
		}, stays},
		{"the third's member of the register is killed", func(s *strong, _, _ *member) func() { s.keepers[2].kill(); return nothing }, stays},
	}, portFaults()...)
}

// portFaults are the other ones: one direction or one port alone, the processes
// beside the engine, and the members of the register.
func portFaults() []fault {
	nothing := func() {}
	return []fault{
		{"what the others send to the Active is lost", func(s *strong, a, o *member) func() {
			s.oneWay("add", o.inside, a.inside)
			s.oneWay("add", s.third, a.inside)
			return func() { s.oneWay("del", o.inside, a.inside); s.oneWay("del", s.third, a.inside) }
		}, moves},
		{"the stand-by cannot call the Active's pages", func(s *strong, a, o *member) func() {
			return s.ports(o.inside, []int{8080}, a.inside)
		}, stays},
		{"the Active can call no other member of the register", func(s *strong, a, o *member) func() {
			return s.ports(a.inside, []int{2379}, o.inside, s.third)
		}, stays},
		{"the members cannot call one another from and to the Active's", func(s *strong, a, o *member) func() {
			one, two, three := s.ports(a.inside, []int{2380}, o.inside, s.third), s.ports(o.inside, []int{2380}, a.inside), s.ports(s.third, []int{2380}, a.inside)
			return func() { one(); two(); three() }
		}, stays},
		{"the Active loses the register and nothing else", func(s *strong, a, o *member) func() {
			one, two, three := s.ports(a.inside, []int{2379, 2380}, o.inside, s.third), s.ports(o.inside, []int{2380}, a.inside), s.ports(s.third, []int{2380}, a.inside)
			return func() { one(); two(); three() }
		}, moves},
		{"its application hangs", func(_ *strong, a, _ *member) func() { a.signalApp(syscall.SIGSTOP); return nothing }, moves},
		{"its supervisor is killed", func(_ *strong, a, _ *member) func() { a.signalGuards(syscall.SIGKILL); return nothing }, stays},
		{"the member beside the Active is killed", func(s *strong, a, _ *member) func() { s.beside(a).kill(); return nothing }, stays},
		{"the member beside the stand-by is killed", func(s *strong, _, o *member) func() { s.beside(o).kill(); return nothing }, stays},
		{"the member beside the Active hangs", func(s *strong, a, _ *member) func() { return s.hangs(s.beside(a)) }, stays},
		{"the member beside the stand-by hangs", func(s *strong, _, o *member) func() { return s.hangs(s.beside(o)) }, stays},
		{"the third's member hangs", func(s *strong, _, _ *member) func() { return s.hangs(s.keepers[2]) }, stays},
		{"two members of the register are killed", func(s *strong, _, o *member) func() {
			s.keepers[2].kill()
			s.beside(o).kill()
			return nothing
		}, stops},
	}
}

// beside gives the member of the register on a node's machine.
func (s *strong) beside(m *member) *keeper {
	return s.keepers[map[string]int{"core1": 0, "core2": 1}[m.name]]
}

// hangs stops a member of the register until the fault is mended.
func (s *strong) hangs(k *keeper) (mend func()) {
	k.signal(syscall.SIGSTOP)
	return func() { k.signal(syscall.SIGCONT) }
}

// signalGuards sends a signal to the supervisor of a node's application.
func (m *member) signalGuards(sig syscall.Signal) {
	m.t.Helper()
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", m.engine.cmd.Process.Pid))
	found := false
	for _, path := range children {
		text, _ := os.ReadFile(path)
		for pid := range strings.FieldsSeq(string(text)) {
			line, _ := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
			if bytes.Contains(line, []byte("node-guard")) {
				_ = syscall.Kill(must(strconv.Atoi(pid)), sig)
				found = true
			}
		}
	}
	if !found && m.engine.up() {
		m.t.Logf("%s has no supervisor at this moment", m.name)
	}
}

// storm lets several things go wrong at once, in a drawn order and for a drawn
// time, and never waits for calm in between.
func (s *strong) storm(r *rand.Rand, rounds int) {
	s.t.Helper()
	nodes := []*member{s.core1, s.core2}
	for i := range rounds {
		var mends []func()
		var names []string
		for range 1 + r.IntN(2) {
			f := faults()[r.IntN(len(faults()))]
			a := r.IntN(2)
			active, other := nodes[a], nodes[1-a]
			if strings.Contains(f.name, "application") && !active.appRuns() || strings.Contains(f.name, "machine") && !active.appRuns() {
				continue
			}
			names = append(names, f.name+" ("+active.name+")")
			mends = append(mends, f.does(s, active, other))
			time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
		}
		time.Sleep(time.Duration(r.IntN(10)) * time.Second)
		for _, mend := range mends {
			mend()
		}
		for _, m := range nodes {
			m.engine.signal(syscall.SIGCONT)
			if !m.engine.up() {
				m.start()
			}
		}
		for _, k := range s.keepers {
			k.signal(syscall.SIGCONT)
			if !k.up() {
				k.start()
			}
		}
		s.t.Logf("storm %d of %d: %s: %d writes, all in order", i+1, rounds, strings.Join(names, ", then "), s.expectFenced())
	}
}

// seed gives what a soak draws by, and says it.
func seed(t *testing.T) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(os.Getenv("UNDERSTUDY_SEED"), 10, 64)
	if err != nil {
		n = uint64(time.Now().UnixNano()) // #nosec G115 -- any number will do
	}
	t.Logf("UNDERSTUDY_SEED=%d", n)
	return n
}

// oneWay has nothing pass from one machine to others.
func (w *world) oneWay(verb string, from *host, to ...*host) {
	w.t.Helper()
	var batch strings.Builder
	for _, b := range to {
		fmt.Fprintf(&batch, "rule %s from %s to %s blackhole\n", verb, from.address, b.address)
	}
	w.within(w.router, batch.String(), "ip", "-batch", "-")
}

// ports has nothing pass from one machine to ports of others, until it is mended;
// the other direction and the other ports stay as they are.
func (w *world) ports(from *host, ports []int, to ...*host) (mend func()) {
	w.t.Helper()
	rules := func(verb string) {
		var batch strings.Builder
		for _, b := range to {
			for _, port := range ports {
				fmt.Fprintf(&batch, "rule %s from %s to %s ipproto tcp dport %d blackhole\n", verb, from.address, b.address, port)
			}
		}
		w.within(w.router, batch.String(), "ip", "-batch", "-")
	}
	rules("add")
	return func() { rules("del") }
}

// TestStoryTwoAreNeverActiveInProfileSafe goes through faults one after another;
// clients ask both doors all the time, and a ledger shows whatever either
// application did and at which epoch.
func TestStoryTwoAreNeverActiveInProfileSafe(t *testing.T) {
	t.Parallel()
	s := newStrong(t)
	f := s.front()
	all := faults()
	if !soak() {
		all = all[:5]
	}
	for i, one := range all {
		active, other := s.calm()
		epoch := active.status().Served
		began := time.Now()
		mend := one.does(s, active, other)
		switch one.then {
		case moves:
			d := other.await(ha.Active)
			t.Logf("%s: %s was Active after %v, epoch %d after %d", one.name, other.name, time.Since(began).Round(10*time.Millisecond), d.Served, epoch)
			if d.Served <= epoch {
				t.Errorf("%s: epoch %d is not above %d", one.name, d.Served, epoch)
			}
		case stays:
			active.expectStay(ha.Active, 10*time.Second)
			if one.name == "its supervisor hangs" && !strings.Contains(active.journal(), "another one starts: it hangs and was killed") {
				t.Errorf("%s: nobody has noticed", one.name)
			}
		case stops:
			active.await(ha.NotAvailable)
			t.Logf("%s: %s stopped after %v", one.name, active.name, time.Since(began).Round(10*time.Millisecond))
			other.expectStay(ha.Standby, 5*time.Second)
			if active.appRuns() || other.appRuns() {
				t.Errorf("%s: an application runs", one.name)
			}
		}
		if i == 0 { // later ones would have to move traffic up the order, which only a person does
			f.expectServing("core2")
			f.expectFrom("core2", f.get())
			f.kill()
		}
		mend()
		t.Logf("%d of %d: %s: %d writes, all in order", i+1, len(all), one.name, s.expectFenced())
	}
	if soak() {
		s.storm(rand.New(rand.NewPCG(seed(t), 6)), 12) // #nosec G404 -- a story, not a secret
	}
	s.calm()
	t.Logf("%d schedules ran; %d writes, and never two at once", len(all), s.expectFenced())
}
