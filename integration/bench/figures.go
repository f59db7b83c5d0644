package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// series is one figure, measured several times.
type series []float64

func (s *series) add(v float64) { *s = append(*s, v) }

// ms adds a duration in milliseconds.
func (s *series) ms(d time.Duration) { s.add(float64(d) / float64(time.Millisecond)) }

// at gives the value below which a share of the figures lies.
func (s series) at(share float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	where := share * float64(len(sorted)-1)
	low := int(where)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (where-float64(low))*(sorted[high]-sorted[low])
}

func (s series) min() float64    { return s.at(0) }
func (s series) median() float64 { return s.at(0.5) }
func (s series) max() float64    { return s.at(1) }

// three writes minimum, median and maximum.
func (s series) three(decimals int) string {
	return fmt.Sprintf("%.*f / %.*f / %.*f", decimals, s.min(), decimals, s.median(), decimals, s.max())
}

// over gives the ratios of two series, pair by pair.
func (s series) over(other series) series {
	ratios := make(series, min(len(s), len(other)))
	for i := range ratios {
		ratios[i] = s[i] / other[i]
	}
	return ratios
}

// table writes rows in columns.
type table struct{ *tabwriter.Writer }

func newTable(out io.Writer, head ...string) table {
	t := table{tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)}
	t.row(head...)
	return t
}

func (t table) row(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) }

// title begins the figures of a scenario. The load says how much else the
// machine has to do.
func (b *bench) title(name, format string, args ...any) {
	load, _ := os.ReadFile("/proc/loadavg")
	b.say("%s: %s", name, fmt.Sprintf(format, args...))
	b.say("load average before: %.14s, %d cores", load, runtime.NumCPU())
}

// goal prints whether a target is met, with the figure.
func (b *bench) goal(met bool, format string, args ...any) {
	word := "met   "
	if !met {
		word = "MISSED"
	}
	b.say("target %s %s", word, fmt.Sprintf(format, args...))
}
