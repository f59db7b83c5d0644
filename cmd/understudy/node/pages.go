package node

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/haengine"
	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/remote"
	"github.com/understudy-ha/understudy/web/account"
	"github.com/understudy-ha/understudy/web/portal"
)

// portalDir is where the portal keeps its users.
func portalDir(c *config.NodeFile) string { return filepath.Join(c.DataDir, "portal") }

// openPeople gives the portal's users. Who comes first becomes admin by a setup
// code, which the log tells.
func openPeople(c *config.NodeFile, log *slog.Logger) (*account.Book, error) {
	book, code, err := account.Open(account.Config{Dir: portalDir(c), Log: log})
	if err != nil {
		return nil, err
	}
	if code != "" {
		log.Info("the portal has no user yet; whoever opens it with this code becomes its admin", "setup_code", code, "at", c.Portal.Listen+portal.Base)
	}
	return book, nil
}

// openPages makes the portal's pages.
func openPages(c *config.NodeFile, e *haengine.Engine, t *remote.Trust, book *account.Book, log *slog.Logger) (*portal.Portal, error) {
	return portal.New(portal.Config{
		Name: c.Name, Node: e.Control(portal.Who), Trust: &trusting{t}, Book: book, Dir: portalDir(c), Hosts: c.Portal.Addresses, Log: log,
	})
}

// trusting is whom this node trusts, as the portal shows it.
type trusting struct{ *remote.Trust }

// Show gives this node's Local Server SSH Key and its trusted hosts.
func (t *trusting) Show() (local portal.Local, hosts []portal.Host, err error) {
	card := t.Card()
	local.Fingerprint = card.Pin.String()
	if local.Key, err = card.Line(); err != nil {
		return local, nil, err
	}
	all, err := t.Hosts.List()
	if err != nil {
		return local, nil, err
	}
	for _, h := range all {
		one := portal.Host{Name: h.Name, Address: h.Address(), Kind: string(h.Role), By: h.By, At: h.At, Test: h.Role == remote.Node}
		if h.Pin != (remote.Pin{}) {
			one.Pin = h.Pin.String()
		}
		hosts = append(hosts, one)
	}
	return local, hosts, nil
}

// Add trusts the host of a Hostname/IP and its key, or the one that has made a
// pairing string.
func (t *trusting) Add(ctx context.Context, at, key, by string) (string, error) {
	if at == "" {
		i, err := remote.ParseInvitation(key)
		if err != nil {
			return "", err
		}
		h, err := t.Join(ctx, i, by)
		return h.Name, err
	}
	c, whole, err := remote.ParseLine(key)
	if err != nil {
		return "", err
	}
	if !whole {
		c = remote.Card{Name: at, Role: remote.Node, SSH: remote.CardSSH{Port: 22, User: "understudy", UserKey: c.SSH.UserKey}}
	}
	c.Addresses = append([]string{at}, slices.DeleteFunc(c.Addresses, func(a string) bool { return a == at })...)
	return c.Name, t.Trust.Add(c, by, time.Now())
}

// Remove ends the trust in a host.
func (t *trusting) Remove(name, _ string) error {
	_, err := t.Trust.Remove(name)
	return err
}

// Test sees whether this node and a host can work together.
func (t *trusting) Test(ctx context.Context, name string) error {
	h, err := t.Hosts.Get(cmp.Or(name, "?"))
	if err != nil {
		return err
	}
	return t.Trust.Test(ctx, h)
}

// Invite makes a pairing string.
func (t *trusting) Invite(front bool, by string) (string, error) {
	role := remote.Node
	if front {
		role = remote.Front
	}
	i, err := t.Trust.Invite(role, by, time.Now())
	if err != nil {
		return "", fmt.Errorf("no pairing string was made: %w", err)
	}
	return i.String(), nil
}

// browsers sends those who come without a certificate, as browsers and programs
// with a token do, to the pages; the others are trusted hosts, or nobody.
func browsers(pages, hosts http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
			pages.ServeHTTP(w, r)
			return
		}
		hosts.ServeHTTP(w, r)
	})
}
