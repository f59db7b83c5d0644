package main

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/understudy-ha/understudy/internal/api/apitest"
	"github.com/understudy-ha/understudy/internal/ha"
)

// The stories of testdata/script run command lines against the API of a group
// in memory. Beside the commands of testscript they have:
//
//	exits CODE COMMAND…      run a command that ends with this exit code
//	lose NODE                the node misses as many readings as make it down
//	reads NODE STATE         a probe reads the node in a state
//	later DURATION           time passes
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			m := apitest.New()
			m.Pair()
			f, stop := serve(m)
			e.Defer(stop)
			e.Values[frontKey{}] = f
			e.Setenv("UNDERSTUDY_API", f.url)
			e.Setenv("USER", "anna")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"lose":  func(ts *testscript.TestScript, _ bool, args []string) { frontOf(ts).Lose("mdm", args[0]) },
			"reads": func(ts *testscript.TestScript, _ bool, args []string) {
				var state ha.State
				ts.Check(state.UnmarshalText([]byte(args[1])))
				frontOf(ts).Advance(time.Second)
				frontOf(ts).Read("mdm", args[0], state)
			},
			"later": func(ts *testscript.TestScript, _ bool, args []string) {
				d, err := time.ParseDuration(args[0])
				ts.Check(err)
				frontOf(ts).Advance(d)
			},
		},
	})
}

// frontKey finds the front of a story.
type frontKey struct{}

func frontOf(ts *testscript.TestScript) *front { return ts.Value(frontKey{}).(*front) }

// exits runs in this process: a process for each line would cost a second
// under the race detector. process.txt has the real thing.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	s := &session{
		name: args[1], args: args[2:], out: ts.Stdout(), err: ts.Stderr(),
		getenv: ts.Getenv, host: "desk",
	}
	if got := run(context.Background(), s); got != want {
		ts.Fatalf("%v: got exit code %d, want %d", args[1:], got, want)
	}
}
