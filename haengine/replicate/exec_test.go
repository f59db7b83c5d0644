package replicate

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var _ Dataset = (*Exec)(nil)

// restorer is a restore command as an operator would write one: the data are a
// file, and a switch exchanges two links.
const restorer = `#!/bin/sh
set -eu
cd "$HOME_OF_DATA"
g=$UNDERSTUDY_GENERATION
case $UNDERSTUDY_DO in
prepare) cp "$UNDERSTUDY_DIR/data" new.$g; echo "lines=$(wc -l <new.$g)" ;;
switch) if [ -e new.$g ]; then [ ! -e live ] || cp live old.$g; mv new.$g live; fi ;;
back) if [ -e old.$g ]; then cp live new.$g; mv old.$g live; fi ;;
drop) rm -f $UNDERSTUDY_SIDE.$g; echo "$UNDERSTUDY_SIDE $UNDERSTUDY_PREPARED" >>dropped ;;
esac
`

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "command")
	must(t, os.WriteFile(path, []byte(text), 0o755))
	return path
}

// commands gives a dataset of two commands, and the folders of source and sink.
func commands(t *testing.T) (e *Exec, source, sink string) {
	t.Helper()
	source, sink = t.TempDir(), t.TempDir()
	dump := script(t, "#!/bin/sh\nset -eu\necho hello\ncp \"$1/data\" \"$UNDERSTUDY_DIR/data\"\necho \"lines=$(wc -l <\"$1/data\")\"\n")
	e, err := NewExec(Exec{Name: "own", Dump: []string{dump, source}, Restore: []string{"env", "HOME_OF_DATA=" + sink, script(t, restorer)}})
	must(t, err)
	return e, source, sink
}

