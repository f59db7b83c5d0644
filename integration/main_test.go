//go:build linux

package integration

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/understudy-ha/understudy/haengine/replicate/dbtest"
	"github.com/understudy-ha/understudy/web/webtest"
)

// understudy is the binary under test.
var understudy string

// TestMain builds the binary once. A copy of the test binary that was started
// as a node is one.
func TestMain(m *testing.M) {
	if spec := os.Getenv(childSpec); spec != "" {
		os.Exit(beNode(spec))
	}
	flag.Parse()
	manyAtOnce()
	os.Exit(withBinary(func() int {
		defer webtest.Close()
		defer dbtest.End()
		return m.Run()
	}))
}

// manyAtOnce lets more stories run side by side than there are processors, for
// they mostly wait; unless the person said how many.
func manyAtOnce() {
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		_ = flag.Set("test.parallel", "6")
	}
}

// withBinary builds understudy, runs the stories and gives their exit code.
func withBinary(run func() int) int {
	dir, err := os.MkdirTemp("", "understudy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // some stories run it as another user
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	understudy = filepath.Join(dir, "understudy")
	build := exec.Command("go", buildFlags(understudy)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if soak() {
		build.Env = os.Environ()
	}
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return run()
}

// buildFlags are those of make build, for the binary that people get and for
// its cache; in a soak the front watches itself for data races.
func buildFlags(to string) []string {
	const main = "github.com/understudy-ha/understudy/cmd/understudy"
	if soak() {
		return []string{"build", "-race", "-o", to, main}
	}
	return []string{"build", "-trimpath", "-o", to, main}
}

// soak says whether the stories run in full, however long that takes.
func soak() bool { return os.Getenv("UNDERSTUDY_SOAK") != "" }
