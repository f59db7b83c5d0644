package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/understudy-ha/understudy/internal/statefile"
	"github.com/understudy-ha/understudy/web/account"
	"github.com/understudy-ha/understudy/web/console"
)

func init() {
	caddy.RegisterModule(new(Console))
	httpcaddyfile.RegisterHandlerDirective("understudy_console", parseConsole)
	httpcaddyfile.RegisterDirectiveOrder("understudy_console", httpcaddyfile.Before, "reverse_proxy")
}

// Console serves the pages of the groups below /console/, for people with
// browsers. Its users are those of every process that shares the state_dir.
type Console struct {
	// Hosts are names that browsers reach it by over plain HTTP, beside the
	// host's own. Over TLS any name will do that the site has a certificate for.
	Hosts []string `json:"hosts,omitempty"`

	pages atomic.Pointer[console.Console] // nil: the app has not started yet
}

// CaddyModule gives the module's identity.
func (*Console) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.understudy_console", New: func() caddy.Module { return new(Console) }}
}

// consoles are those of the process, by state_dir. They outlive reloads, and
// with them the sessions.
var consoles struct {
	mu  sync.Mutex // guards the field below
	all map[string]*console.Console
}

// Provision has the app open the console when it starts, for a configuration
// that is only checked opens nothing. Event streams end with the configuration,
// whose server would otherwise wait for them; browsers come back.
func (c *Console) Provision(ctx caddy.Context) error {
	mod, err := ctx.AppIfConfigured("understudy")
	if err != nil {
		return fmt.Errorf("understudy_console needs the global option understudy { … }: %w", err)
	}
	app := mod.(*App)
	app.consoles = append(app.consoles, c)
	context.AfterFunc(ctx, func() {
		if pages := c.pages.Load(); pages != nil {
			pages.HangUp()
		}
	})
	return nil
}

// open finds the console of the app's state_dir, or opens it.
func (c *Console) open(a *App) error {
	pages, err := openConsole(a.ctx, a.StateDir)
	if err != nil {
		return fmt.Errorf("understudy_console: %w", err)
	}
	pages.SetHosts(c.Hosts)
	c.pages.Store(pages)
	return nil
}

func openConsole(ctx caddy.Context, dir string) (*console.Console, error) {
	consoles.mu.Lock()
	defer consoles.mu.Unlock()
	if one := consoles.all[dir]; one != nil {
		return one, nil
	}
	users := filepath.Join(dir, "console")
	if err := statefile.MakeDir(dir, fs.ModeSetgid|0o770); err != nil {
		return nil, fmt.Errorf("make state_dir: %w", err)
	}
	book, code, err := account.Open(account.Config{Dir: users, Mode: 0o660, Log: ctx.Slogger()})
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	one, err := console.New(console.Config{
		Groups: watched{}, Book: book, Dir: filepath.Join(users, "front"), Place: host, TLSNames: true, Log: ctx.Slogger(),
	})
	if err != nil {
		return nil, err
	}
	if code != "" {
		ctx.Slogger().Info("the console has no user yet; whoever opens it with this code becomes its admin", "setup_code", code, "at", console.Base)
	}
	life, end := context.WithCancel(context.Background())
	caddy.OnExit(func(context.Context) { end() })
	go one.Run(life)
	if consoles.all == nil {
		consoles.all = map[string]*console.Console{}
	}
	consoles.all[dir] = one
	return one, nil
}

// ServeHTTP answers what is below /console/, leads the root there, and leaves
// the rest to the handlers after it.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if !console.Mine(r.URL.Path) {
		return next.ServeHTTP(w, r)
	}
	pages := c.pages.Load()
	if pages == nil {
		return caddyhttp.Error(http.StatusServiceUnavailable, errors.New("the groups have not started yet"))
	}
	pages.ServeHTTP(w, r)
	return nil
}

// parseConsole reads the handler directive:
//
//	understudy_console [<matcher>] {
//		hosts <name>...
//	}
func parseConsole(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	c := new(Console)
	return c, c.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive.
func (c *Console) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		if d.Val() != "hosts" {
			return d.Errf("understudy_console knows no %q; it has hosts", d.Val())
		}
		if c.Hosts = d.RemainingArgs(); len(c.Hosts) == 0 {
			return d.ArgErr()
		}
	}
	return nil
}

var (
	_ caddy.Provisioner           = (*Console)(nil)
	_ caddyhttp.MiddlewareHandler = (*Console)(nil)
	_ caddyfile.Unmarshaler       = (*Console)(nil)
)
