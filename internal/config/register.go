package config

import (
	"time"

	"go.yaml.in/yaml/v3"
)

// Register is a register.yaml: one member of the etcd cluster that several
// hosts share. What its words mean is said where a member is started.
type Register struct {
	Name          string
	DataDir       string
	Peer, Client  string            // URLs
	Members       map[string]string // peer URLs, by name
	Join          bool
	CA, Cert, Key string
	Heartbeat     time.Duration // default 100 ms
}

// ReadRegister reads a register.yaml. What is wrong with it stands in the
// Document; the error says that there is none.
func ReadRegister(file string) (*Register, *Document, error) {
	d, root, err := load(file)
	if err != nil {
		return nil, nil, err
	}
	return readRegister(d, root), d, nil
}

func readRegister(d *Document, root value) *Register {
	r := &Register{DataDir: "/var/lib/understudy-register", Members: map[string]string{}, Heartbeat: 100 * time.Millisecond}
	keys{
		"name":     text(&r.Name),
		"data_dir": directory(&r.DataDir),
		"peer":     text(&r.Peer),
		"client":   text(&r.Client),
		"members": each(func(name string, v value) {
			var url string
			text(&url)(v)
			r.Members[name] = url
		}),
		"join": flag(&r.Join),
		"tls": func(v value) {
			keys{"ca": file(&r.CA), "cert": file(&r.Cert), "key": file(&r.Key)}.read(v)
		},
		"heartbeat": duration(&r.Heartbeat),
	}.read(root)
	if root.node == nil || root.node.Kind != yaml.MappingNode {
		return r
	}
	var f Faults
	for key, has := range map[string]string{"name": r.Name, "peer": r.Peer, "client": r.Client} {
		if has == "" {
			f.Add(key, "%s is missing", key)
		}
	}
	if len(r.Members) == 0 {
		f.Add("members", "members is missing: every member's name and peer URL, this one's included")
	}
	d.Fault(f)
	return r
}
