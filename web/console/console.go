package console

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web"
	"github.com/understudy-ha/understudy/web/account"
	"github.com/understudy-ha/understudy/web/lanes"
)

//go:embed pages/*.html
var pages embed.FS

// Base is where the console is.
const Base = "/console"

// Config is what a Console needs.
type Config struct {
	Groups api.Groups
	Book   *account.Book
	Dir    string   // where the lanes are kept
	Place  string   // which console it is: the host's name
	Hosts  []string // names that it is reached by, beside the host's own
	// TLSNames says that a name will do that TLS has reached us by, because only
	// names that we have a certificate for come so far.
	TLSNames bool
	Log      *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// Console serves the pages below Base. Make it with New and run Run beside it.
type Console struct {
	site   *web.Site
	groups api.Groups
	client *api.Client
	dir    string
	log    *slog.Logger
	now    func() time.Time

	mu    sync.Mutex // guards the fields below
	logs  map[string]*lanes.Log
	first map[string]time.Time // by file that could not be written: when the log was told
}

type actorKey struct{}

// New makes a console. The error is of its templates.
func New(c Config) (*Console, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	local := api.New(api.Config{Groups: c.Groups, Watcher: c.Place, Identify: func(r *http.Request) (string, bool) {
		name, ok := r.Context().Value(actorKey{}).(string)
		return name, ok
	}})
	one := &Console{
		groups: c.Groups, client: api.NewLocal(local.Handler()), dir: c.Dir, log: c.Log, now: c.Now,
		logs: map[string]*lanes.Log{}, first: map[string]time.Time{},
	}
	var err error
	one.site, err = web.NewSite(web.Config{
		Base: Base, Face: "Console", Place: c.Place, Book: c.Book, Hosts: c.Hosts, TLSNames: c.TLSNames, Pages: pages, Nav: one.nav, Log: c.Log, Now: c.Now,
	})
	if err != nil {
		return nil, err
	}
	one.site.Page("/{$}", account.Viewer, one.overview)
	one.site.Page("/groups/{group}", account.Viewer, one.group)
	one.site.Page("/groups/{group}/history", account.Viewer, one.history)
	for verb := range deeds {
		one.site.Page("/groups/{group}/"+verb, account.Operator, func(v *web.Visit) error { return one.form(v, verb) })
		one.site.Act("/groups/{group}/"+verb, account.Operator, func(v *web.Visit) error { return one.act(v, verb) })
	}
	return one, nil
}

// Mine says whether a path is one of the console's.
func Mine(path string) bool {
	return path == "/" || path == Base || strings.HasPrefix(path, Base+"/")
}

// ServeHTTP answers what is below Base; the root leads there.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" || r.URL.Path == Base {
		http.Redirect(w, r, Base+"/", http.StatusSeeOther)
		return
	}
	c.site.ServeHTTP(w, r)
}

// SetHosts gives other names that the console is reached by.
func (c *Console) SetHosts(hosts []string) { c.site.SetHosts(hosts) }

// HangUp ends every event stream, so that a server can shut down.
func (c *Console) HangUp() { c.site.HangUp() }

// Run follows the groups until ctx ends: it has open pages look again, and
// remembers what the nodes' states were.
func (c *Console) Run(ctx context.Context) {
	changes := c.groups.Subscribe(ctx)
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	c.alive()
	for {
		select {
		case <-ctx.Done():
			return
		case s, open := <-changes:
			if !open {
				return
			}
			c.remember(api.Show(s))
			c.site.Tell()
		case <-minute.C:
			c.alive()
		}
	}
}

// alive notes how every group is, and that somebody watches.
func (c *Console) alive() {
	for _, name := range c.groups.Names() {
		if s, ok := c.groups.Situation(name); ok {
			c.remember(api.Show(s))
			if l := c.lanesOf(name); l != nil {
				c.complain(name, l.Alive(c.now()))
			}
		}
	}
}

func (c *Console) remember(g api.Group) {
	l := c.lanesOf(g.Name)
	if l == nil {
		return
	}
	for _, look := range api.Look(g) {
		if !look.Known() {
			continue
		}
		at := look.Since
		if at.IsZero() {
			at = look.At
		}
		c.complain(g.Name, l.Note(lanes.Mark{At: at, Node: look.Name, State: look.State, Said: look.Evidence}))
	}
}

// lanesOf gives the log of a group, nil if it cannot be kept.
func (c *Console) lanesOf(group string) *lanes.Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l, ok := c.logs[group]; ok {
		return l
	}
	l, err := lanes.OpenLog(filepath.Join(c.dir, group+".lanes"), c.now())
	if err != nil {
		c.log.Error("the lanes of a group cannot be kept", "group", group, "error", err)
	}
	c.logs[group] = l
	return l
}

// complain logs that a file cannot be written, once an hour.
func (c *Console) complain(group string, err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.first[group]) > time.Hour {
		c.first[group] = now
		c.log.Error("the lanes of a group cannot be written", "group", group, "error", err)
	}
}

// nav gives the menu: every group with the state of who serves it.
func (c *Console) nav(*web.Visit) []web.Section {
	groups := web.Section{Name: "Groups", Items: []web.Item{{Name: "All groups", Path: "/"}}}
	for _, name := range c.groups.Names() {
		if s, ok := c.groups.Situation(name); ok {
			groups.Items = append(groups.Items, web.Item{Name: name, Path: "/groups/" + name, State: shape(api.Show(s))})
		}
	}
	return []web.Section{groups}
}

// shape gives what stands for a group where there is room for one shape.
func shape(g api.Group) string {
	serving, _ := g.Node(g.Serving)
	switch {
	case g.Hold != nil:
		return "held"
	case g.Serving == "":
		return "unknown"
	case serving.Known():
		return serving.State
	}
	return "unknown"
}

// ask gives the context of a request in a person's name.
func ask(v *web.Visit) context.Context {
	return context.WithValue(v.Request.Context(), actorKey{}, v.Session.User)
}

// refusal makes an error of the API one that people are shown.
func refusal(err error) error {
	var no *ha.Refusal
	var unknown *api.UnknownGroup
	var fault *api.Fault
	switch {
	case errors.As(err, &no):
		return &web.Refusal{Status: http.StatusConflict, What: no.What, Why: no.Why, Do: no.Do, See: no.Read}
	case errors.As(err, &unknown):
		return &web.Refusal{Status: http.StatusNotFound, What: "There is no such group", Why: unknown.Error(), Do: "Choose one from the menu."}
	case errors.As(err, &fault):
		return &web.Refusal{Status: fault.Status, What: fault.What, Why: fault.Why, Do: fault.Do, See: fault.Read}
	}
	return fmt.Errorf("ask the API: %w", err)
}
