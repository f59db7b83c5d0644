package config

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

func isURL(text string) bool { return strings.Contains(text, "://") }

// check gives what no single value shows.
func (u *Upgrade) check() (f Faults) {
	if u.Group == "" {
		f.Add("group", "group is missing: the name that the routers know the pair by")
	}
	switch {
	case u.Kind == RunSwitchover && u.To != "":
		f.Add("to", "a switchover upgrades nothing: while it swaps the roles back both nodes must have one version, or they do not replicate; leave to out, or say kind: documented")
	case u.Kind != RunSwitchover && u.To == "":
		f.Add("to", "to is missing: the version to upgrade to, as the application tells it")
	}
	if len(u.Nodes) != 2 {
		f.Add("nodes", "nodes must name the two nodes of the pair, not %d", len(u.Nodes))
	}
	for _, n := range u.Nodes {
		if f = append(f, n.check("nodes/"+n.Name)...); n.Agent == RunTrusted && u.AdminKey == "" {
			f.Add("nodes/"+n.Name+"/agent", "admin_key is missing: the key that this host was paired with the nodes by (failover trusted-hosts add --admin-key FILE)")
		}
	}
	if len(u.Routers) == 0 {
		f.Add("routers", "routers is missing: everything that sends clients must stand still during a run (the guide's step 3)")
	}
	for _, at := range u.Certificates {
		if _, port, err := net.SplitHostPort(at); err != nil || port == "" {
			f.Add("certificates", "%q must be host:port, like mdm.example.com:443", short(at))
		}
	}
	for _, name := range u.Names {
		name, server, asks := strings.Cut(name, "@")
		if _, _, err := net.SplitHostPort(server); name == "" || asks && err != nil {
			f.Add("names", "%q must be a name, or name@host:port with the name server to ask", short(name+"@"+server))
		}
	}
	f = append(f, u.Window.check()...)
	for _, r := range u.Routers {
		f = append(f, r.check("routers/"+r.Name)...)
		if u.Kind == RunSwitchover && len(r.Hold) > 0 && u.Swing == SwingUs {
			f.Add("routers/"+r.Name, "%s cannot be told to move clients; let it ask the sidecar's probe proxy, or say swing: by_hand", r.Name)
		}
	}
	return f
}

func (w RunWindow) check() (f Faults) {
	if w.From == "" && w.Until == "" && w.Zone == "" && len(w.Days) == 0 {
		return nil
	}
	for _, at := range []string{w.From, w.Until} {
		if _, err := time.Parse("15:04", at); err != nil {
			f.Add("window", "window needs from and until as hh:mm, not %q", short(at))
		}
	}
	if w.From == w.Until && w.From != "" {
		f.Add("window", "window is empty: from and until are the same")
	}
	if _, err := w.location(); err != nil {
		f.Add("window/zone", "zone %q is not known; say one like Europe/Berlin, or leave it out for this machine's", short(w.Zone))
	}
	for _, day := range w.Days {
		if !slices.Contains(weekdays, day) {
			f.Add("window/days", "%q is no day%s", short(day), suggest(day, weekdays))
		}
	}
	return f
}

func (n RunNode) check(path string) (f Faults) {
	if why := CheckName(n.Name); why != "" {
		f.Add(path, "%s", why)
	}
	ways := 0
	for _, one := range []bool{n.Agent != "", n.SSH != "", n.Manual} {
		if one {
			ways++
		}
	}
	switch {
	case ways != 1:
		f.Add(path, "%s needs exactly one of agent, ssh and manual: who carries steps out there", n.Name)
		return f
	case isURL(n.Agent):
		f.Add(path+"/agent", "agent must be the path of the node's socket, or trusted: then it is called where it was paired, and proves its key")
	case n.Agent == "" && n.Pages == "":
		f.Add(path+"/pages", "pages is missing: where the two status pages are, like http://192.0.2.10:8080; they show that a step is done")
	case n.Agent != "" && (n.Pages != "" || len(n.Commands) > 0):
		f.Add(path, "an agent knows pages and commands of its own; leave them out")
	case strings.HasPrefix(n.SSH, "-"):
		f.Add(path+"/ssh", "ssh must be user@host")
	case n.SSH != "" && len(n.Commands["version"]) == 0:
		f.Add(path+"/commands", "version is missing among the commands: without it nobody can tell that the upgrade was done")
	}
	if u, err := url.Parse(n.Pages); n.Pages != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		f.Add(path+"/pages", "pages must be scheme, host and port, like http://192.0.2.10:8080")
	}
	return f
}

func (r RunRouter) check(path string) (f Faults) {
	if why := CheckName(r.Name); why != "" {
		f.Add(path, "%s", why)
	}
	ways := 0
	for _, one := range []bool{r.API != "", r.HAProxy != "", len(r.Hold) > 0} {
		if one {
			ways++
		}
	}
	switch {
	case ways != 1:
		f.Add(path, "%s needs exactly one of api, haproxy and hold", r.Name)
	case r.HAProxy != "" && r.Backend == "":
		f.Add(path+"/haproxy", "backend is missing: the backend in which the two nodes are servers")
	case len(r.Hold) > 0 && (len(r.Release) == 0 || len(r.Read) == 0 || r.Held == ""):
		f.Add(path+"/hold", "hold needs release, read and held too: a command that succeeded says nothing about the state, so it is read back")
	}
	return f
}

// warnings names what is legal but unwise.
func (u *Upgrade) warnings() (f Faults) {
	for _, n := range u.Nodes {
		if n.Manual {
			f.Add("nodes/"+n.Name, "%s is handled by a person: the run waits for each of its steps", n.Name)
		}
	}
	for _, r := range u.Routers {
		if u.Kind == RunSwitchover && r.HAProxy != "" {
			f.Add("routers/"+r.Name, "%s cannot let requests wait: clients that come through it get errors while the roles swap", r.Name)
		}
	}
	if u.Package == "" && u.To != "" {
		f.Add("to", "package is missing: without the digest a node takes whatever its download gives for %s", u.To)
	}
	return f
}
