package upgrade

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
)

// Result is what an Item of a preflight says.
type Result string

// The results of an Item. What nobody can tell is a failure too.
const (
	Pass Result = "pass"
	Warn Result = "warn"
	Fail Result = "fail"
	Skip Result = "skip"
)

// Item is one thing that is looked at before a run.
type Item struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	Said   string `json:"said"`
	Do     string `json:"do,omitempty"` // what would put it right
}

// look is one entry of the catalogue.
type look struct {
	name string
	why  string
	is   func(Plan, World) Item
}

// Names gives every name of the catalogue, for --accept-risk.
func Names() (names []string) {
	for _, l := range catalogue {
		names = append(names, l.name)
	}
	return names
}

// CheckAll looks at everything, in the order of the catalogue.
func CheckAll(p Plan, w World) (items []Item) {
	for _, l := range catalogue {
		i := l.is(p, w)
		i.Name = l.name
		items = append(items, i)
	}
	return items
}

// Failing gives the items that stand in the way, without those that somebody
// takes the risk of.
func Failing(items []Item, accepted map[string]string) (failing []Item) {
	for _, i := range items {
		if i.Result == Fail && accepted[i.Name] == "" {
			failing = append(failing, i)
		}
	}
	return failing
}

func pass(format string, args ...any) Item {
	return Item{Result: Pass, Said: fmt.Sprintf(format, args...)}
}
func skip(said string) Item { return Item{Result: Skip, Said: said} }

func warn(do, format string, args ...any) Item {
	return Item{Result: Warn, Said: fmt.Sprintf(format, args...), Do: do}
}

func fail(do, format string, args ...any) Item {
	return Item{Result: Fail, Said: fmt.Sprintf(format, args...), Do: do}
}

// catalogue is what is looked at.
var catalogue = []look{
	{"reachable", "whoever cannot be read cannot be trusted", reachable},
	{"identity", "a plan goes by keys, not by addresses", identity},
	{"mode-state", "one Active, one Standby, by their own word", modeState},
	{"routers-agree", "the routers see the same", routersAgree},
	{"hold-supported", "every router can be held, and is not held by another", holdSupported},
	{"lock-free", "no other run is at work", lockFree},
	{"versions-equal", "both begin at one version", versionsEqual},
	{"target-newer", "it is an upgrade", targetNewer},
	{"last-sync-success", "a copy is there if the upgrade goes wrong", lastSync},
	{"no-sync-running", "a node is never restarted while it copies", noSync},
	{"peer-heard", "the nodes reach one another", peerHeard},
	{"clock-skew", "times in logs of both can be compared", clockSkew},
	{"application-well", "what is broken now is no worse afterwards", wellNow},
	{"count-known", "the guide compares the device count", countKnown},
	{"maintenance-window", "it begins when it may", inWindow},
	{"disk-free", "an upgrade that runs out of room leaves half of itself", diskFree},
	{"certificate-expiry", "what expires tonight is not the upgrade's fault, and looks like it", certificates},
	{"package-verified", "what is installed is what was tested", packageVerified},
	{"queue-timeout", "requests wait through a swap, and not one is lost", queueTimeout},
	{"schedule", "Run Every is at least the guide's 60 minutes", runEvery},
}

func nodesOf(p Plan, w World, bad func(name string, n Node) *Item, good string) Item {
	for _, name := range []string{p.Primary, p.Secondary} {
		if i := bad(name, w.Nodes[name]); i != nil {
			return *i
		}
	}
	return pass("%s", good)
}

func itemp(i Item) *Item { return &i }

func reachable(p Plan, w World) Item {
	for _, name := range slices.Sorted(maps.Keys(w.Routers)) {
		if f := w.Routers[name].Fault; f != "" {
			return fail("Start it, or name where it is in upgrade.yaml.", "%s cannot be read: %s", name, f)
		}
	}
	return nodesOf(p, w, func(name string, n Node) *Item {
		if n.Fault != "" {
			return itemp(fail("Start it, or name where it is in upgrade.yaml.", "%s cannot be read: %s", name, n.Fault))
		}
		return nil
	}, "every node and router answers")
}

