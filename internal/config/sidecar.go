package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// Sidecar is a sidecar.yaml: what it watches, and whom it tells. A face that is
// nil or empty does not start.
type Sidecar struct {
	File       string // its own name
	StateDir   string // default /var/lib/understudy
	Groups     map[string]Group
	PeerKey    string // file with this sidecar's key towards the nodes' engines
	ProbeProxy *ProbeProxy
	Renders    []Render
	Webhooks   []Webhook
	Mails      []Mail
	API        API

	DNS   *DNS
	Pools map[string]Pool
	Etcd  *Etcd
}

// ProbeProxy answers the health checks of other load balancers.
type ProbeProxy struct {
	Listen  []string // HTTP
	Agent   []string // HAProxy's agent check
	MaxAge  time.Duration
	Allow   []netip.Prefix // empty: anybody
	Conns   int            // connections at a time, 0: the proxy's default
	PerAddr int            // of one address, 0: no limit
	Rate    int            // requests a second of one address, 0: no limit
}

// Render is a file that is rendered at every decision, and the command after.
type Render struct {
	Template string
	To       string
	Then     []string      // a program and its arguments; empty: none
	Timeout  time.Duration // of the command
}

// Webhook is one receiver of messages.
type Webhook struct{ URL, SecretFile, TLSCA string }

// Mail is one who is written to.
type Mail struct{ To, Server, From, User, PasswordFile, TLS, TLSCA string }

// API is where people and programs ask.
type API struct {
	Socket    string // empty: the usual one
	Listen    string // TCP, empty: not at all
	TokenFile string
	Cert, Key string   // TLS, empty: none
	ClientCA  string   // who signs the certificates of those who may ask
	Hosts     []string // names that browsers reach the console by, beside the host's own
}

// Etcd is a register that several hosts share.
type Etcd struct {
	Endpoints    []string
	Prefix       string // default /understudy
	CA           string
	Cert, Key    string
	User         string // of etcd's own users
	PasswordFile string
	Watcher      string // our name among the watchers; empty: this host's
	Watchers     int    // how many there are; default 1
}

// The defaults of a sidecar.
const (
	defaultStateDir = "/var/lib/understudy"
	defaultMaxAge   = 30 * time.Second
	defaultTimeout  = 30 * time.Second
)

// ReadSidecar reads a sidecar.yaml. What is wrong with it stands in the
// Document; the error says that there is none.
func ReadSidecar(file string) (*Sidecar, *Document, error) {
	d, root, err := load(file)
	if err != nil {
		return nil, nil, err
	}
	return sidecar(d, root), d, nil
}

func sidecar(d *Document, root value) *Sidecar {
	s := &Sidecar{File: d.file, StateDir: defaultStateDir, Groups: map[string]Group{}, Pools: map[string]Pool{}}
	keys{
		"state_dir":   directory(&s.StateDir),
		"groups":      each(s.readGroup),
		"peer_key":    file(&s.PeerKey),
		"probe_proxy": s.readProxy,
		"files":       list(s.readRender),
		"notify":      s.readNotify,
		"api":         readAPI(&s.API),
		"dns":         s.readDNS,
		"etcd":        s.readEtcd,
	}.read(root)
	if root.node != nil && root.node.Kind == yaml.MappingNode {
		d.Fault(s.check())
		d.Warn(s.warnings())
	}
	return s
}

func (s *Sidecar) readGroup(name string, v value) {
	if v.kind() == "pool" {
		var p Pool
		readPool(&p)(v)
		s.Pools[name] = p
		return
	}
	var g Group
	readGroup(&g)(v)
	s.Groups[name] = g
}

func (s *Sidecar) readProxy(v value) {
	p := &ProbeProxy{MaxAge: defaultMaxAge}
	keys{
		"listen":              list(one(&p.Listen, listen)),
		"agent":               list(one(&p.Agent, listen)),
		"max_age":             duration(&p.MaxAge),
		"allow":               list(one(&p.Allow, prefix)),
		"connections":         count(&p.Conns),
		"per_address":         count(&p.PerAddr),
		"requests_per_second": count(&p.Rate),
	}.read(v)
	s.ProbeProxy = p
}

func (s *Sidecar) readRender(v value) {
	r := Render{Timeout: defaultTimeout}
	keys{
		"template": file(&r.Template),
		"to":       path(&r.To),
		"then":     texts(&r.Then),
		"timeout":  duration(&r.Timeout),
	}.read(v)
	s.Renders = append(s.Renders, r)
}

func (s *Sidecar) readNotify(v value) {
	hook := func(v value) {
		var w Webhook
		keys{"url": text(&w.URL), "secret_file": file(&w.SecretFile), "tls_ca": file(&w.TLSCA)}.read(v)
		s.Webhooks = append(s.Webhooks, w)
	}
	post := func(v value) {
		var m Mail
		keys{
			"to": text(&m.To), "server": text(&m.Server), "from": text(&m.From), "user": text(&m.User),
			"password_file": file(&m.PasswordFile), "tls": text(&m.TLS), "tls_ca": file(&m.TLSCA),
		}.read(v)
		s.Mails = append(s.Mails, m)
	}
	keys{
		"webhook":  hook,
		"webhooks": list(hook),
		"mail":     post,
		"mails":    list(post),
	}.read(v)
}

