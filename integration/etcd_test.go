//go:build linux

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

// keeper is a running understudy register.
type keeper struct {
	*process
	t      *testing.T
	file   string
	url    string
	log    *output
	inside *host // where it runs, nil: where the test does
}

func (m *keeper) start() {
	m.t.Helper()
	cmd := m.inside.command(understudy, "register", "--config", m.file)
	cmd.Stdout, cmd.Stderr = m.log, m.log
	m.process = run(m.t, cmd)
}

// keepers starts the members of a register and waits until they serve.
func keepers(t *testing.T, n int) []*keeper {
	t.Helper()
	var all []*keeper
	var names []string
	peers := map[int]string{}
	for i := range n {
		peers[i] = "http://" + loopback(freePort(t))
		names = append(names, fmt.Sprintf("m%d: %q", i, peers[i]))
	}
	for i := range n {
		dir := tempDir(t)
		m := &keeper{t: t, file: filepath.Join(dir, "register.yaml"), url: "http://" + loopback(freePort(t)), log: new(output)}
		write(t, m.file, fmt.Sprintf("name: m%d\ndata_dir: %s\npeer: %s\nclient: %s\nmembers: {%s}\nheartbeat: 50ms\n",
			i, filepath.Join(dir, "data"), peers[i], m.url, strings.Join(names, ", ")))
		m.start()
		all = append(all, m)
	}
	for _, m := range all {
		await(t, "the register serves", func() bool { return strings.Contains(m.log.String(), "the register serves") })
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, m := range all {
				t.Logf("the end of a member's log:\n%s", m.log.tail(5))
			}
		}
	})
	return all
}

// post is a sidecar of several, with ways of its own to the nodes and to the
// register, that can be cut.
type post struct {
	*sidecar
	toNodes, toRegister []*relay
}

func (p *post) ways(all []*relay, whole bool) {
	for _, r := range all {
		r.be(whole)
	}
}

// posts starts three sidecars that share a register and watch nodes.
func posts(t *testing.T, all []*keeper, nodes ...node) []*post {
	t.Helper()
	var found []*post
	for i := range 3 {
		p := &post{}
		var seen []node
		for _, n := range nodes {
			way := newRelay(t, n.URL())
			p.toNodes = append(p.toNodes, way)
			seen = append(seen, far{n, way})
		}
		var endpoints []string
		for _, m := range all {
			way := newRelay(t, m.url)
			p.toRegister = append(p.toRegister, way)
			endpoints = append(endpoints, fmt.Sprintf("%q", way.url()))
		}
		p.sidecar = newSidecar(t, plan{nodes: seen}, fmt.Sprintf("etcd: {endpoints: [%s], watchers: 3, watcher: w%d}", strings.Join(endpoints, ", "), i))
		p.start()
		found = append(found, p)
	}
	for _, p := range found {
		p.await("it is armed", func(g api.Group) bool { return g.Armed })
	}
	return found
}

func expectAll(posts []*post, name string) {
	for _, p := range posts {
		p.t.Helper()
		p.expectServing(name)
	}
}

func frontsOf(posts []*post) (all []*front) {
	for _, p := range posts {
		all = append(all, p.front)
	}
	return all
}

// expectOneDecisionAnEpoch checks that no two watchers ever had different
// decisions for one epoch.
func expectOneDecisionAnEpoch(t *testing.T, fronts ...*front) {
	t.Helper()
	seen := map[uint64]string{}
	for _, p := range fronts {
		var past []api.Change
		await(t, "the history is read, over ways that were cut", func() bool {
			var err error
			past, err = p.api.History(context.Background(), "mdm", 1000)
			return err == nil
		})
		for _, c := range past {
			if was, known := seen[c.Epoch]; known && was != c.Serving {
				t.Errorf("epoch %d: %s and %s", c.Epoch, was, c.Serving)
			}
			seen[c.Epoch] = c.Serving
		}
	}
}

