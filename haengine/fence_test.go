package haengine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// fenced runs a Secondary with a fence command until its peer has failed, and
// waits until it is in a phase.
func fenced(t *testing.T, want ha.Phase, timeout time.Duration, line ...string) *desk {
	t.Helper()
	d := newDeskOf(t, func(c *Config) { c.Fence = Fencing{line, timeout} })
	if _, err := d.Save(t.Context(), map[string]string{
		"heartbeat interval": "100ms", "consecutive heartbeat failures before failover": "2", "re-check interval": "100ms",
		"attempt timeout": "100ms", "promotion hold": "100ms", "promotion time": "100ms",
	}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Enable(t.Context(), "secondary", ""); err != nil {
		t.Fatal(err)
	}
	d.peer.set(Sight{}, errDown)
	deadline := time.Now().Add(20 * time.Second)
	for d.e.now.Load().Member.Phase != want {
		if time.Now().After(deadline) {
			t.Fatalf("it is in %v, want %v", d.e.now.Load().Member.Phase, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return d
}

func (d *desk) journalText() string {
	text, err := os.ReadFile(filepath.Join(d.e.Dir, logFile))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

func TestAPeerIsSwitchedOffBeforeAPromotion(t *testing.T) {
	t.Parallel()
	said := filepath.Join(t.TempDir(), "said")
	fenced(t, ha.InActive, time.Minute, "sh", "-c", `echo "$UNDERSTUDY_PEER $UNDERSTUDY_NODE" > "$0"`, said)
	text, err := os.ReadFile(said)
	if err != nil || string(text) != "core1 core2\n" {
		t.Errorf("the fence command said %q, %v", text, err)
	}
}

func TestAPeerThatCannotBeSwitchedOffKeepsThisNodeInStandby(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		timeout time.Duration
		line    []string
		says    string
	}{
		{"it fails", time.Minute, []string{"sh", "-c", "echo no power there; exit 3"}, `exit status 3; it said \"no power there\"`},
		{"it hangs", 100 * time.Millisecond, []string{"sleep", "60"}, "it took longer than 100ms"},
		{"it is not there", time.Minute, []string{"/nowhere/fence"}, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := fenced(t, ha.InHeld, c.timeout, c.line...)
			if text := d.journalText(); !strings.Contains(strings.ReplaceAll(text, `\"`, `"`), strings.ReplaceAll(c.says, `\"`, `"`)) {
				t.Errorf("the log says\n%s\nwant %s", text, c.says)
			}
			if told, _ := d.post.take(); len(told) < 2 || told[1] != "alarm stays-standby" {
				t.Errorf("people were told %q", told)
			}
		})
	}
}
