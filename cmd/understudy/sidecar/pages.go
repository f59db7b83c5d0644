package sidecar

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/web/account"
	"github.com/understudy-ha/understudy/web/console"
)

// pages is the console, which is there as soon as the API listens on TCP.
type pages struct {
	groups *groups
	place  string
	log    *slog.Logger

	book    *account.Book
	console *console.Console // nil: not open
	end     func()
}

// open makes the console, once. Its users are those of every process that
// shares the state_dir.
func (p *pages) open(c *config.Sidecar) error {
	if p.console != nil {
		return nil
	}
	dir := filepath.Join(c.StateDir, "console")
	book, code, err := account.Open(account.Config{Dir: dir, Mode: 0o660, Log: p.log})
	if err != nil {
		return err
	}
	one, err := console.New(console.Config{
		Groups: p.groups, Book: book, Dir: filepath.Join(dir, "sidecar"), Place: p.place, Hosts: c.API.Hosts, Log: p.log,
	})
	if err != nil {
		return err
	}
	p.book, p.console = book, one
	if code != "" {
		p.log.Info("the console has no user yet; whoever opens it with this code becomes its admin", "setup_code", code, "at", c.API.Listen+console.Base)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		one.Run(ctx)
	}()
	p.end = func() { cancel(); <-ended }
	return nil
}

func (p *pages) close() {
	if p.end != nil {
		p.end()
	}
}

// beside serves the console next to the API.
func (p *pages) beside(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if console.Mine(r.URL.Path) {
			p.console.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
}
