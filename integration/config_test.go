//go:build linux

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

// Faults of a configuration are told with their place, all at once, before
// anything is changed.

// faulty is a Caddyfile with a fault on each line that a comment marks: the
// words that must be said of it.
const faulty = `{
	understudy {
		state_dir STATE
		group mdm {
			node core1 http://192.0.2.10
			node core1 http://192.0.2.11 # stands twice
			node raw http://192.0.2.12 # reserved
			node core4 http://192.0.2.10 # share a probe address
			node core5 ftp://192.0.2.13 # is not an address
			node core6 http://192.0.2.14/path # nothing else
			node core7 # node NAME URL
			probe {
				interval 0s # above zero
				fast_interval -1s # above zero
				timeout soon # not a duration
				fall 0 # number from 1
				rise many # number from 1
				flavour sour # unknown
				host # takes one value
			}
			on_promoted perhaps # wait, follow or epoch
			promotion_time -2m # above zero
			observe twice # nothing more
		}
		group serving { # reserved
			node a http://192.0.2.20
			node b http://192.0.2.21
		}
		group lonely { # at least two
			node a http://192.0.2.30
		}
		group mixed { # same scheme
			node a http://192.0.2.40
			node b https://192.0.2.41
		}
		notify {
			webhook ftp://192.0.2.50/hook # must begin with https
		}
		colour blue # unknown
	}
}
http://:8080 {
	understudy mdm
}
`

// expectFaults checks that each marked line is told with its words.
func expectFaults(t *testing.T, said, file, text string) {
	t.Helper()
	missing := 0
	for i, line := range strings.Split(text, "\n") {
		_, words, marked := strings.Cut(line, "# ")
		if !marked {
			continue
		}
		place := fmt.Sprintf("%s:%d:", file, i+1)
		told := false
		for _, message := range strings.Split(said, place)[1:] {
			message, _, _ = strings.Cut(message, file+":")
			told = told || strings.Contains(message, words)
		}
		if !told {
			missing++
			t.Errorf("%s nothing is said of %q", place, strings.TrimSpace(line))
		}
	}
	if missing > 0 {
		t.Logf("what was said:\n%s", said)
	}
}

func TestAllFaultsAreToldAtOnceWithTheirPlaces(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	file := filepath.Join(dir, "Caddyfile")
	text := strings.Replace(faulty, "STATE", filepath.Join(dir, "state"), 1)
	write(t, file, text)
	for _, verb := range []string{"adapt", "validate"} {
		said, code := tool(t, "caddy", verb, "--config", file, "--adapter", "caddyfile")
		if code == 0 {
			t.Errorf("%s: exit code 0", verb)
		}
		expectFaults(t, said, file, text)
	}
	said, code := tool(t, "check", "--config", file)
	if code != 2 {
		t.Errorf("check: exit code %d, want 2", code)
	}
	expectFaults(t, said, file, text)
	if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
		t.Error("the state directory was made")
	}
}

// Faults of the directive come after those of the global option are mended,
// one at a time, as Caddy's parser works.
func TestADirectivesFaultIsToldWithItsPlace(t *testing.T) {
	t.Parallel()
	faults := map[string]string{
		"understudy mdn": "mdm",
		"understudy":     "understudy GROUP",
		"understudy mdm {\n\t\tqueue_timeout -1s\n\t}": "negative",
		"understudy mdm {\n\t\tqueue_max 0\n\t}":       "from 1",
		"understudy mdm {\n\t\tto 192.0.2.1\n\t}":      "the group decides",
		"understudy mdm {\n\t\tlb_policy first\n\t}":   "the group decides",
		"understudy mdm {\n\t\thealth_uri /\n\t}":      "the group decides",
		"understudy mdm {\n\t\tno_such_thing\n\t}":     "no_such_thing",
	}
	for directive, words := range faults {
		t.Run(strings.NewReplacer("\n", " ", "\t", "").Replace(directive), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(tempDir(t), "Caddyfile")
			write(t, file, strings.ReplaceAll(`{
	understudy {
		group mdm {
			node core1 http://192.0.2.10
			node core2 http://192.0.2.11
		}
	}
}
http://:8080 {
	DIRECTIVE
}
`, "DIRECTIVE", directive))
			said, code := tool(t, "caddy", "adapt", "--config", file, "--adapter", "caddyfile")
			if code == 0 || !strings.Contains(said, words) || !strings.Contains(said, file+":1") {
				t.Errorf("exit code %d; want %q and a line of %s:\n%s", code, words, file, said)
			}
		})
	}
}

func TestAReloadWithFaultsKeepsTheOldConfiguration(t *testing.T) {
	t.Parallel()
	f, core1, _ := staleAndServed(t, plan{})
	text := strings.Replace(faulty, "STATE", f.at.state, 1)
	err := f.loadText(text)
	if err == nil {
		t.Fatal("it was taken")
	}
	expectFaults(t, err.Error(), "Caddyfile", text)
	f.expectNothing(core1, "core2")
	if g := f.expectServing("core2"); g.Epoch != 2 || g.Decision.Reason != ha.DualActive {
		t.Errorf("epoch %d by %s", g.Epoch, g.Decision.Reason)
	}
}

func TestTheExampleLoads(t *testing.T) {
	t.Parallel()
	text := read(t, "../Caddyfile.example")
	dir := tempDir(t)
	file := filepath.Join(dir, "Caddyfile")
	state := filepath.Join(dir, "state")
	if !strings.Contains(text, "/var/lib/understudy") {
		t.Fatal("the example has no state_dir /var/lib/understudy")
	}
	text = strings.ReplaceAll(text, "/var/lib/understudy", state)
	write(t, file, text)
	for _, verb := range []string{"adapt", "validate"} {
		said, code := tool(t, "caddy", verb, "--config", file, "--adapter", "caddyfile")
		if code != 0 {
			t.Errorf("%s: exit code %d:\n%s", verb, code, said)
		}
		if strings.Contains(said, "not formatted") {
			t.Errorf("%s: the example is not formatted as Caddy formats", verb)
		}
		if strings.Contains(said, `"unwise configuration"`) {
			t.Errorf("%s: the example is unwise:\n%s", verb, said)
		}
	}
	if said, code := tool(t, "check", "--config", file); code != 0 {
		t.Errorf("check: exit code %d:\n%s", code, said)
	}
	uncommented := strings.Replace(text, "# observe\n", "observe\n", 1) // what it offers works too
	uncommented = strings.Replace(uncommented, "# proxy_protocol v2", "proxy_protocol v2", 1)
	if uncommented == text {
		t.Fatal("the example offers neither observe nor proxy_protocol")
	}
	write(t, file, uncommented)
	if said, code := tool(t, "caddy", "validate", "--config", file, "--adapter", "caddyfile"); code != 0 {
		t.Errorf("with its comments taken away: exit code %d:\n%s", code, said)
	}
}

// A group that starts with observe looks and shows, and moves nothing until it
// is released.
func TestAGroupThatObservesMovesNothing(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}, group: []string{"observe"}})
	f.expectAllTo("core1")
	core1.Kill()
	f.expectRow(row{5, "wait", ha.Held, "", "alarm"})
	f.expectTurnedAway(ha.Held, f.get())
	f.wish("release", api.Body{})
	f.expectServing("core2")
	f.reload(f.plan) // it observes at its first start only
	if g := f.group(); g.Hold != nil {
		t.Errorf("held again by a reload: %+v", g.Hold)
	}
}
