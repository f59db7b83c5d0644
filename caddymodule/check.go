package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register"
)

// Check gives the faults and warnings of the understudy app in a Caddy
// configuration in JSON; none if it has no such app.
func Check(config []byte) (faults, warnings []string) {
	var c struct {
		Apps struct {
			Understudy *App `json:"understudy"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return []string{err.Error()}, nil
	}
	a := c.Apps.Understudy
	if a == nil {
		return nil, []string{"the configuration has no understudy app: nothing is watched"}
	}
	for _, f := range a.check() {
		faults = append(faults, fmt.Sprintf("%s: %s", f.path, f.text))
	}
	if len(faults) > 0 {
		return faults, nil
	}
	for _, w := range append(a.warnings(), a.stored()...) {
		warnings = append(warnings, fmt.Sprintf("%s: %s", w.path, w.text))
	}
	return nil, warnings
}

// dir gives the state directory, the usual one if none is configured.
func (a *App) dir() string {
	if a.StateDir != "" {
		return a.StateDir
	}
	return filepath.Join(caddy.AppDataDir(), "understudy")
}

// Watched gives the groups of a Caddy configuration in JSON that is without
// fault, and where it keeps what is decided.
func Watched(config []byte) (groups []string, place register.Place) {
	var c struct {
		Apps struct {
			Understudy *App `json:"understudy"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(config, &c); err != nil || c.Apps.Understudy == nil {
		return nil, place
	}
	a := c.Apps.Understudy
	place.Dir = a.dir()
	if a.Etcd != nil {
		e := a.Etcd.config(place.Dir)
		place.Etcd = &e
	}
	return a.names(), place
}

// stored names what differs from the stored Traffic, where there is one that
// can be read. The configuration may be for another machine, so it is no fault.
func (a *App) stored() (f faults) {
	dir := a.dir()
	if a.Etcd != nil {
		for _, name := range a.names() {
			if why := register.Astray(context.Background(), dir, name); why != "" {
				f.add("groups/"+name, "%s", why)
			}
		}
		return f
	}
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	r, err := register.OpenDir(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = r.Close() }()
	for _, name := range a.names() {
		t, err := r.Load(context.Background(), name)
		if err != nil {
			continue
		}
		var configured []string
		for _, n := range a.Groups[name].Nodes {
			configured = append(configured, n.Name)
		}
		fitted, _, err := ha.Fit(t, configured, time.Now())
		switch {
		case err != nil:
			f.add("groups/"+name, "%s", err)
		case !slices.Equal(fitted.Order, configured):
			f.add("groups/"+name, "the order in force is %v since a person changed it; this configuration says %v, and that is not used", fitted.Order, configured)
		}
	}
	return f
}
