package upgrade

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/config"
)

var update = flag.Bool("update", false, "write testdata/plan_KIND.txt anew")

// guide is the list of the EPMM guide, "High Availability software upgrade
// procedures", in our words.
var guide = []struct{ number, what string }{
	{"1", "disable HA on the Secondary"},
	{"2", "a running replication completes; Last Sync Status is Completed with Success"},
	{"3", "disable the load balancer from detecting and failing over"},
	{"4", "upgrade the Secondary: make it Primary, upgrade and validate, return it"},
	{"5", "upgrade the Primary and validate"},
	{"6", "enable HA on the Secondary"},
	{"7", "test and validate the environment"},
	{"8", "review StartTime and Run Every"},
	{"9", "re-enable the load balancer"},
}

func TestTheDocumentedPlanHasTheGuidesOrder(t *testing.T) {
	t.Parallel()
	p := newPair()
	var numbers []string
	for _, s := range planFor(p, config.RunDocumented).Steps() {
		if s.Guide != "" && (len(numbers) == 0 || numbers[len(numbers)-1] != s.Guide) {
			numbers = append(numbers, s.Guide)
		}
	}
	var want []string
	for _, g := range guide {
		want = append(want, g.number)
	}
	if diff := cmp.Diff(want, numbers); diff != "" {
		t.Errorf("the numbers of the steps are not the guide's:\n%s", diff)
	}
}

func TestPlansReadAsTheyDid(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		plan := planFor(newPair(), kind)
		plan.Made = time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
		text := plan.Text(Estimate{})
		text = strings.Replace(text, short(plan.Digest()), "DIGEST", 1)
		file := filepath.Join("testdata", "plan_"+string(kind)+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), text); diff != "" {
			t.Errorf("%s (-want +got), go test -update writes it anew:\n%s", file, diff)
		}
	}
}

func TestAStalePlanNamesThePinThatChanged(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*pair){
		"core2 identity: k2 when the plan was made, k9 now": func(p *pair) { p.nodes["core2"].ID = "k9" },
		"core1 version: 1.0 when the plan was made, 1.1":    func(p *pair) { p.nodes["core1"].Version = "1.1" },
		"core2 state: standby":                              func(p *pair) { p.nodes["core2"].State = Active },
		"core1 settings: sha256:":                           func(p *pair) { p.nodes["core1"].Settings["Run Every"] = "2 hours" },
		"core1 epoch: 0 when the plan was made, 4 now":      func(p *pair) { p.nodes["core1"].Epoch = 4 },
		"front target: mdm at front":                        func(p *pair) { p.routers["front"].Target = "other" },
		"sidecar epoch: 1 when the plan was made, 2 now":    func(p *pair) { p.routers["sidecar"].Epoch = 2 },
		"front serving: core1":                              func(p *pair) { p.routers["front"].Serving = "core2" },
		"core1 cannot be read":                              func(p *pair) { p.nodes["core1"].reboot = 9 },
	} {
		p := newPair()
		plan := planFor(p, config.RunDocumented)
		if stale := plan.Stale([]byte("text"), p.hands().Look(context.Background(), time.Now())); len(stale) != 0 {
			t.Fatalf("at once: %v", stale)
		}
		change(p)
		stale := plan.Stale([]byte("text"), p.hands().Look(context.Background(), time.Now()))
		if len(stale) != 1 || !strings.HasPrefix(stale[0], want) {
			t.Errorf("got %q, want %q", stale, want)
		}
	}
	plan := planFor(newPair(), config.RunDocumented)
	if stale := plan.Stale([]byte("text, edited"), newPair().hands().Look(context.Background(), time.Now())); len(stale) != 1 || !strings.HasPrefix(stale[0], "configuration: sha256:") {
		t.Errorf("an edited upgrade.yaml: %q", stale)
	}
}

func TestAPlanIsReadBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	plan := planFor(newPair(), config.RunDocumented)
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadPlan(text)
	if err != nil || got.Digest() != plan.Digest() {
		t.Errorf("got %s, %v; want %s", got.Digest(), err, plan.Digest())
	}
	for _, bad := range []string{"", "{", `{"schema":9}`, `{"schema":1}`, `{"schema":1,"primary":"a","secondary":"a"}`} {
		if _, err := ReadPlan([]byte(bad)); err == nil {
			t.Errorf("%q was taken for a plan", bad)
		}
	}
}

func TestAPlanIsOnlyMadeForAPairWithOneActiveNode(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*pair){
		"exactly one node must be Active, and 2 are": func(p *pair) { p.nodes["core2"].State = Active },
		"exactly one node must be Active, and 0 are": func(p *pair) { p.nodes["core1"].State = NotAvailable },
		"core2 cannot be read":                       func(p *pair) { p.nodes["core2"].reboot = 9 },
	} {
		p := newPair()
		change(p)
		if _, err := Make(quick(config.RunDocumented), nil, p.hands().Look(context.Background(), time.Now()), "anna"); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want %q", err, what)
		}
	}
}

func TestVersionsAreComparedAsPeopleDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"11.9.0.1", "11.12.0.0", true},
		{"11.12", "11.12", false},
		{"11.12", "11.9", false},
		{"1.0", "1.0.1", true},
		{"1.0-rc1", "1.0-rc2", true},
		{"2.0", "10.0", true},
		{"10.0", "2.0", false},
	} {
		if got := Newer(c.a, c.b); got != c.want {
			t.Errorf("%s to %s: newer %v", c.a, c.b, got)
		}
	}
}

