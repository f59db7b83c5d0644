package sidecar

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/statefile"
)

// The most that a template and what is made of it may have, in bytes.
const mostRendered = 1 << 20

// render is a template, the file that is made of it, and the command after.
type render struct {
	config.Render
	template *template.Template
	groups   map[string]config.Group
}

// Picture is what a template sees: where the traffic of every group belongs.
// It has nothing that changes without a decision.
type Picture struct{ Groups []GroupPicture }

// GroupPicture is one group.
type GroupPicture struct {
	Name    string
	Serving string // the node that traffic belongs on, empty: on none
	Epoch   uint64
	Since   time.Time // when Serving began to serve
	Held    bool
	Nodes   []NodePicture // in order of succession
}

// NodePicture is one node.
type NodePicture struct {
	Name      string
	Serving   bool
	Manual    bool
	URL       string // scheme, host and port
	Scheme    string
	Host      string // without brackets
	Port      string
	Dial      string // host and port, as a dialler takes them
	Addresses []string
}

// newRender reads a template and tries it with every node of every group as
// the serving one.
func newRender(r config.Render, c *config.Sidecar) (*render, error) {
	text, err := statefile.Read(r.Template, mostRendered)
	if err != nil {
		return nil, fmt.Errorf("the template cannot be read: %w", err)
	}
	one := &render{Render: r, groups: c.Groups}
	one.template, err = template.New(filepath.Base(r.Template)).Option("missingkey=error").
		Funcs(template.FuncMap{"group": func(string) (GroupPicture, error) { return GroupPicture{}, nil }, "join": strings.Join}).Parse(string(text))
	if err != nil {
		return nil, errors.New(tellTemplate(err))
	}
	for _, s := range one.samples() {
		if _, err := one.make(s); err != nil {
			return nil, err
		}
	}
	return one, nil
}

// samples gives situations in which each node serves once, and nobody.
func (r *render) samples() (all []map[string]ha.Situation) {
	most := 0
	for _, g := range r.groups {
		most = max(most, len(g.Nodes))
	}
	for i := range most + 1 {
		sample := map[string]ha.Situation{}
		for name, g := range r.groups {
			s := ha.Situation{Traffic: ha.Traffic{Group: name, Epoch: 1, Order: g.Names()}}
			if i < len(g.Nodes) {
				s.Traffic.Serving, s.Target = g.Nodes[i].Name, g.Nodes[i].Name
			}
			sample[name] = s
		}
		all = append(all, sample)
	}
	return all
}

// make gives the file for situations, by group.
func (r *render) make(situations map[string]ha.Situation) ([]byte, error) {
	p := r.picture(situations)
	t, err := r.template.Clone()
	if err != nil {
		return nil, err
	}
	t.Funcs(template.FuncMap{"group": p.group})
	out := &bounded{most: mostRendered}
	if err := t.Execute(out, p); err != nil {
		return nil, errors.New(tellTemplate(err))
	}
	return out.Bytes(), nil
}

// group is a template's function: the group with a name.
func (p Picture) group(name string) (GroupPicture, error) {
	var names []string
	for _, g := range p.Groups {
		if g.Name == name {
			return g, nil
		}
		names = append(names, g.Name)
	}
	return GroupPicture{}, fmt.Errorf("there is no group %q; there are: %s", name, strings.Join(names, ", "))
}

func (r *render) picture(situations map[string]ha.Situation) (p Picture) {
	for _, name := range slices.Sorted(maps.Keys(r.groups)) {
		s := situations[name]
		g := GroupPicture{Name: name, Serving: s.Target, Epoch: s.Traffic.Epoch, Since: s.Traffic.Since, Held: s.Traffic.Hold != nil}
		for _, n := range s.Traffic.Order {
			i := slices.IndexFunc(r.groups[name].Nodes, func(c config.Node) bool { return c.Name == n })
			if i >= 0 { // the order may be a moment older than a reload
				g.Nodes = append(g.Nodes, nodePicture(r.groups[name].Nodes[i], s.Target))
			}
		}
		p.Groups = append(p.Groups, g)
	}
	return p
}

func nodePicture(n config.Node, serving string) NodePicture {
	p := NodePicture{Name: n.Name, Serving: n.Name == serving, Manual: n.Manual, URL: n.URL}
	if u, why := config.Base(n.URL); why == "" {
		p.URL, p.Scheme, p.Host, p.Port = u.String(), u.Scheme, u.Hostname(), u.Port()
		p.Dial = net.JoinHostPort(p.Host, p.Port)
	}
	for _, a := range n.Addresses {
		p.Addresses = append(p.Addresses, a.String())
	}
	return p
}

// unwise says what may be wrong with the command on this machine.
func (r *render) unwise() string {
	if r == nil || len(r.Then) == 0 {
		return ""
	}
	if _, err := exec.LookPath(r.Then[0]); err != nil {
		return fmt.Sprintf("the program %q is not found on this machine", r.Then[0])
	}
	return ""
}

func tellTemplate(err error) string {
	return strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", " "), "template: ")
}

// bounded is a buffer that takes no more than most bytes.
type bounded struct {
	bytes.Buffer
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, fmt.Errorf("it makes more than %d bytes", b.most)
	}
	return b.Buffer.Write(p)
}
