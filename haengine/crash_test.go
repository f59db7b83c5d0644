package haengine

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// A copy of the test binary with this variable lives the life below and dies by
// signal 9 at one of its writes: "DIR WRITE before|after|never".
const crashVariable = "HAENGINE_TEST_CRASH"

func TestMain(m *testing.M) {
	if spec := os.Getenv(crashVariable); spec != "" {
		os.Exit(live(spec))
	}
	os.Exit(m.Run())
}

// diary is an application and a door whose deeds outlive the process.
type diary struct {
	NoDoor
	path string
	told chan ha.On
}

func (d *diary) write(text string) {
	f, err := os.OpenFile(d.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, _ = fmt.Fprintln(f, text)
		_ = f.Close()
	}
}

func (d *diary) Run(ctx context.Context, tell func(ha.On)) {
	for {
		select {
		case <-ctx.Done():
			return
		case on := <-d.told:
			tell(on)
		}
	}
}
func (d *diary) Start(epoch uint64) { d.write(fmt.Sprint("start ", epoch)); d.told <- ha.OnAppUp }
func (d *diary) Stop()              { d.told <- ha.OnAppStopped }
func (d *diary) Kill()              { d.told <- ha.OnAppStopped }
func (d *diary) Well() bool         { return true }
func (d *diary) Open()              { d.write("open") }

// die is kill -9, of which no thread survives even for a moment.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// live is the life of a Secondary: enabled, promoted when its peer is gone, sent
// into Standby by a person, promoted by one, superseded. It writes down what it
// has stored.
func live(spec string) int {
	var dir, when string
	var at int
	if _, err := fmt.Sscan(spec, &dir, &at, &when); err != nil {
		return 2
	}
	d := &diary{path: filepath.Join(dir, "deeds"), told: make(chan ha.On, 64)}
	p := &twin{sight: serving(1)}
	writes := 0
	c := Config{Name: "core2", PeerName: "core1", Dir: filepath.Join(dir, "data"), Peer: p, App: d, Door: d, Log: slog.New(slog.DiscardHandler)}
	c.store = func(path string, value any) error {
		writes++
		if writes == at && when == "before" {
			die()
		}
		err := save(path, value)
		if kept, ok := value.(ha.Kept); ok {
			text, _ := json.Marshal(kept)
			d.write("kept " + string(text))
		}
		if writes == at && when == "after" {
			die()
		}
		return err
	}
	e, err := Open(c)
	if err != nil {
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	hurry := map[string]string{"heartbeat interval": "100ms", "consecutiveheartbeatfailuresbeforefailover": "1", "re-check interval": "100ms", "attempt timeout": "100ms", "promotion hold": "0s", "retry": "100ms"}
	_, _ = e.Save(ctx, func(s Settings) (Settings, error) { return s.With(hurry) }, "anna")
	say := func(event ha.Event) { _, _ = e.Say(ctx, event, "anna", "") }
	until := func(phase ha.Phase) bool {
		for range 3000 {
			if e.now.Load().Member.Phase == phase {
				return true
			}
			time.Sleep(time.Millisecond)
		}
		return false
	}
	say(ha.Event{On: ha.OnEnable, Mode: ha.Secondary})
	ok := until(ha.InStandby)
	p.set(Sight{}, errDown)
	ok = ok && until(ha.InActive)
	say(ha.Event{On: ha.OnModeSecondary})
	ok = ok && until(ha.InHeld) || until(ha.InActive) // it served last and its peer is gone
	say(ha.Event{On: ha.OnModePrimary})
	ok = ok && until(ha.InActive)
	p.set(serving(e.now.Load().Member.Epoch+3), nil)
	ok = ok && until(ha.OutSuperseded)
	cancel()
	if <-ended != nil || !ok {
		return 1
	}
	fmt.Println(writes)
	return 0
}

func TestAKillAtAnyWriteLeavesANodeThatRollsForward(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, at int, when string) (dir string, out []byte, err error) {
		dir = t.TempDir()
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", crashVariable, dir, at, when))
		out, err = cmd.Output()
		return dir, out, err
	}
	_, out, err := run(t, 0, "never")
	var writes int
	if _, scan := fmt.Sscan(string(out), &writes); err != nil || scan != nil || writes < 8 {
		t.Fatalf("a whole life: %v, %d writes", err, writes)
	}
	for at := 1; at <= writes; at++ {
		for _, when := range []string{"before", "after"} {
			t.Run(fmt.Sprintf("killed %s write %d", when, at), func(t *testing.T) {
				t.Parallel()
				dir, _, err := run(t, at, when)
				if err == nil || !strings.Contains(err.Error(), "killed") {
					t.Skipf("it lived, for lives differ by a heartbeat: %v", err)
				}
				expectWhole(t, dir)
			})
		}
	}
	t.Logf("%d writes, killed before and after each", writes)
}

// expectWhole looks at what a killed engine has left.
func expectWhole(t *testing.T, dir string) {
	t.Helper()
	text, _ := os.ReadFile(filepath.Join(dir, "deeds"))
	var last ha.Kept // the newest that was stored
	for line := range strings.Lines(string(text)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "kept":
			last = ha.Kept{} // what is false is left out
			if err := json.Unmarshal([]byte(rest), &last); err != nil {
				t.Fatal(err)
			}
		case "start":
			var epoch uint64
			if _, _ = fmt.Sscan(rest, &epoch); epoch != last.Epoch {
				t.Errorf("the application was started at epoch %d, and %d was stored", epoch, last.Epoch)
			}
		case "open":
			if last.Enabled && (last.Last != ha.Active || last.Served != last.Epoch) {
				t.Errorf("the door was opened, and %+v was stored", last)
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, dir: filepath.Join(dir, "data"), peer: &twin{err: errDown}, app: &play{told: make(chan ha.On, 64)}, door: new(latch), post: new(pillar), base: time.Now().Add(-time.Hour)}
		var kept ha.Kept
		if _, err := load(filepath.Join(r.dir, memberFile), &kept); err != nil {
			t.Fatal(err)
		}
		if kept != last {
			t.Errorf("on the disk is %+v, the newest that was stored is %+v", kept, last)
		}
		r.start()
		m := r.now.Load().Member
		want := ha.InOff
		switch {
		case kept.Out != ha.InStarting:
			want = kept.Out
		case kept.Enabled && kept.Last == ha.Active && kept.Served >= kept.Seen && kept.Served >= kept.Epoch:
			want = ha.InActive
		case kept.Enabled && kept.Last == ha.Active:
			want = ha.OutSuperseded
		case kept.Enabled:
			want = ha.InStandby
		}
		if m.Phase != want {
			t.Errorf("from %+v it comes to %v, want %v", kept, m.Phase, want)
		}
		if m.Epoch < kept.Epoch || m.Served < kept.Served {
			t.Errorf("epochs went back from %+v to %+v", kept, m.Kept)
		}
		r.stop()
	})
}
