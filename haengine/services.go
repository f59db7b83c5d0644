package haengine

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// ServiceEnabled says whether a dataset is copied: what a person has said last,
// else what node.yaml says. Any goroutine may ask.
func (e *Engine) ServiceEnabled(name string) bool {
	i := slices.IndexFunc(e.Services, func(s nodeapi.Service) bool { return s.Name == name })
	return i >= 0 && e.now.Load().Settings.enables(e.Services[i])
}

// enables says whether a dataset is enabled. What was said of one that is no
// longer optional does not count.
func (s Settings) enables(d nodeapi.Service) bool {
	if on, said := s.Services[d.Name]; said && d.Optional {
		return on
	}
	return d.Enabled
}

func (c *control) showServices(w http.ResponseWriter, _ *http.Request) {
	all := slices.Clone(c.Services)
	for i, s := range all {
		all[i].Enabled = c.ServiceEnabled(s.Name)
	}
	if all == nil {
		all = []nodeapi.Service{}
	}
	w.Header().Set("ETag", c.tag())
	give(w, http.StatusOK, all)
}

// setServices is Settings > Services, Apply (Core guide, Atlas configuration).
func (c *control) setServices(ctx context.Context, q nodeapi.Request, who string) (Outcome, error) {
	if len(q.Services) == 0 {
		return Outcome{}, wrong("services names no dataset", "")
	}
	for _, name := range slices.Sorted(maps.Keys(q.Services)) {
		i := slices.IndexFunc(c.Services, func(s nodeapi.Service) bool { return s.Name == name })
		switch {
		case i < 0:
			return Outcome{}, wrong(fmt.Sprintf("there is no dataset %.60q", name), "See which there are: failover services")
		case !c.Services[i].Optional:
			return Outcome{Refused: fmt.Sprintf("%s is not optional; node.yaml says what is copied of it (optional: true lets people decide)", name)}, nil
		}
	}
	return c.Save(ctx, func(s Settings) (Settings, error) {
		s.Services = maps.Clone(s.Services)
		if s.Services == nil {
			s.Services = map[string]bool{}
		}
		maps.Copy(s.Services, q.Services)
		return s, nil
	}, strings.TrimSpace(who+" "+q.Reason))
}