func identity(p Plan, w World) Item {
	return nodesOf(p, w, func(name string, n Node) *Item {
		switch {
		case n.Driver == "agent" && n.ID == "":
			return itemp(fail("Let an engine of this release run there.", "%s does not say who it is", name))
		case n.ID != p.Pins.Nodes[name].ID:
			return itemp(fail("Make a new plan.", "%s is another node than the plan was made for", name))
		}
		return nil
	}, "both are the nodes of the plan")
}

func modeState(p Plan, w World) Item {
	a, b := w.Nodes[p.Primary], w.Nodes[p.Secondary]
	switch {
	case a.State != Active:
		return fail("See: failover status, there.", "%s is %s, not Active", p.Primary, a.State)
	case b.State != Standby:
		return fail("See: failover status, there.", "%s is %s, not in Standby", p.Secondary, b.State)
	case !a.Settled || !b.Settled:
		return fail("Wait until it has arrived.", "a node is on its way from one state to another")
	}
	return pass("%s is Active and %s in Standby", p.Primary, p.Secondary)
}

func routersAgree(p Plan, w World) Item {
	for _, name := range slices.Sorted(maps.Keys(w.Routers)) {
		r := w.Routers[name]
		switch {
		case r.Kind == "haproxy" && p.Config.Kind != config.RunSwitchover: // its servers may have other names
		case r.Serving != "" && r.Serving != p.Primary:
			return fail("Resume or switch first, see docs/howto/after-a-failover.md.", "%s sends clients to %s, not to %s", name, r.Serving, p.Primary)
		case r.Nodes[p.Primary] != "" && r.Nodes[p.Primary] != Active:
			return fail("See: understudy why.", "%s reads %s as %s", name, p.Primary, r.Nodes[p.Primary])
		case r.Nodes[p.Secondary] != "" && r.Nodes[p.Secondary] != Standby:
			return fail("See: understudy why.", "%s reads %s as %s", name, p.Secondary, r.Nodes[p.Secondary])
		}
	}
	return pass("every router sends clients to %s and reads both as they say", p.Primary)
}

func holdSupported(p Plan, w World) Item {
	for _, name := range slices.Sorted(maps.Keys(w.Routers)) {
		if r := w.Routers[name]; r.Held {
			return fail("Release it first: understudy release, or by the command of upgrade.yaml.", "%s is held already%s", name, after(" by ", r.Owner))
		} else if p.Config.Kind == config.RunSwitchover && r.Kind == "haproxy" && r.Serving == "" {
			return fail("Call its servers by the names of the nodes, and let HAProxy check them.", "%s sends clients to none of the two nodes, as far as its servers' names tell", name)
		} else if r.Refuses != "" && p.Config.Kind != config.RunSwitchover {
			return fail("Correct that first.", "%s cannot be held: %s", name, r.Refuses)
		} else if r.Target == "" {
			return fail("Correct upgrade.yaml.", "%s does not say what would be held", name)
		}
	}
	return pass("%d routers read back as not held", len(w.Routers))
}

func lockFree(p Plan, w World) Item {
	return nodesOf(p, w, func(name string, n Node) *Item {
		if n.Lock != nil {
			return itemp(fail("Continue or abort that run; if it is gone for good: understudy upgrade unlock.", "%s is locked by the run %s", name, n.Lock.Run))
		}
		return nil
	}, "no node is locked")
}

func versionsEqual(p Plan, w World) Item {
	a, b := w.Nodes[p.Primary].Version, w.Nodes[p.Secondary].Version
	switch {
	case a == "" && b == "":
		return warn("Configure app.version, so that the upgrade can be seen.", "no node tells its version")
	case a != b:
		return fail("Bring both to one version first; until then they do not replicate.", "%s tells %s and %s %s", p.Primary, orNone(a), p.Secondary, orNone(b))
	}
	return pass("both tell %s", a)
}

func targetNewer(p Plan, w World) Item {
	now := w.Nodes[p.Primary].Version
	switch {
	case p.Config.Kind == config.RunSwitchover:
		return skip("a switchover upgrades nothing")
	case now == p.Config.To:
		return fail("Name another version in upgrade.yaml.", "%s is there already", now)
	case now != "" && !Newer(now, p.Config.To):
		return fail("Correct to in upgrade.yaml; a step back is no upgrade.", "%s is not newer than %s", p.Config.To, now)
	}
	return pass("from %s to %s", orNone(now), p.Config.To)
}

