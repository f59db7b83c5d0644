package config

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// NodeFile is a node.yaml: what belongs to the machine. The settings of High
// Availability itself are saved in DataDir by whoever changes them.
type NodeFile struct {
	File         string // its own name
	Name         string
	DataDir      string // default /var/lib/understudy
	Socket       string // default /run/understudy/node.sock
	StatusListen string // where the two status pages are served
	Peer         NodePeer
	Recovery     bool     // for disaster recovery: the peer stands as upstream
	Third        NodePeer // the main site's node for disaster recovery; Name empty: none is known
	App          NodeApp
	Door         NodeDoor // Listen empty: clients reach the application without us
	Fence        []string // what switches the peer off before a promotion; empty: nothing does
	FenceTimeout time.Duration
	SMTP         SMTP // Server empty: no mail
	Webhooks     []Webhook
	AgentTokens  string    // file of what proves agents; empty: none may call
	Etcd         *NodeEtcd // nil: profile documented
	Portal       NodePortal
	SSH          NodeSSH
	Datasets     []NodeDataset
	Owners       []string // of traffic: the trusted fronts whose decision counts; empty: all of them
}

// NodePeer is the other node of the pair.
type NodePeer struct {
	Name   string
	Status string // scheme, host and port of its two status pages
}

// NodeApp is how the application is handled: argument lists, no shell. Only
// Start, Stop and one kind of health are needed.
type NodeApp struct {
	Health         string   // URL that is asked for
	HealthCommand  []string // or a command that ends with 0
	HealthInterval time.Duration
	HealthTimeout  time.Duration
	Start          []string
	StartTimeout   time.Duration // until its health passes
	Stop           []string
	Kill           []string // what stops it without mercy; empty: Stop once more
	Version        []string
	Count          []string
	Lists          NodeLists
}

// NodeDoor is the door for clients before the application.
type NodeDoor struct {
	Listen        string
	Forward       string
	ProxyProtocol ProxyProtocol
}

// ProxyProtocol is how the application is told a client's address.
type ProxyProtocol string

// The versions of the PROXY protocol; empty is none.
const (
	ProxyV1 ProxyProtocol = "v1"
	ProxyV2 ProxyProtocol = "v2"
)

// NodeSocket is where a node is asked by the people of its own machine.
const NodeSocket = "/run/understudy/node.sock"

// The defaults of a node's application.
const (
	defaultHealthInterval = 5 * time.Second
	defaultHealthTimeout  = 3 * time.Second
	defaultStartTimeout   = 5 * time.Minute
	defaultFenceTimeout   = time.Minute
)

// ReadNode reads a node.yaml. What is wrong with it stands in the Document; the
// error says that there is none.
func ReadNode(file string) (*NodeFile, *Document, error) {
	d, root, err := load(file)
	if err != nil {
		return nil, nil, err
	}
	return node(d, root), d, nil
}

func node(d *Document, root value) *NodeFile {
	n := &NodeFile{File: d.file, DataDir: defaultStateDir, Socket: NodeSocket, FenceTimeout: defaultFenceTimeout}
	n.App = NodeApp{HealthInterval: defaultHealthInterval, HealthTimeout: defaultHealthTimeout, StartTimeout: defaultStartTimeout, Lists: NodeLists{Timeout: defaultJobTimeout}}
	keys{
		"name":              text(&n.Name),
		"data_dir":          directory(&n.DataDir),
		"socket":            nodeSocket(&n.Socket),
		"status":            keys{"listen": listen(&n.StatusListen)}.read,
		"peer":              keys{"name": text(&n.Peer.Name), "status": text(&n.Peer.Status)}.read,
		"upstream":          n.readUpstream,
		"recovery":          keys{"name": text(&n.Third.Name), "status": text(&n.Third.Status)}.read,
		"app":               n.App.read,
		"client_connection": n.Door.read,
		"etcd":              n.readEtcd,
		"portal":            n.readPortal,
		"ssh":               n.readSSH,
		"traffic_owners":    texts(&n.Owners),
		"datasets":          n.readDatasets,
		"smtp":              n.readSMTP,
		"notify":            n.readNotify,
		"agents":            n.readAgents,
		"fence_command":     texts(&n.Fence),
		"fence_timeout":     duration(&n.FenceTimeout),
	}.read(root)
	if root.node != nil && root.node.Kind == yaml.MappingNode {
		d.Fault(n.check())
		d.Warn(n.warnings())
	}
	return n
}

// nodeSocket reads where the socket is; its folder is made if need be.
func nodeSocket(to *string) take {
	return func(v value) {
		if text(to)(v); *to != "" {
			*to = v.doc.resolve(*to)
		}
	}
}

