//go:build linux

package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// plan is what a front is configured with. The zero value of a field is the
// stories' usual: quick probes and nothing else.
type plan struct {
	nodes  []node            // in order of succession
	manual []string          // nodes that only a person may choose
	url    map[string]string // by node: where its traffic goes, if not where its pages are
	peer   map[string]string // by node: where its engine listens; only with url
	names  map[string]string // by node: the address that the name server answers; of a sidecar only
	probe  map[string]string // what differs from quick
	group  []string          // further lines of the group
	app    []string          // further lines of the option understudy
	global []string          // further global options
	site   []string          // lines of the directive
	sites  []string          // further sites, whole
	state  string            // the state directory; empty: the front's own
}

// quick are probes that need no patience: a node that refuses is down after
// about 100 ms.
var quick = map[string]string{"interval": "200ms", "fast_interval": "50ms", "timeout": "1s", "fall": "3", "rise": "2"}

// places are what a plan needs to know of its front.
type places struct {
	admin, state, data, site string
}

// caddyfile writes the plan down.
func (p plan) caddyfile(at places) string {
	var b strings.Builder
	say := func(depth int, format string, args ...any) {
		b.WriteString(strings.Repeat("\t", depth) + fmt.Sprintf(format, args...) + "\n")
	}
	say(0, "{")
	say(1, "admin unix/%s", at.admin)
	say(1, "log {") // the stories ask the API hundreds of times
	say(2, "exclude admin.api")
	say(1, "}")
	say(1, "storage file_system %s", at.data)
	for _, line := range p.global {
		say(1, "%s", line)
	}
	say(1, "understudy {")
	say(2, "state_dir %s", at.state)
	for _, line := range p.app {
		say(2, "%s", line)
	}
	say(2, "group mdm {")
	p.writeGroup(say)
	say(2, "}")
	say(1, "}")
	say(0, "}")
	host, port, _ := strings.Cut(at.site, ":")
	say(0, "http://:%s {", port)
	say(1, "bind %s", host)
	say(1, "understudy mdm {")
	for _, line := range p.site {
		say(2, "%s", line)
	}
	say(1, "}")
	say(0, "}")
	for _, site := range p.sites {
		say(0, "%s", site)
	}
	return b.String()
}

func (p plan) writeGroup(say func(int, string, ...any)) {
	for _, n := range p.nodes {
		manual := ""
		if slices.Contains(p.manual, n.Name()) {
			manual = " manual"
		}
		traffic := p.url[n.Name()]
		if traffic == "" {
			say(3, "node %s %s%s", n.Name(), n.URL(), manual)
			continue
		}
		say(3, "node %s %s%s {", n.Name(), traffic, manual)
		say(4, "probe %s", n.URL())
		if at := p.peer[n.Name()]; at != "" {
			say(4, "peer %s", at)
		}
		say(3, "}")
	}
	say(3, "probe {")
	settings := maps.Clone(quick)
	maps.Copy(settings, p.probe)
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		say(4, "%s %s", key, settings[key])
	}
	say(3, "}")
	for _, line := range p.group {
		say(3, "%s", line)
	}
}
