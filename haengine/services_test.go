package haengine

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

func optionalAtlas(c *Config) {
	c.Services = []nodeapi.Service{{Name: "db", Type: "postgres", Enabled: true}, {Name: "atlas", Type: "files", Optional: true}}
}

func TestAnOptionalDatasetIsEnabledWhileTheNodeRunsAndStaysSo(t *testing.T) {
	t.Parallel()
	d := newDeskOf(t, optionalAtlas)
	all, tag, err := d.Services(t.Context())
	if err != nil || len(all) != 2 || all[1].Enabled || !all[0].Enabled {
		t.Fatalf("got %+v, %v", all, err)
	}
	saved := d.e.now.Load().Settings.Saved
	if _, err := d.SetServices(t.Context(), map[string]bool{"atlas": true}, "Atlas is in use now", tag); err != nil {
		t.Fatal(err)
	}
	if all, _, _ := d.Services(t.Context()); !all[1].Enabled || !d.e.ServiceEnabled("atlas") {
		t.Errorf("it is not enabled: %+v", all)
	}
	if now := d.e.now.Load().Settings.Saved; !now.Equal(saved) {
		t.Error("the schedule of syncs begins anew, though nobody has saved it")
	}
	var no *nodeapi.Refused
	if _, err := d.SetServices(t.Context(), map[string]bool{"atlas": false}, "", tag); !errors.As(err, &no) || no.Code != 412 {
		t.Errorf("what another one has changed meanwhile is overwritten: %v", err)
	}
	var kept Settings
	if found, err := load(filepath.Join(d.e.Dir, settingsFile), &kept); !found || err != nil || !kept.enables(all[1]) {
		t.Error("a restart has forgotten it")
	}
}

func TestOnlyOptionalDatasetsThatThereAreAreSwitched(t *testing.T) {
	t.Parallel()
	d := newDeskOf(t, optionalAtlas)
	for name, code := range map[string]int{"db": 409, "maps": 400, "": 400} {
		to := map[string]bool{name: false, "atlas": true}
		if name == "" {
			to = nil
		}
		_, err := d.SetServices(t.Context(), to, "", "")
		var no *nodeapi.Refused
		if !errors.As(err, &no) || no.Code != code || no.Why == "" {
			t.Errorf("%q: got %v, want %d", name, err, code)
		}
	}
	if d.e.ServiceEnabled("atlas") || !d.e.ServiceEnabled("db") || d.e.ServiceEnabled("maps") {
		t.Error("a part of it was done")
	}
	s := Settings{Services: map[string]bool{"db": false}}
	if !s.enables(nodeapi.Service{Name: "db", Enabled: true}) {
		t.Error("what was said while it was optional still counts")
	}
}