func lastSync(p Plan, w World) Item {
	n := w.Nodes[p.Secondary]
	switch s := n.LastSync; {
	case p.Config.NoDataSync:
		return skip("data_sync: false: nothing is copied")
	case p.Config.SyncFirst:
		return skip("sync_first: the run syncs before it begins")
	case p.Config.Kind != config.RunDocumented:
		return skip("this kind of run does not rest on it")
	case s == nil:
		return fail("Run one: failover sync, or say sync_first: true.", "%s has no Last Sync Status", p.Secondary)
	case !s.Success():
		return fail("Repair it, or say sync_first: true.", "the last sync ended with %q", s.Result)
	default:
		at, err := time.Parse(time.RFC3339, s.Completed)
		if age := n.Clock.Sub(at); err == nil && !n.Clock.IsZero() && age > p.Config.SyncAge {
			return fail("Say sync_first: true.", "the last sync completed %s ago; sync_age is %v", age.Round(time.Second), p.Config.SyncAge)
		}
		return pass("Completed: %s, Result: Success", when(s.Completed))
	}
}

func noSync(p Plan, w World) Item {
	if w.Nodes[p.Secondary].Syncing || w.Nodes[p.Primary].Syncing {
		return warn("The run waits for it.", "a sync runs")
	}
	return pass("none")
}

func peerHeard(p Plan, w World) Item {
	return nodesOf(p, w, func(name string, n Node) *Item {
		if n.Driver == "agent" && n.Enabled == Enabled && !n.Heard {
			return itemp(fail("Test Connection, there.", "%s does not hear %s", name, n.Peer))
		}
		return nil
	}, "each hears the other")
}

func clockSkew(p Plan, w World) Item {
	worst, whose := time.Duration(0), ""
	for name, n := range w.Nodes {
		if !n.Clock.IsZero() {
			if skew := n.Clock.Sub(w.At).Abs(); skew > worst {
				worst, whose = skew, name
			}
		}
	}
	switch {
	case worst > 5*time.Second:
		return fail("Set the clocks by NTP.", "the clock of %s differs by %s", whose, worst.Round(100*time.Millisecond))
	case worst > time.Second:
		return warn("Set the clocks by NTP.", "the clock of %s differs by %s", whose, worst.Round(100*time.Millisecond))
	}
	return pass("clocks differ by less than a second")
}

func wellNow(p Plan, w World) Item {
	if n := w.Nodes[p.Primary]; !n.Well {
		return fail("Repair it first.", "the application of %s is not well", p.Primary)
	}
	return pass("the application of %s answers", p.Primary)
}

func countKnown(p Plan, w World) Item {
	if w.Nodes[p.Primary].Count == "" {
		return warn("Configure app.count.", "%s has no command for the device count: it is not compared", p.Primary)
	}
	return pass("%s counts %s", p.Primary, w.Nodes[p.Primary].Count)
}

func runEvery(p Plan, w World) Item {
	every, ok := w.Nodes[p.Secondary].Settings["Run Every"]
	if d, err := time.ParseDuration(strings.ReplaceAll(every, " ", "")); ok && err == nil && d < time.Hour {
		return warn("See HA best practice recommendations.", "Run Every is %s, below 60 minutes", every)
	}
	return pass("Run Every is %s", orNone(every))
}

// Newer says whether version b comes after a: numbers in them are compared as
// numbers, the rest as text.
func Newer(a, b string) bool {
	x, y := pieces(a), pieces(b)
	for i := range max(len(x), len(y)) {
		var p, q string
		if i < len(x) {
			p = x[i]
		}
		if i < len(y) {
			q = y[i]
		}
		if p == q {
			continue
		}
		m, n := parseNumber(p), parseNumber(q)
		if m != n || p == "" || q == "" {
			return m < n || m == n && p < q
		}
		return p < q
	}
	return false
}

func pieces(version string) []string {
	return strings.FieldsFunc(version, func(r rune) bool { return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') })
}
