package config

import "time"

// NodeEtcd is the register of profile safe. Both nodes of a pair have the same
// but for the files.
type NodeEtcd struct {
	Endpoints    []string
	Prefix       string // default /understudy
	CA           string
	Cert, Key    string
	User         string
	PasswordFile string
	Pair         string        // name of the lease; empty: made of the nodes' names
	Lease        time.Duration // default 75 s
	Watchdog     time.Duration // default 5 s
	Slack        time.Duration // default 5 s
	OnLoss       OnRegisterLoss
	Unit         string // the application's unit of systemd; empty: none
}

// OnRegisterLoss is what an Active node does when it loses the register.
type OnRegisterLoss string

// What it does; empty is stop.
const (
	LossStop     OnRegisterLoss = "stop"
	LossContinue OnRegisterLoss = "continue" // two may serve in a partition
)

func (n *NodeFile) readEtcd(v value) {
	e := &NodeEtcd{Prefix: "/understudy", Lease: 75 * time.Second, Watchdog: 5 * time.Second, Slack: 5 * time.Second, OnLoss: LossStop}
	keys{
		"endpoints":        texts(&e.Endpoints),
		"prefix":           text(&e.Prefix),
		"tls":              keys{"ca": file(&e.CA), "cert": file(&e.Cert), "key": file(&e.Key)}.read,
		"user":             text(&e.User),
		"password_file":    file(&e.PasswordFile),
		"pair":             text(&e.Pair),
		"lease":            duration(&e.Lease),
		"watchdog":         duration(&e.Watchdog),
		"slack":            duration(&e.Slack),
		"on_register_loss": choice(&e.OnLoss, LossStop, LossContinue),
		"app_unit":         text(&e.Unit),
	}.read(v)
	n.Etcd = e
}

// checkEtcd gives what no single value shows. That lease, watchdog and stop
// timeout fit together is seen where the settings are known.
func (n *NodeFile) checkEtcd() (f Faults) {
	e := n.Etcd
	if e == nil {
		return nil
	}
	if len(e.Endpoints) == 0 {
		f.Add("etcd/endpoints", "endpoints is missing: the client URLs of the members of etcd")
	}
	if e.Lease%time.Second != 0 || e.Lease < 2*time.Second {
		f.Add("etcd/lease", "lease %v must be whole seconds, at least 2s: etcd counts them so", e.Lease)
	}
	if e.Pair == "" {
		e.Pair = min(n.Name, n.Peer.Name) + "_" + max(n.Name, n.Peer.Name)
	}
	return f
}

// warnEtcd names what is legal but unwise.
func (n *NodeFile) warnEtcd() (f Faults) {
	switch e := n.Etcd; {
	case e == nil:
	case len(e.Endpoints) < 3:
		f.Add("etcd/endpoints", "with fewer than three members one machine's loss is the loss of the register, and then nobody serves for longer than a lease")
	case e.OnLoss == LossContinue:
		f.Add("etcd/on_register_loss", "continue leaves profile safe: in a partition both nodes may serve")
	}
	return f
}
