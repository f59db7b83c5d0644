package haengine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

// damage is something that may have happened to a node's files.
type damage struct {
	name, says string
	do         func(t *testing.T, dir string)
}

func damages() []damage {
	edit := func(file string, change func(string) string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			path := filepath.Join(dir, file)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(change(string(text))), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return []damage{
		{"one letter", "checksum", edit(memberFile, func(s string) string { return strings.Replace(s, `"epoch":`, `"Epoch":`, 1) })},
		{"cut short", "not whole", edit(memberFile, func(s string) string { return s[:len(s)/2] })},
		{"empty", "not whole", edit(memberFile, func(string) string { return "" })},
		{"a later version", "version", edit(memberFile, func(s string) string { return strings.Replace(s, `"version":1`, `"version":2`, 1) })},
		{"gone", "is missing", func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Remove(filepath.Join(dir, memberFile)); err != nil {
				t.Fatal(err)
			}
		}},
		{"settings cut short", settingsFile, func(t *testing.T, dir string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, settingsFile), []byte(`{"version":1,`), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	}
}

func TestWhatIsSavedIsReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), memberFile)
	want := ha.Kept{Enabled: true, Mode: ha.Secondary, Last: ha.Active, Out: ha.OutYielded, Epoch: 7, Served: 6, Seen: 5}
	if err := save(path, want); err != nil {
		t.Fatal(err)
	}
	var got ha.Kept
	if found, err := load(path, &got); !found || err != nil || got != want {
		t.Errorf("got %+v, %t, %v", got, found, err)
	}
}

func TestSettingsAreReadAsTheyAreShown(t *testing.T) {
	t.Parallel()
	want := DefaultSettings()
	want.Saved = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	want.DoorClosed = true
	want.Services = map[string]bool{"atlas": true, "maps": false}
	want, err := want.With(map[string]string{
		"Heartbeat Interval": "1.5s", "If Failure Detected": "keep in standby", "StartTime": "13:05", "run every": "2 days",
		"Email": "ha@example.com", "notify on: failure / this server becomes primary": "yes", "start-tries": "7",
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), settingsFile)
	if err := save(path, want); err != nil {
		t.Fatal(err)
	}
	var got Settings
	if found, err := load(path, &got); !found || err != nil {
		t.Fatal(found, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestASettingThatIsNotPossibleIsRefusedInASentence(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, value, says string }{
		{"heartbeats", "1s", "there is no setting"},
		{"Heartbeat Interval", "10", "not a duration"},
		{"consecutive heartbeat failures before failover", "0", "from 1 to 250"},
		{"If Failure Detected", "panic", `neither "Keep in Standby" nor "Promote to Primary"`},
		{"StartTime", "25:00", "not a time of day"},
		{"Run Every", "0 minutes", "not a time like"},
		{"Email", "x <y@z>", "not one e-mail address"},
		{"Notify On: Sync Completion", "maybe", "neither yes nor no"},
	}
	for _, tt := range tests {
		if _, err := DefaultSettings().With(map[string]string{tt.name: tt.value}); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s %s: got %v, want %q", tt.name, tt.value, err, tt.says)
		}
	}
	if s, err := DefaultSettings().With(map[string]string{"Re-check interval": "1s"}); err != nil || len(s.Check()) == 0 {
		t.Errorf("an attempt timeout above the Re-check interval was let through: %v", err)
	}
}

func TestEveryActOfTheMachineIsDone(t *testing.T) {
	t.Parallel()
	for do, done := range new(Engine).doings() {
		if done == nil {
			t.Errorf("nobody does %v", ha.Do(do)) // #nosec G115 -- an index of the table
		}
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}