func TestEveryPreflightItemFindsItsFault(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*pair){
		"reachable":         func(p *pair) { p.nodes["core2"].reboot = 9 },
		"identity":          func(p *pair) { p.nodes["core2"].ID = "other" },
		"mode-state":        func(p *pair) { p.nodes["core2"].Settled = false },
		"routers-agree":     func(p *pair) { p.routers["front"].Serving = "core2" },
		"hold-supported":    func(p *pair) { p.routers["front"].Held, p.routers["front"].Owner = true, "bob" },
		"lock-free":         func(p *pair) { p.nodes["core1"].Lock = &Lock{"other", 3} },
		"versions-equal":    func(p *pair) { p.nodes["core2"].Version = "0.9" },
		"target-newer":      func(p *pair) { p.nodes["core1"].Version, p.nodes["core2"].Version = "2.0", "2.0" },
		"last-sync-success": func(p *pair) { p.nodes["core2"].LastSync.Result = "Failed: no room" },
		"peer-heard":        func(p *pair) { p.nodes["core2"].Heard = false },
		"clock-skew":        func(p *pair) { p.nodes["core2"].Clock = time.Now().Add(-time.Minute) },
		"application-well":  func(p *pair) { p.nodes["core1"].Well = false },
		"disk-free":         func(p *pair) { p.nodes["core2"].Room = map[string]uint64{"/": 900 << 20} },
		"package-verified":  func(p *pair) { p.nodes["core2"].Checks = false },
	} {
		p := newPair()
		plan := planFor(p, config.RunDocumented)
		look := func() []Item { return CheckAll(plan, p.hands().Look(context.Background(), time.Now())) }
		if failing := Failing(look(), nil); len(failing) != 0 {
			t.Fatalf("a pair in order: %v", failing)
		}
		change(p)
		items := look()
		found := false
		for _, i := range Failing(items, nil) {
			found = found || i.Name == name && i.Said != "" && i.Do != ""
		}
		if !found {
			t.Errorf("%s finds nothing: %v", name, items)
		}
		for _, i := range Failing(look(), map[string]string{name: "I know"}) {
			if i.Name == name {
				t.Errorf("%s fails though its risk was accepted", name)
			}
		}
	}
	for _, c := range []struct {
		name   string
		result Result
		said   string
		bend   func(*Plan, *World)
	}{
		{"maintenance-window", Fail, "outside of the window: 22:00 to 05:00 UTC, beginning on sat", func(p *Plan, w *World) {
			p.Config.Window = config.RunWindow{From: "22:00", Until: "05:00", Zone: "UTC", Days: []string{"sat"}}
		}},
		{"maintenance-window", Skip, "names no window", func(*Plan, *World) {}},
		{"certificate-expiry", Fail, "is good until 2026-01-02 04:00:00 UTC", func(_ *Plan, w *World) {
			w.Seen = []Seen{{What: seenCertificate, Of: "x:443", Until: w.At.Add(time.Hour)}}
		}},
		{"certificate-expiry", Fail, "cannot be seen: refused", func(_ *Plan, w *World) { w.Seen = []Seen{{What: seenCertificate, Of: "x:443", Fault: "refused"}} }},
		{"certificate-expiry", Warn, "good only until", func(_ *Plan, w *World) {
			w.Seen = []Seen{{What: seenCertificate, Of: "x:443", Until: w.At.AddDate(0, 0, 9)}, {What: seenCertificate, Of: "y:443", Until: w.At.AddDate(1, 0, 0)}}
		}},
		{"certificate-expiry", Skip, "names no certificates", func(*Plan, *World) {}},
		{"package-verified", Warn, "takes what its download gives", func(p *Plan, _ *World) { p.Config.Package = "" }},
		{"disk-free", Warn, "nobody can tell", func(*Plan, *World) {}},
		{"queue-timeout", Skip, "only a switchover", func(*Plan, *World) {}},
		{"queue-timeout", Warn, "front lets requests wait 10s; how long a swap takes is not known", func(p *Plan, _ *World) { p.Config.Kind = config.RunSwitchover }},
		{"queue-timeout", Pass, "a swap took 3s", func(p *Plan, _ *World) { p.Config.Kind, p.Expected = config.RunSwitchover, 3*time.Second }},
		{"queue-timeout", Fail, "a swap took 12s in earlier runs, and front lets requests wait 10s only", func(p *Plan, _ *World) {
			p.Config.Kind, p.Expected = config.RunSwitchover, 12*time.Second
		}},
	} {
		p := newPair()
		waits := 10 * time.Second
		p.routers["front"].Waits = &waits
		plan := planFor(p, config.RunDocumented)
		w := p.hands().Look(context.Background(), time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)) // a Friday
		c.bend(&plan, &w)
		found := false
		for _, i := range CheckAll(plan, w) {
			found = found || i.Name == c.name && i.Result == c.result && strings.Contains(i.Said, c.said)
		}
		if !found {
			t.Errorf("%s does not %s with %q: %v", c.name, c.result, c.said, CheckAll(plan, w))
		}
	}
	for want, last := range map[string]*Sync{"has no Last Sync Status": nil, "completed": {"2020-01-01T00:00:00Z", "Success"}} {
		p := newPair()
		plan := planFor(p, config.RunDocumented)
		p.nodes["core2"].LastSync, p.nodes["core2"].Clock = last, time.Now()
		failing := Failing(CheckAll(plan, p.hands().Look(context.Background(), time.Now())), nil)
		if len(failing) != 1 || !strings.Contains(failing[0].Said, want) {
			t.Errorf("%s: got %v", want, failing)
		}
	}
}
