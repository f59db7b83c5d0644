package probes

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// counters are what WriteFigures writes of every group.
var counters = []struct {
	name, kind, help string
	write            func(to io.Writer, name string, f Figures)
}{
	{"understudy_probes_total", "counter", "Probes made, by their result.", func(to io.Writer, name string, f Figures) {
		fmt.Fprintf(to, "%s,result=\"available\"} %d\n%s,result=\"missed\"} %d\n", name, f.Good, name, f.Missed)
	}},
	{"understudy_probe_seconds_total", "counter", "How long all probes took together.", func(to io.Writer, name string, f Figures) {
		fmt.Fprintf(to, "%s} %.14g\n", name, f.Took.Seconds())
	}},
	{"understudy_probe_late_seconds", "gauge", "The most that a probe has started after its time.", func(to io.Writer, name string, f Figures) {
		fmt.Fprintf(to, "%s} %.14g\n", name, f.Latest.Seconds())
	}},
	{"understudy_failovers_total", "counter", "Moves of the traffic by the rule.", func(to io.Writer, name string, f Figures) {
		fmt.Fprintf(to, "%s} %d\n", name, f.Failovers)
	}},
	{"understudy_transitions_total", "counter", "Changes of the traffic.", func(to io.Writer, name string, f Figures) {
		fmt.Fprintf(to, "%s} %d\n", name, f.Transitions)
	}},
}

// WriteFigures writes the counters of groups, by name, in the Prometheus text
// format.
func WriteFigures(to io.Writer, groups map[string]Figures) {
	var out strings.Builder
	for _, c := range counters {
		fmt.Fprintf(&out, "# HELP %s %s\n# TYPE %s %s\n", c.name, c.help, c.name, c.kind)
		for _, group := range slices.Sorted(maps.Keys(groups)) {
			c.write(&out, fmt.Sprintf("%s{group=%q", c.name, group), groups[group])
		}
	}
	_, _ = io.WriteString(to, out.String())
}