func TestThreeWatchersDecideAsOneAndFollowWithinAHundredMilliseconds(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	all := posts(t, keepers(t, 3), core1, core2)
	events := make([]heard, len(all))
	for i, p := range all {
		events[i] = p.follow()
	}
	core1.Kill()
	expectAll(all, "core2")
	var lags []time.Duration
	for _, e := range events {
		m := e.await(t, func(g api.Group) bool { return g.Serving == "core2" })
		lags = append(lags, m.At.Sub(m.Changed.At))
	}
	t.Logf("the failover was known after %s", lags)
	for i := range 20 { // what a person does is stored and told in the same way
		o := all[0].wish([]string{"hold", "release"}[i%2], api.Body{})
		for _, e := range events[1:] {
			m := e.await(t, func(g api.Group) bool { return g.Epoch == o.Change.Epoch })
			lags = append(lags, m.At.Sub(m.Changed.At))
		}
	}
	slices.Sort(lags)
	median, longest := lags[len(lags)/2], lags[len(lags)-1]
	t.Logf("decisions were known elsewhere, commit included, after: median %s, 95 %% within %s, longest %s", median, lags[len(lags)*95/100], longest)
	if median > 100*time.Millisecond || longest > 2*time.Second { // other tests are busy beside it
		t.Errorf("decisions were known after: median %s, longest %s", median, longest)
	}
	expectOneDecisionAnEpoch(t, frontsOf(all)...)
}

// What people are shown of the other watchers, by text, JSON and figures.
func TestStatusShowsWhoWouldVoteHow(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	all := posts(t, keepers(t, 3), core1, core2)
	votes := func(p *post) (text string) {
		g := p.group()
		for _, v := range g.Watchers.Votes {
			text += fmt.Sprintf("%s %s, ", v.Watcher, v.Vote)
		}
		return fmt.Sprintf("%sneeded %d, for %d, present %d of %d", text, g.Watchers.Needed, g.Watchers.For, g.Watchers.Present, g.Watchers.Configured)
	}
	expect := func(p *post, want string) {
		t.Helper()
		if !within(patience, func() bool { return votes(p) == want }) {
			t.Fatalf("got  %s\nwant %s", votes(p), want)
		}
	}
	expect(all[1], "w1 no, w0 no, w2 no, needed 2, for 0, present 3 of 3")
	all[0].ways(all[0].toNodes[:1], false) // it does not see core1
	expect(all[0], "w0 yes, w1 no, w2 no, needed 2, for 1, present 3 of 3")
	expect(all[1], "w1 no, w0 yes, w2 no, needed 2, for 1, present 3 of 3")
	said, code := tool(t, "status", "mdm", "--api", all[1].at.admin)
	for _, want := range []string{"a failover needs 2 votes of 3, and has 1\n", "w1 (here)  votes no ", "core1 NotAvailable (timeout), core2 Standby"} {
		if code != 0 || !strings.Contains(said, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, said)
		}
	}
	figures := all[1].admin("/understudy/metrics")
	for _, want := range []string{
		`understudy_vote{group="mdm",watcher="w0",vote="yes"} 1`, `understudy_watchers_present{group="mdm"} 3`,
		`understudy_votes_needed{group="mdm"} 2`, "understudy_register_up 1", "understudy_register_losses_total 0",
	} {
		if !strings.Contains(figures, want+"\n") {
			t.Errorf("no figure %s", want)
		}
	}
	all[2].kill() // its vote ends with its lease
	expect(all[1], "w1 no, w0 yes, needed 2, for 1, present 2 of 3")
	expectAll(all[:2], "core1")
}

func TestOneWatchersOpinionMovesNothing(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	all := posts(t, keepers(t, 3), core1, core2)
	all[0].ways(all[0].toNodes[:1], false) // it does not see core1
	all[0].expectRow(row{7, api.Wait, ha.NoQuorum, "core2", "alarm"})
	expectAll(all, "core1")
	all[1].ways(all[1].toNodes[:1], false) // nor does a second one
	expectAll(all, "core2")
	expectOneDecisionAnEpoch(t, frontsOf(all)...)
}

