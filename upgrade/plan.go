package upgrade

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
)

// PlanSchema is the version of a plan's document, and of the steps that this
// program makes of it: a run is only continued by a program of the same.
const PlanSchema = 1

// Plan is what a run will do. It is a file that another person may read and
// apply; apply refuses it if anything that it was made for has changed.
type Plan struct {
	Schema    int            `json:"schema"`
	Made      time.Time      `json:"made"`
	By        string         `json:"by"`
	Primary   string         `json:"primary"`   // the node that is Active
	Secondary string         `json:"secondary"` // its stand-by
	Config    config.Upgrade `json:"config"`
	Pins      Pins           `json:"pins"`
	Expected  time.Duration  `json:"expected,omitempty"` // how long requests wait in a swap, as in earlier runs
	Outage    time.Duration  `json:"outage,omitempty"`   // how long clients are not served, as in earlier runs
}

// Pins are what must still be so when the plan is applied.
type Pins struct {
	Configuration string               `json:"configuration"` // digest of the upgrade.yaml
	Nodes         map[string]NodePin   `json:"nodes"`
	Routers       map[string]RouterPin `json:"routers"`
}

// NodePin is a node as the plan knows it.
type NodePin struct {
	ID       string `json:"id"` // of its engine and key, not its address
	Version  string `json:"version"`
	State    string `json:"state"`
	Settings string `json:"settings"` // digest
	Epoch    uint64 `json:"epoch"`
}

// RouterPin is a router as the plan knows it.
type RouterPin struct {
	Target  string `json:"target"`
	Serving string `json:"serving"`
	Order   string `json:"order"`
	Epoch   uint64 `json:"epoch"`
}

// Make gives the plan for a pair as it is. text is the upgrade.yaml.
func Make(c config.Upgrade, text []byte, w World, by string) (Plan, error) {
	p := Plan{Schema: PlanSchema, Made: w.At.UTC(), By: by, Config: c}
	var active, rest []string
	for _, name := range slices.Sorted(maps.Keys(w.Nodes)) {
		switch n := w.Nodes[name]; {
		case n.Fault != "":
			return p, &Refused{fmt.Sprintf("%s cannot be read: %s", name, n.Fault)}
		case n.State == Active:
			active = append(active, name)
		default:
			rest = append(rest, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.Routers)) {
		if r := w.Routers[name]; r.Fault != "" {
			return p, &Refused{fmt.Sprintf("%s cannot be read: %s", name, r.Fault)}
		}
	}
	if len(active) != 1 || len(rest) != 1 {
		return p, &Refused{fmt.Sprintf("exactly one node must be Active, and %d are (%s)", len(active), strings.Join(active, ", "))}
	}
	p.Primary, p.Secondary = active[0], rest[0]
	p.Pins = pins(text, w)
	return p, nil
}

func pins(text []byte, w World) Pins {
	p := Pins{Configuration: digest(text), Nodes: map[string]NodePin{}, Routers: map[string]RouterPin{}}
	for name, n := range w.Nodes {
		settings, _ := json.Marshal(n.Settings)
		p.Nodes[name] = NodePin{n.ID, n.Version, n.State, digest(settings), n.Epoch}
	}
	for name, r := range w.Routers {
		p.Routers[name] = RouterPin{r.Target, r.Serving, strings.Join(r.Order, ","), r.Epoch}
		if r.Kind != "api" { // it follows checks of its own, and has no epoch
			p.Routers[name] = RouterPin{Target: r.Target}
		}
	}
	return p
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Digest names the plan by what it says.
func (p Plan) Digest() string {
	text, _ := json.Marshal(p)
	return digest(text)
}

// Stale names every pin that is not so any more: empty means that the plan still
// fits. text is the upgrade.yaml as it is now, nil if it is gone.
func (p Plan) Stale(text []byte, w World) (stale []string) {
	changed := func(what string, was, is any) {
		if was != is {
			stale = append(stale, fmt.Sprintf("%s: %v when the plan was made, %v now", what, show(was), show(is)))
		}
	}
	now := pins(text, w)
	if text != nil {
		changed("configuration", p.Pins.Configuration, now.Configuration)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Pins.Nodes)) {
		if f := w.Nodes[name].Fault; f != "" {
			stale = append(stale, fmt.Sprintf("%s cannot be read: %s", name, f))
			continue
		}
		was, is := p.Pins.Nodes[name], now.Nodes[name]
		changed(name+" identity", was.ID, is.ID)
		changed(name+" version", was.Version, is.Version)
		changed(name+" state", was.State, is.State)
		changed(name+" settings", was.Settings, is.Settings)
		changed(name+" epoch", was.Epoch, is.Epoch)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Pins.Routers)) {
		if f := w.Routers[name].Fault; f != "" {
			stale = append(stale, fmt.Sprintf("%s cannot be read: %s", name, f))
			continue
		}
		was, is := p.Pins.Routers[name], now.Routers[name]
		changed(name+" target", was.Target, is.Target)
		changed(name+" serving", was.Serving, is.Serving)
		changed(name+" order", was.Order, is.Order)
		changed(name+" epoch", was.Epoch, is.Epoch)
	}
	return stale
}

func show(value any) any {
	if text, ok := value.(string); ok {
		if text == "" {
			return "none"
		}
		return short(text)
	}
	return value
}

func short(text string) string {
	if head, sum, ok := strings.Cut(text, ":"); ok && head == "sha256" && len(sum) > 12 {
		return head + ":" + sum[:12]
	}
	return text
}

// ReadPlan reads a plan's document.
func ReadPlan(text []byte) (Plan, error) {
	var p Plan
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("this is no plan: %w", err)
	}
	switch {
	case p.Schema != PlanSchema:
		return p, fmt.Errorf("the plan has schema %d, and this program knows %d; make a new plan", p.Schema, PlanSchema)
	case p.Primary == "" || p.Secondary == "" || p.Primary == p.Secondary || len(p.Pins.Nodes) != 2:
		return p, fmt.Errorf("the plan does not say which two nodes it is for")
	}
	return p, nil
}
