package portal

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web"
	"github.com/understudy-ha/understudy/web/account"
)

//go:embed pages/*.html
var pages embed.FS

// Base is where the portal is (Core guide, Atlas configuration:
// https://SERVER:8443/mics).
const Base = "/mics"

// Config is what a Portal needs.
type Config struct {
	Name  string       // of the node
	Node  http.Handler // its API, below /ha/v1/; Who tells it who asks
	Trust Trust        // nil: no trusted hosts
	Book  *account.Book
	Dir   string   // where the draft is kept
	Hosts []string // names that it is reached by, beside the host's own
	Log   *slog.Logger
	Now   func() time.Time // nil: time.Now
}

// Portal serves the pages below Base, and the node's API to those who are
// logged in or show a token. Make it with New and run Run beside it.
type Portal struct {
	Config
	site *web.Site
	node *nodeapi.Client

	mu      sync.Mutex // guards the field below
	unfound error      // why the node does not answer, nil: it does
}

type actorKey struct{}

// Who gives the name of the person in whose name the portal asks the node.
func Who(r *http.Request) string {
	name, _ := r.Context().Value(actorKey{}).(string)
	if name == "" {
		name = "nobody known"
	}
	return name
}

// New makes a portal. The error is of its templates.
func New(c Config) (*Portal, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Portal{Config: c, node: nodeapi.NewLocal(c.Node)}
	var err error
	p.site, err = web.NewSite(web.Config{
		Base: Base, Face: "System Manager", Place: c.Name, Book: c.Book, Hosts: c.Hosts, Pages: pages, Nav: p.nav, Bar: p.bar, Log: c.Log, Now: c.Now,
	})
	if err != nil {
		return nil, err
	}
	p.routes()
	return p, nil
}

// routes names every page and what it takes to see it, and to do it.
func (p *Portal) routes() {
	s := p.site
	s.Page("/{$}", account.Viewer, p.overview)
	s.Page("/maintenance/ha", account.Viewer, p.window)
	s.Act("/maintenance/ha", account.Admin, p.save)
	s.Page("/maintenance/ha/apply", account.Admin, p.confirm)
	s.Act("/maintenance/ha/apply", account.Admin, p.apply)
	s.Act("/maintenance/ha/discard", account.Admin, p.discard)
	s.Act("/maintenance/ha/sync", account.Operator, p.runSync)
	s.Act("/maintenance/ha/accept", account.Admin, p.acceptSync)
	s.Act("/maintenance/ha/mail", account.Operator, p.testMail)
	s.Page("/maintenance/ha/trusted", account.Viewer, p.trusted)
	s.Act("/maintenance/ha/trusted", account.Admin, p.changeTrust)
	s.Act("/maintenance/ha/test", account.Operator, p.testConnection)
	s.Page("/maintenance/sync-history", account.Viewer, p.syncHistory)
	s.Page("/maintenance/archives", account.Viewer, p.archives)
	s.Act("/maintenance/archives", account.Admin, p.changeArchive)
	s.Page("/maintenance/failover", account.Viewer, p.failover)
	s.Act("/maintenance/failover", account.Operator, p.becomes)
	s.Page("/maintenance/failover/settings", account.Viewer, p.download)
	s.Page("/maintenance/validation", account.Viewer, p.validation)
	s.Page("/maintenance/upgrade", account.Viewer, p.upgrades)
	s.Act("/maintenance/upgrade", account.Admin, p.answerRun)
	s.Page("/settings/services", account.Viewer, p.services)
	s.Act("/settings/services", account.Admin, p.applyServices)
	s.Page("/troubleshooting/logs", account.Viewer, p.logs)
	s.Page("/troubleshooting/logs/export", account.Viewer, p.exportLog)
}

// ServeHTTP answers what is below Base and below /ha/v1/; the root leads to
// Base.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/" || r.URL.Path == Base:
		http.Redirect(w, r, Base+"/", http.StatusSeeOther)
	case strings.HasPrefix(r.URL.Path, "/ha/v1/"):
		p.site.API(w, r, func(name string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				p.Node.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), actorKey{}, name)))
			})
		})
	default:
		p.site.ServeHTTP(w, r)
	}
}

