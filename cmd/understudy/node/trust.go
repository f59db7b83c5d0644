package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/remote"
)

// openTrust gives whom this node trusts; nil if it has no portal, where trusted
// hosts would ask it.
func openTrust(c *config.NodeFile) (*remote.Trust, error) {
	if c.Portal.Listen == "" {
		return nil, nil
	}
	s, err := site(c)
	if err != nil {
		return nil, err
	}
	dir := remote.Dir(c.DataDir)
	if err := remote.SaveSite(dir, s); err != nil {
		return nil, fmt.Errorf("save what trust needs to know of this node: %w", err)
	}
	t, err := remote.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the trusted hosts: %w", err)
	}
	return t, nil
}

// site gives what trust needs to know of a configuration.
func site(c *config.NodeFile) (remote.Site, error) {
	program, err := os.Executable()
	if err != nil {
		return remote.Site{}, err
	}
	s := remote.Site{
		Name: c.Name, Addresses: c.Portal.Addresses, Port: c.Portal.Port(),
		SSH: remote.SiteSSH{Port: c.SSH.Port, User: c.SSH.User, AuthorizedKeys: c.SSH.AuthorizedKeys, HostKeys: c.SSH.HostKeys, Program: program},
	}
	if len(c.Datasets) > 0 {
		s.Datasets, s.Replicate = roots(c), copySocket(c)
	}
	if len(s.Addresses) > 0 {
		return s, nil
	}
	s.Addresses, err = addresses(c.Portal.Listen)
	return s, err
}

// addresses gives where a listener is reached: at its own address, else at those
// of the machine.
func addresses(listen string) ([]string, error) {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, err
	}
	if a, err := netip.ParseAddr(host); err == nil && !a.IsUnspecified() {
		return []string{a.String()}, nil
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, one := range all {
		if p, err := netip.ParsePrefix(one.String()); err == nil && p.Addr().IsGlobalUnicast() && len(found) < 8 {
			found = append(found, p.Addr().String())
		}
	}
	if len(found) == 0 {
		return nil, errors.New("this machine has no address that others could call; say it: portal: {addresses: [192.0.2.10]}")
	}
	return found, nil
}

// owners gives the fronts whose decision counts: those that the configuration
// names, else all that are trusted.
func owners(c *config.NodeFile, t *remote.Trust) func() []string {
	if t == nil {
		return nil
	}
	return func() []string {
		hosts, err := t.Hosts.List()
		if err != nil {
			return nil // then the hold runs its whole time
		}
		var names []string
		for _, h := range hosts {
			if h.Role == remote.Front && (len(c.Owners) == 0 || slices.Contains(c.Owners, h.Name)) {
				names = append(names, h.Name)
			}
		}
		if len(c.Owners) > len(names) {
			return c.Owners // one is not trusted yet: it never calls, and nothing is decided without it
		}
		return names
	}
}

// openPortal listens for trusted hosts and browsers. Who is not allowed is not
// answered at all.
func openPortal(c *config.NodeFile, t *remote.Trust) (net.Listener, error) {
	l, err := net.Listen("tcp", c.Portal.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the portal: %w", err)
	}
	return tls.NewListener(&fence{l, c.Portal.Allow}, t.ServerTLS()), nil
}

// fence is a listener that only some may come through.
type fence struct {
	net.Listener
	allow []netip.Prefix // empty: everybody
}

// Accept gives the next connection of somebody who may connect.
func (f *fence) Accept() (net.Conn, error) {
	for {
		c, err := f.Listener.Accept()
		if err != nil || f.lets(c.RemoteAddr()) {
			return c, err
		}
		_ = c.Close()
	}
}

func (f *fence) lets(from net.Addr) bool {
	if len(f.allow) == 0 {
		return true
	}
	a, err := netip.ParseAddrPort(from.String())
	return err == nil && slices.ContainsFunc(f.allow, func(p netip.Prefix) bool { return p.Contains(a.Addr().Unmap()) })
}

// portal gives the handler of the portal's listener: the pages, and below
// /ha/v1/ the API.
func (n *Node) portal() http.Handler {
	mux := http.NewServeMux()
	control := n.engine.Control(proven)
	mux.Handle("/ha/v1/", n.agents.let(control, browsers(n.pages, n.trust.Handler(n.engine.Desk(), control, n.log))))
	mux.Handle("/", n.pages)
	return mux
}

// proven names the trusted host that asks.
func proven(r *http.Request) string {
	h, _ := remote.Proven(r.Context())
	return string(h.Role) + " " + h.Name
}
