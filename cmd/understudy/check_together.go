package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/understudy-ha/understudy/caddymodule"
	"github.com/understudy-ha/understudy/cmd/understudy/sidecar"
	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/register"
)

// checkAll checks every file, and then how they fit together.
func (s *session) checkAll(ctx context.Context, paths []string) error {
	if len(paths) == 1 {
		return s.checkOne(paths[0])
	}
	var all []watched
	for _, path := range paths {
		if err := s.checkOne(path); err != nil {
			s.tell(ctx, err)
			continue
		}
		all = append(all, watchedBy(path))
	}
	if len(all) < len(paths) {
		return quiet(exitConfig)
	}
	for i, a := range all {
		for _, b := range all[:i] {
			for _, why := range apart(b, a) {
				fmt.Fprintf(s.err, "%s: warning: %s\n", a.file, why)
			}
		}
	}
	return nil
}

func (s *session) checkOne(path string) error {
	if isYAML(path) {
		return s.checkYAML(path)
	}
	return s.check(path)
}

// isYAML says whether a file is YAML by its name; an example of one is too.
func isYAML(path string) bool {
	ext := filepath.Ext(strings.TrimSuffix(path, ".example"))
	return ext == ".yaml" || ext == ".yml"
}

// watched is what a file has watched, and where it keeps what is decided.
type watched struct {
	file   string
	groups []string
	place  register.Place
}

// watchedBy reads a file that is without fault once more.
func watchedBy(path string) watched {
	w := watched{file: path}
	if isYAML(path) {
		if c, _, err := config.ReadSidecar(path); err == nil && config.KindOf(path) == config.KindSidecar {
			w.groups, w.place = c.Names(), sidecar.PlaceOf(c)
		}
		return w
	}
	if body, err := os.ReadFile(path); err == nil { // #nosec G304 -- the person's own file
		if doc, _, err := adapt(path, body); err == nil {
			w.groups, w.place = caddymodule.Watched(doc)
		}
	}
	return w
}

// apart says where two files do not fit together.
func apart(a, b watched) (why []string) {
	var both []string
	for _, g := range b.groups {
		if slices.Contains(a.groups, g) {
			both = append(both, g)
		}
	}
	if len(both) == 0 {
		return nil
	}
	if !a.place.Same(b.place) {
		for _, g := range both {
			why = append(why, fmt.Sprintf("group %s is watched by two registers: here %s, in %s %s; they can disagree for ever. Let both share one, see docs/howto/several-hosts.md", g, b.place, a.file, a.place))
		}
		return why
	}
	if x, y := a.place.Etcd, b.place.Etcd; x != nil {
		if x.Watchers != y.Watchers {
			why = append(why, fmt.Sprintf("watchers is %d here and %d in %s; all who share a register must say the same", y.Watchers, x.Watchers, a.file))
		}
		if x.Watcher == y.Watcher {
			why = append(why, fmt.Sprintf("the watcher of %s is called %s too, so neither counts beside the other; give each a name of its own (watcher)", a.file, y.Watcher))
		}
	}
	return why
}