// HangUp ends every event stream, so that a server can shut down.
func (p *Portal) HangUp() { p.site.HangUp() }

// Run follows the node until ctx ends and has open pages look again when it
// changes.
func (p *Portal) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := p.node.Follow(ctx, func(nodeapi.Status) {
			p.lost(nil)
			p.site.Tell()
		})
		if err != nil {
			p.lost(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (p *Portal) lost(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unfound = err
}

// patience is how long the node may take for an answer.
const patience = 10 * time.Second

// ask gives the context of a question in a person's name.
func ask(v *web.Visit) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithValue(v.Request.Context(), actorKey{}, v.Session.User), patience)
}

// status asks how the node is.
func (p *Portal) status(v *web.Visit) (nodeapi.Status, error) {
	ctx, cancel := ask(v)
	defer cancel()
	s, err := p.node.Status(ctx)
	return s, refusal("The node cannot be shown", err)
}

// refusal makes an error of the node's API one that people are shown.
func refusal(what string, err error) error {
	var no *nodeapi.Refused
	var away *nodeapi.Unreachable
	switch {
	case err == nil:
		return nil
	case errors.As(err, &no):
		code := no.Code
		if code < 400 || code > 599 {
			code = http.StatusConflict
		}
		return &web.Refusal{Status: code, What: what, Why: no.Why, Do: no.Do}
	case errors.As(err, &away), errors.Is(err, context.DeadlineExceeded):
		return &web.Refusal{
			Status: http.StatusServiceUnavailable, What: what, Why: "the engine does not answer: " + err.Error(),
			Do: "Look at its log, and at the service understudy-node. The status pages say NotAvailable meanwhile.",
		}
	}
	return err
}

// nav gives the menu, by the guide's names.
func (p *Portal) nav(*web.Visit) []web.Section {
	return []web.Section{
		{Name: "Server", Items: []web.Item{{Name: "Overview", Path: "/"}}},
		{Name: "Maintenance", Items: []web.Item{
			{Name: "HA Configuration", Path: "/maintenance/ha"},
			{Name: "Manage Trusted Hosts", Path: "/maintenance/ha/trusted"},
			{Name: "Sync History", Path: "/maintenance/sync-history"},
			{Name: "Failover", Path: "/maintenance/failover"},
			{Name: "Test and validation", Path: "/maintenance/validation"},
			{Name: "Upgrade", Path: "/maintenance/upgrade"},
		}},
		{Name: "Settings", Items: []web.Item{{Name: "Services", Path: "/settings/services"}}},
		{Name: "Troubleshooting", Items: []web.Item{{Name: "Logs", Path: "/troubleshooting/logs"}}},
	}
}

// bar gives what stands over every page: that the node is paused, and what was
// saved and is not applied.
func (p *Portal) bar(v *web.Visit) template.HTML {
	var bands []string
	if s, err := p.status(v); err == nil && s.Paused {
		bands = append(bands, `<div class="band hold" role="status"><b>PAUSED</b><span>Nothing happens by itself on this node until somebody ends the pause (Failover page).</span></div>`)
	} else if err == nil && s.Broken != "" {
		bands = append(bands, `<div class="band bad" role="alert">This node decides nothing: `+template.HTMLEscapeString(s.Broken)+`.</div>`)
	}
	if d, err := p.draft(); err == nil && d != nil && !strings.HasPrefix(v.Request.URL.Path, Base+"/maintenance/ha/apply") {
		bands = append(bands, `<div class="band warn" role="status">Saved by `+template.HTMLEscapeString(d.By)+` at `+d.At.UTC().Format("15:04:05")+
			` UTC and not applied: <a href="`+Base+`/maintenance/ha">HA Configuration</a></div>`)
	}
	return template.HTML(strings.Join(bands, "")) // #nosec G203 -- every text in it is escaped
}

func (p *Portal) path(name string) string { return filepath.Join(p.Dir, name) }

// shape gives the class of a state.
func shape(s ha.State) string {
	return map[ha.State]string{ha.Active: "active", ha.Standby: "standby", ha.NotAvailable: "not_available"}[s]
}