func TestAWatcherCutFromTheRegisterKeepsItsAnswersAndFollowsWhenItIsBack(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	all := posts(t, keepers(t, 3), core1, core2)
	all[2].ways(all[2].toRegister, false)
	all[2].await("it knows that it is cut off", func(g api.Group) bool { return g.ArmedWhy == ha.RegisterLost })
	core1.Kill()
	expectAll(all[:2], "core2")
	if g := all[2].group(); g.Serving != "core1" {
		t.Errorf("the one that is cut off sends clients to %s", g.Serving)
	}
	all[2].ways(all[2].toRegister, true)
	expectAll(all, "core2")
	expectOneDecisionAnEpoch(t, frontsOf(all)...)
}

func TestAWatcherCutFromEverythingMovesNothing(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	all := posts(t, keepers(t, 3), core1, core2)
	all[1].ways(all[1].toRegister, false)
	all[1].ways(all[1].toNodes, false)
	all[1].await("it sees nothing", func(g api.Group) bool { return g.Decision.Verb == api.Wait })
	elapse(4 * time.Second) // longer than fall and grace
	expectAll(all, "core1")
	all[1].ways(all[1].toRegister, true)
	all[1].ways(all[1].toNodes, true)
	all[1].await("it is armed again", func(g api.Group) bool { return g.Armed })
	expectOneDecisionAnEpoch(t, frontsOf(all)...)
}

func TestMembersAreLostOneTwoThreeAndComeBack(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	register := keepers(t, 3)
	all := posts(t, register, core1, core2)
	register[0].kill()
	core1.Kill()
	expectAll(all, "core2") // with one lost it decides
	core1.Start()
	core1.Set(ha.Standby)
	core2.Set(ha.Active)
	all[0].awaitNode("core1", api.Standby)
	all[0].wish("reorder", api.Body{Order: []string{"core2", "core1"}, Reason: "roles are swapped"})
	for _, p := range all {
		p.await("it is armed to core1", func(g api.Group) bool { return g.Armed })
	}

	register[1].kill() // two lost: nothing is decided
	core2.Kill()
	all[1].await("it waits", func(g api.Group) bool { return g.Decision.Verb == api.Wait })
	elapse(4 * time.Second)
	expectAll(all, "core2")
	register[2].kill() // all lost, and a watcher starts anew: it knows what it knew
	all[0].kill()
	all[0].start()
	all[0].await("it goes on by its own copy", func(g api.Group) bool {
		return g.Serving == "core2" && g.Decision.Reason == ha.RegisterLost
	})
	for _, m := range register {
		m.start()
	}
	expectAll(all, "core1") // and it goes on by itself
	expectOneDecisionAnEpoch(t, frontsOf(all)...)
}

func TestAMemberThatIsPausedAndGoesOnHarmsNothing(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	register := keepers(t, 3)
	all := posts(t, register, core1, core2)
	for _, m := range register { // one of them leads
		m.signal(syscall.SIGSTOP)
		elapse(time.Second)
		m.signal(syscall.SIGCONT)
	}
	register[0].signal(syscall.SIGSTOP)
	core1.Kill()
	expectAll(all, "core2")
	register[0].signal(syscall.SIGCONT)
	elapse(time.Second)
	expectAll(all, "core2")
	expectOneDecisionAnEpoch(t, frontsOf(all)...)
}

func TestAWatcherKilledAtItsDecisionLeavesOneDecision(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	all := posts(t, keepers(t, 3), core1, core2)
	var kills sync.WaitGroup
	core1.Kill()
	for i, p := range all[:2] { // about when they decide
		kills.Go(func() {
			elapse(time.Duration(100+40*i) * time.Millisecond)
			p.kill()
		})
	}
	kills.Wait()
	for _, p := range all[:2] {
		p.start()
	}
	expectAll(all, "core2")
	expectOneDecisionAnEpoch(t, frontsOf(all)...)
}