func (a *NodeApp) read(v value) {
	keys{
		"health":          text(&a.Health),
		"health_command":  texts(&a.HealthCommand),
		"health_interval": duration(&a.HealthInterval),
		"health_timeout":  duration(&a.HealthTimeout),
		"start":           texts(&a.Start),
		"start_timeout":   duration(&a.StartTimeout),
		"stop":            texts(&a.Stop),
		"kill":            texts(&a.Kill),
		"version":         texts(&a.Version),
		"count":           texts(&a.Count),
		"download":        texts(&a.Lists.Download),
		"upgrade":         texts(&a.Lists.Upgrade),
		"validate":        texts(&a.Lists.Validate),
		"job_timeout":     duration(&a.Lists.Timeout),
	}.read(v)
}

func (d *NodeDoor) read(v value) {
	keys{
		"listen":         listen(&d.Listen),
		"forward":        text(&d.Forward),
		"proxy_protocol": choice(&d.ProxyProtocol, ProxyV1, ProxyV2),
	}.read(v)
}

// check gives what no single value shows.
func (n *NodeFile) check() (f Faults) {
	if n.Name == "" {
		f.Add("name", "name is missing: what this node is called in groups, logs and history")
	} else if why := CheckName(n.Name); why != "" {
		f.Add("name", "%s", why)
	}
	if n.StatusListen == "" {
		f.Add("status/listen", "status: {listen: …} is missing: fronts and the peer ask for the two status pages there")
	}
	f = append(f, n.checkPeer()...)
	f = append(f, n.App.check("app")...)
	f = append(f, n.checkNotify()...)
	f = append(f, n.checkAgents()...)
	f = append(f, n.Door.check("client_connection", n.StatusListen)...)
	f = append(f, n.checkEtcd()...)
	f = append(f, n.checkTrust()...)
	return append(f, n.checkDatasets()...)
}

func (p NodePeer) check(path, own string) (f Faults) {
	switch {
	case p.Name == "":
		f.Add(path+"/name", "peer: {name: …, status: …} is missing: the other node of the pair")
	case CheckName(p.Name) != "":
		f.Add(path+"/name", "%s", CheckName(p.Name))
	case p.Name == own:
		f.Add(path+"/name", "the peer has this node's own name, %s; every node has its own", own)
	}
	switch u, err := url.Parse(p.Status); {
	case p.Status == "" && p.Name != "":
		f.Add(path+"/status", "status is missing: where the peer serves its status pages, like http://192.0.2.10:8080")
	case p.Status == "":
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Path != "" && u.Path != "/":
		f.Add(path+"/status", "status must be scheme, host and port, like http://192.0.2.10:8080")
	}
	return f
}

func (a NodeApp) check(path string) (f Faults) {
	if len(a.Start) == 0 {
		f.Add(path+"/start", "start is missing: the command that starts the application, like [systemctl, start, app]")
	}
	if len(a.Stop) == 0 {
		f.Add(path+"/stop", "stop is missing: the command that stops the application, like [systemctl, stop, app]")
	}
	u, err := url.Parse(a.Health)
	switch {
	case a.Health == "" && len(a.HealthCommand) == 0:
		f.Add(path+"/health", "health is missing: a URL that answers 200 as long as the application is well, or health_command")
	case a.Health != "" && len(a.HealthCommand) > 0:
		f.Add(path+"/health_command", "health and health_command are both there; one is enough")
	case a.Health != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == ""):
		f.Add(path+"/health", "health must be a URL like http://127.0.0.1:9000/healthz")
	}
	return f
}

func (d NodeDoor) check(path, status string) (f Faults) {
	switch {
	case d == NodeDoor{}:
	case d.Listen == "":
		f.Add(path+"/listen", "listen is missing: where clients come in")
	case d.Listen == status:
		f.Add(path+"/listen", "%s is where the status pages are", d.Listen)
	case !hostPort(d.Forward):
		f.Add(path+"/forward", "forward must be the application's address and port, like 127.0.0.1:9443")
	}
	return f
}

// hostPort says whether a text is a host and a port that can be called.
func hostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	n, e := strconv.ParseUint(port, 10, 16)
	return err == nil && e == nil && n > 0 && host != ""
}

// warnings names what is legal but unwise.
func (n *NodeFile) warnings() (f Faults) {
	f = n.warnEtcd()
	if host, _, err := net.SplitHostPort(n.StatusListen); err == nil && host != "" {
		if a, err := netip.ParseAddr(host); err == nil && a.IsLoopback() {
			if u, err := url.Parse(n.Peer.Status); err == nil {
				if p, err := netip.ParseAddr(u.Hostname()); err == nil && !p.IsLoopback() {
					f.Add("status/listen", "the status pages are only reached from this machine; the peer and the fronts see this node as down")
				}
			}
		}
	}
	if u, err := url.Parse(n.Peer.Status); err == nil && n.Peer.Status != "" && u.Host == n.StatusListen {
		f.Add("peer/status", "the peer's status pages are at this node's own address")
	}
	return f
}
