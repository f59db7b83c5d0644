package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
)

// NodePortal is the listener, always TLS, of a node's portal and of the API for
// trusted hosts.
type NodePortal struct {
	Listen    string         // empty: none; nobody is trusted then
	Allow     []netip.Prefix // who may connect; empty: anybody
	Addresses []string       // where others call this node; empty: this machine's own
}

// NodeSSH is how this node is called over SSH.
type NodeSSH struct {
	Port           uint16 // 0: 22
	User           string // empty: understudy
	AuthorizedKeys string // empty: .ssh/authorized_keys in data_dir
	HostKeys       []string
}

// Port gives the number of the portal's port.
func (p NodePortal) Port() uint16 {
	_, port, _ := net.SplitHostPort(p.Listen)
	n, _ := strconv.ParseUint(port, 10, 16)
	return uint16(n) // #nosec G115 -- listen has seen to it
}

func (n *NodeFile) readPortal(v value) {
	p := &n.Portal
	keys{"listen": listen(&p.Listen), "allow": list(one(&p.Allow, prefix)), "addresses": texts(&p.Addresses)}.read(v)
}

func (n *NodeFile) readSSH(v value) {
	s := &n.SSH
	keys{
		"port": port(&s.Port), "user": text(&s.User), "host_keys": list(one(&s.HostKeys, file)),
		"authorized_keys": func(v value) {
			if text(&s.AuthorizedKeys)(v); s.AuthorizedKeys != "" {
				s.AuthorizedKeys = v.doc.resolve(s.AuthorizedKeys)
			}
		},
	}.read(v)
}

// port reads the number of a port.
func port(to *uint16) take {
	return func(v value) {
		var n int
		if count(&n)(v); n > 65535 {
			v.fault("%s must be a number from 1 to 65535, not %d", v.name(), n)
			return
		}
		*to = uint16(n) // #nosec G115 -- not more than 65535
	}
}

// checkTrust gives what is wrong with the parts of trust together.
func (n *NodeFile) checkTrust() (f Faults) {
	if n.Portal.Listen != "" && n.SSH.AuthorizedKeys == "" {
		n.SSH.AuthorizedKeys = filepath.Join(n.DataDir, ".ssh", "authorized_keys")
	}
	switch p := n.Portal; {
	case p.Listen != "" && (p.Listen == n.StatusListen || p.Listen == n.Door.Listen):
		f.Add("portal/listen", "%s is in use already; the portal needs an address of its own", p.Listen)
	case p.Listen == "" && (len(p.Allow) > 0 || len(p.Addresses) > 0):
		f.Add("portal/listen", "listen is missing: where the portal and the API for trusted hosts are, like \":8443\"")
	case p.Listen == "" && len(n.Owners) > 0:
		f.Add("traffic_owners", "traffic_owners needs portal: {listen: …}: fronts call there")
	}
	return f
}