func readAPI(a *API) take {
	return keys{
		"socket":     path(&a.Socket),
		"listen":     listen(&a.Listen),
		"token_file": file(&a.TokenFile),
		"hosts":      texts(&a.Hosts),
		"tls":        keys{"cert": file(&a.Cert), "key": file(&a.Key), "client_ca": file(&a.ClientCA)}.read,
	}.read
}

func (s *Sidecar) readEtcd(v value) {
	e := &Etcd{Prefix: "/understudy", Watchers: 1}
	keys{
		"endpoints":     texts(&e.Endpoints),
		"prefix":        text(&e.Prefix),
		"tls":           keys{"ca": file(&e.CA), "cert": file(&e.Cert), "key": file(&e.Key)}.read,
		"user":          text(&e.User),
		"password_file": file(&e.PasswordFile),
		"watcher":       text(&e.Watcher),
		"watchers":      count(&e.Watchers),
	}.read(v)
	s.Etcd = e
}

// check gives what no single value shows.
func (s *Sidecar) check() (f Faults) {
	if len(s.Groups) == 0 {
		f.Add("groups", "there is no group: the sidecar would have nothing to watch")
	}
	for _, name := range s.Names() {
		if why := CheckName(name); why != "" {
			f.Add("groups/"+name, "%s", why)
		}
		f = append(f, s.Groups[name].Check("groups/"+name)...)
	}
	if s.Etcd != nil && len(s.Etcd.Endpoints) == 0 {
		f.Add("etcd", "endpoints is missing: the URLs of the members of etcd")
	}
	f = append(f, s.checkDNS()...)
	f = append(f, s.checkRenders()...)
	f = append(f, s.checkHooks()...)
	if p := s.ProbeProxy; p != nil {
		f = append(f, p.check("probe_proxy")...)
	}
	return append(f, s.API.check("api")...)
}

func (p *ProbeProxy) check(path string) (f Faults) {
	if len(p.Listen)+len(p.Agent) == 0 {
		f.Add(path, "the probe proxy listens nowhere; give listen or agent")
	}
	if p.MaxAge < time.Second {
		f.Add(path+"/max_age", "max_age must be at least 1s, not %s", p.MaxAge)
	}
	seen := map[string]bool{}
	for key, all := range map[string][]string{"listen": p.Listen, "agent": p.Agent} {
		for i, at := range all {
			if seen[at] {
				f.Add(fmt.Sprintf("%s/%s/%d", path, key, i), "%s stands twice", at)
			}
			seen[at] = at != ""
		}
	}
	return f
}

func (s *Sidecar) checkRenders() (f Faults) {
	seen := map[string]bool{}
	for i, r := range s.Renders {
		at := fmt.Sprintf("files/%d", i)
		switch {
		case r.Template == "":
			f.Add(at+"/template", "template is missing: the file to render from")
		case r.To == "":
			f.Add(at+"/to", "to is missing: the file to render")
		case r.To == r.Template:
			f.Add(at+"/to", "to is the template itself")
		case seen[r.To]:
			f.Add(at+"/to", "%s is rendered twice", r.To)
		}
		seen[r.To] = true
	}
	return f
}

func (s *Sidecar) checkHooks() (f Faults) {
	seen := map[string]bool{}
	for _, w := range s.Webhooks {
		if w.URL != "" && seen[w.URL] {
			f.Add("notify", "a webhook stands twice")
		}
		seen[w.URL] = true
	}
	return f
}

func (a API) check(path string) (f Faults) {
	if (a.Cert == "") != (a.Key == "") || (a.ClientCA != "" && a.Cert == "") {
		f.Add(path+"/tls", "tls needs cert and key")
	}
	switch {
	case a.Listen == "" && (a.TokenFile != "" || a.Cert != ""):
		f.Add(path, "token_file and tls are for listen, which is missing; the socket is guarded by its permissions")
	case a.Listen == "":
	case a.TokenFile == "" && a.ClientCA == "":
		f.Add(path+"/listen", "whoever reaches %s could move traffic; give token_file, or tls with client_ca", a.Listen)
	case a.Cert == "" && !loopback(a.Listen):
		f.Add(path+"/listen", "%s is reached from other machines, which would read the token on the wire; give tls, or listen on 127.0.0.1", a.Listen)
	}
	return f
}

// loopback says whether only this machine reaches a listener.
func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// warnings names what is legal but unwise.
func (s *Sidecar) warnings() (f Faults) {
	for _, name := range s.Names() {
		g := s.Groups[name]
		f = append(f, g.Warnings("groups/"+name)...)
		r := g.Rules()
		if p := s.ProbeProxy; p != nil && p.MaxAge < 2*r.Interval+r.Timeout {
			f.Add("probe_proxy/max_age", "max_age %s is below two intervals and a timeout of group %s (%s): one slow probe, and load balancers lose every node", p.MaxAge, name, 2*r.Interval+r.Timeout)
		}
	}
	if p := s.ProbeProxy; p != nil && len(p.Allow) == 0 && slices.ContainsFunc(append(p.Listen, p.Agent...), func(at string) bool { return !loopback(at) }) {
		f.Add("probe_proxy", "anybody who reaches the probe proxy is answered; allow names the load balancers")
	}
	return f
}

// Names gives the groups' names, sorted.
func (s *Sidecar) Names() []string { return slices.Sorted(maps.Keys(s.Groups)) }
