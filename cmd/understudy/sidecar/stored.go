package sidecar

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register"
)

// stored names what differs from the stored Traffic, where there is one that
// can be read. The configuration may be for another machine, so it is no fault.
func stored(c *config.Sidecar) (f config.Faults) {
	if c.Etcd != nil {
		for _, name := range c.Names() {
			if why := register.Astray(context.Background(), c.StateDir, name); why != "" {
				f.Add("groups/"+name, "%s", why)
			}
		}
		return f
	}
	if _, err := os.Stat(c.StateDir); err != nil {
		return nil
	}
	r, err := register.OpenDir(c.StateDir)
	if err != nil {
		return nil
	}
	defer func() { _ = r.Close() }()
	for _, name := range c.Names() {
		t, err := r.Load(context.Background(), name)
		if err != nil {
			continue
		}
		configured := c.Groups[name].Names()
		fitted, _, err := ha.Fit(t, configured, time.Now())
		switch {
		case err != nil:
			f.Add("groups/"+name, "%s", err)
		case !slices.Equal(fitted.Order, configured):
			f.Add("groups/"+name, "the order in force is %v since a person changed it; this configuration says %v, and that is not used", fitted.Order, configured)
		}
	}
	return f
}