func TestExecCommandsDumpAndRestore(t *testing.T) {
	t.Parallel()
	e, source, sink := commands(t)
	live := func(want string) {
		t.Helper()
		if got := has(t, filepath.Join(sink, "live")); got != want {
			t.Errorf("in force is %q, want %q", got, want)
		}
	}
	var changes []Change
	for n, text := range []string{"one\n", "one\ntwo\n"} {
		put(t, source, map[string]string{"data": text})
		o, err := e.Offer(t.Context(), t.TempDir())
		must(t, err)
		again, err := e.Offer(t.Context(), t.TempDir())
		must(t, err)
		if o.Digest != again.Digest || o.Digest == "" {
			t.Errorf("digests %q and %q of the same", o.Digest, again.Digest)
		}
		p, err := e.Prepare(t.Context(), Staged{Generation: uint64(n) + 1, Dir: o.Tree, Offer: o})
		must(t, err)
		if diff := cmp.Diff(map[string]int64{"lines": int64(n) + 1}, p.Counts); diff != "" || !cmp.Equal(o.Counts, p.Counts) {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		c := Change{Generation: uint64(n) + 1, Data: p.Data}
		must(t, e.Switch(t.Context(), c))
		must(t, e.Switch(t.Context(), c))
		live(text)
		changes = append(changes, c)
	}
	must(t, e.Back(t.Context(), changes[1]))
	must(t, e.Back(t.Context(), changes[1]))
	live("one\n")
	must(t, e.Drop(t.Context(), changes[1], New))
	must(t, e.Drop(t.Context(), changes[0], Old))
	must(t, e.Drop(t.Context(), Change{Generation: 3}, Old))
	if got := has(t, filepath.Join(sink, "dropped")); got != "new yes\nold yes\nnew no\n" {
		t.Errorf("dropped %q", got)
	}
}

func TestExecOnlyTheEnvironmentThatIsToldIsThere(t *testing.T) {
	t.Setenv("SECRET_OF_THE_ENGINE", "x")
	e, err := NewExec(Exec{Name: "own", Dump: []string{"sh", "-c", `env | sort >"$UNDERSTUDY_DIR/env"`}, Restore: []string{"true"}})
	must(t, err)
	o, err := e.Offer(t.Context(), t.TempDir())
	must(t, err)
	var names []string
	for line := range strings.Lines(has(t, filepath.Join(o.Tree, "env"))) {
		name, _, _ := strings.Cut(line, "=")
		names = append(names, name)
	}
	if diff := cmp.Diff([]string{"LC_ALL", "PATH", "PWD", "UNDERSTUDY_DATASET", "UNDERSTUDY_DIR", "UNDERSTUDY_DO"}, names); diff != "" {
		t.Errorf("the environment (-want +got):\n%s", diff)
	}
}

func TestExecCommandsThatMisbehaveFailInASentence(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		dump    string
		timeout time.Duration
		want    string
	}{
		{"exit 3", 0, "dump: sh: exit status 3"},
		{"echo no licence >&2; exit 1", 0, `exit status 1: "no licence"`},
		{"yes x >&2", 300 * time.Millisecond, "it took longer than 300ms"},
		{"sleep 600 & sleep 600", 300 * time.Millisecond, "it took longer than 300ms"},
		{"trap '' TERM INT; while :; do sleep 1; done", 300 * time.Millisecond, "it took longer than 300ms"},
		{"true", 0, "has put nothing into its folder"},
		{"touch $UNDERSTUDY_DIR/x; yes a=1 | head -c 300000", 0, "wrote more than 256.0 KiB to its standard output"},
		{"echo a=1; echo a=2; touch $UNDERSTUDY_DIR/x", 0, `"a" is counted twice`},
		{"ln -s /etc/passwd $UNDERSTUDY_DIR/x", 0, `the dump holds "x", which is neither file nor folder`},
		{"mkfifo $UNDERSTUDY_DIR/x", 0, `the dump holds "x", which is neither file nor folder`},
	} {
		e, err := NewExec(Exec{Name: "own", Dump: []string{"sh", "-c", tt.dump}, Restore: []string{"true"}, Timeout: tt.timeout})
		must(t, err)
		begin := time.Now()
		_, err = e.Offer(t.Context(), t.TempDir())
		wantError(t, err, tt.want)
		if took := time.Since(begin); took > time.Minute || len(fmt.Sprint(err)) > 3000 {
			t.Errorf("%s: %v, and an error of %d bytes", tt.dump, took, len(fmt.Sprint(err)))
		}
	}
	gone, err := NewExec(Exec{Name: "own", Dump: []string{"/nowhere/dump"}, Restore: []string{"true"}})
	must(t, err)
	_, err = gone.Offer(t.Context(), t.TempDir())
	wantError(t, err, "this machine has no /nowhere/dump")
	for _, e := range []Exec{{}, {Dump: []string{"a"}}, {Restore: []string{"a"}}, {Dump: []string{""}, Restore: []string{"a"}}, {Dump: []string{"a\x00"}, Restore: []string{"a"}}, {Dump: []string{"a"}, Restore: []string{"a"}, Timeout: -1}} {
		if _, err := NewExec(e); err == nil {
			t.Errorf("%+v is taken", e)
		}
	}
}

// What a command has started is ended with it.
func TestExecACommandThatIsEndedLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	pid := filepath.Join(t.TempDir(), "pid")
	e, err := NewExec(Exec{Name: "own", Dump: []string{"sh", "-c", "sleep 600 & echo $! >" + pid + "; wait"}, Restore: []string{"true"}})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := e.Offer(ctx, t.TempDir())
		ended <- err
	}()
	for {
		if text, err := os.ReadFile(pid); err == nil && strings.HasSuffix(string(text), "\n") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	wantError(t, <-ended, "context canceled")
	stat := "/proc/" + strings.TrimSpace(has(t, pid)) + "/stat"
	for n := 0; ; n++ {
		text, err := os.ReadFile(stat)
		if err != nil || strings.Contains(string(text), ") Z ") {
			return
		}
		if n > 500 {
			t.Fatalf("it still runs: %s", text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