func TestARegisterEndsCleanlyAndTellsItsMembers(t *testing.T) {
	t.Parallel()
	register := keepers(t, 3)
	said, code := tool(t, "register", "members", "--config", register[0].file)
	if code != 0 || strings.Count(said, "follows, etcd 3.") != 2 || strings.Count(said, "leads, etcd 3.") != 1 {
		t.Errorf("exit %d:\n%s", code, said)
	}
	copied := filepath.Join(tempDir(t), "copy")
	if said, code := tool(t, "register", "snapshot", copied, "--config", register[1].file); code != 0 {
		t.Errorf("exit %d:\n%s", code, said)
	}
	if info, err := os.Stat(copied); err != nil || info.Size() == 0 {
		t.Errorf("snapshot: %v", err)
	}
	for _, m := range register {
		m.signal(syscall.SIGTERM)
		if code := m.end(t); code != 0 {
			t.Errorf("exit %d:\n%s", code, m.log.tail(5))
		}
	}
}

func TestMigrationToEtcdAndBackLeavesTrafficWhereItIs(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	register := keepers(t, 1)
	nodes := []node{core1, core2}
	s := startSidecar(t, plan{nodes: nodes})
	s.awaitNode("core2", api.Standby)
	core1.Kill()
	s.expectServing("core2")
	epoch := s.group().Epoch
	s.kill()
	s.more = []string{fmt.Sprintf("etcd: {endpoints: [%q]}", register[0].url)}
	s.configure()
	for range 2 {
		said, code := tool(t, "register", "migrate", "--from", "state_dir", "--to", "etcd", "--config", s.file)
		if code != 0 || !strings.Contains(said, fmt.Sprintf("mdm: epoch %d is in place", epoch)) {
			t.Fatalf("exit %d:\n%s", code, said)
		}
	}
	s.start()
	if g := s.expectServing("core2"); g.Epoch != epoch {
		t.Errorf("epoch %d after the migration, %d before", g.Epoch, epoch)
	}
	if n := len(s.history()); n < 2 {
		t.Errorf("the history has %d entries", n)
	}
	s.wish("hold", api.Body{Reason: "back to files"})
	s.kill()
	if said, code := tool(t, "register", "migrate", "--from", "etcd", "--to", "state_dir", "--config", s.file); code != 0 {
		t.Fatalf("exit %d:\n%s", code, said)
	}
	s.more = nil
	s.configure()
	s.start()
	if g := s.expectServing("core2"); g.Epoch != epoch+1 || g.Hold == nil {
		t.Errorf("epoch %d, hold %v", g.Epoch, g.Hold)
	}
}

func TestAFrontAndTwoSidecarsOnSeveralHostsDecideAsOne(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	all := keepers(t, 3)
	var urls, quoted []string
	for _, m := range all {
		urls, quoted = append(urls, m.url), append(quoted, fmt.Sprintf("%q", m.url))
	}
	nodes := []node{core1, core2}
	f := startFront(t, plan{nodes: nodes, app: []string{"etcd " + strings.Join(urls, " ") + " {", "\twatchers 3", "\twatcher front", "}"}})
	var sidecars []*sidecar
	for i := range 2 {
		sidecars = append(sidecars, startSidecar(t, plan{nodes: nodes},
			fmt.Sprintf("etcd: {endpoints: [%s], watchers: 3, watcher: s%d}", strings.Join(quoted, ", "), i)))
	}
	f.await("enough watchers are there", func(g api.Group) bool { return g.Armed })
	core1.Kill()
	f.expectServing("core2")
	f.expectAllTo("core2")
	for _, s := range sidecars {
		s.expectServing("core2")
		s.expectAnswers("core2")
	}
	core2.Set(ha.Active)
	f.wish("hold", api.Body{Reason: "one register"})
	sidecars[0].await("the front's hold", func(g api.Group) bool { return g.Hold != nil })
}
