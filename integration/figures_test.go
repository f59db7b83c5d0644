//go:build linux

package integration

import (
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
