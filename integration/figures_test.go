//go:build linux

package integration

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// figure gives one figure of the API's metrics; false if it is not there.
func figure(f *front, path, name string) (float64, bool) {
	f.t.Helper()
	for line := range strings.Lines(f.admin(path)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			number, err := strconv.ParseFloat(value, 64)
			return number, err == nil
		}
	}
	return 0, false
}

// awaitFigure waits until a figure of the API's metrics has a value.
func awaitFigure(t *testing.T, f *front, name string, want float64) {
	t.Helper()
	var got float64
	if !within(patience, func() bool {
		got, _ = figure(f, "/understudy/metrics", name)
		return got == want
	}) {
		t.Fatalf("%s is %g, want %g", name, got, want)
	}
}

func TestEveryFigureOfTheFrontStandsInTheReference(t *testing.T) {
	t.Parallel()
	reference, err := os.ReadFile("../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	core1, core2 := pair(t)
	f := startFront(t, plan{nodes: []node{core1, core2}})
	found := 0
	for line := range strings.Lines(f.admin("/understudy/metrics")) {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "# TYPE "), " ")
		if !strings.HasPrefix(line, "# TYPE understudy_") {
			continue
		}
		if found++; !strings.Contains(string(reference), "`"+name+"`") {
			t.Errorf("docs/reference/metrics.md does not name %s", name)
		}
	}
	if found < 15 {
		t.Errorf("only %d figures", found)
	}
}
