//go:build linux

package integration

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

// figure1 is the guide's figure "Two servers across two data centers" with all
// that we have for it: a front beside the Primary, a name server beside the
// Secondary, a third watcher elsewhere, and on each of these three machines a
// member of the register. Members and watchers speak TLS.
type figure1 struct {
	*world
	core1, core2 *child
	site1, site2 *host
	clients      *host
	front        *front
	names        *sidecar
	seats        []*seat // of the front, the name server, the third
	authority    *hatest.Authority
	urls         []string // of the members, for watchers
}

// seat is a machine that watches, with its member of the register.
type seat struct {
	host   *host
	*front // what it is asked by
	member *keeper
	dir    string // with its certificate
}

func newFigure1(t *testing.T) *figure1 {
	t.Helper()
	f := &figure1{world: newWorld(t)}
	var err error
	if f.authority, err = hatest.NewAuthority(); err != nil {
		t.Fatal(err)
	}
	f.site1, f.site2 = f.host("core1", "192.0.2.10"), f.host("core2", "198.51.100.10")
	f.clients = f.host("clients", "203.0.113.200")
	f.core1, f.core2 = f.site1.node(ha.Active), f.site2.node(ha.Standby)
	f.sit("front", "192.0.2.20")
	f.sit("names", "198.51.100.53")
	f.sit("third", "203.0.113.30")
	f.members()
	p := plan{
		nodes: []node{f.core1, f.core2}, names: map[string]string{"core1": f.site1.address, "core2": f.site2.address},
		probe: map[string]string{"timeout": "300ms"},
	}
	f.names = f.sidecar(f.seats[1], p, fmt.Sprintf("dns: {listen: [%q], zones: [{name: example.com, file: example.com.zone, dynamic: [{name: mdm, group: mdm, ttl: 1s}]}]}", f.seats[1].host.at(53)))
	write(t, filepath.Join(filepath.Dir(f.names.file), "example.com.zone"), zoneText)
	f.names.start()
	f.sidecar(f.seats[2], p).start()
	p.app = []string{
		"etcd " + strings.Join(f.urls, " ") + " {", "\twatchers 3", "\twatcher front", "\ttls_ca " + f.seats[0].in("ca"),
		"\ttls_cert " + f.seats[0].in("cert"), "\ttls_key " + f.seats[0].in("key"), "}",
	}
	f.front = newFront(t, p)
	f.front.inside, f.front.at.site, f.seats[0].front = f.seats[0].host, f.seats[0].host.at(80), f.front
	write(t, f.front.file, p.caddyfile(f.front.at))
	f.front.client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: f.clients.dial}
	f.front.start()
	f.calm("core1")
	return f
}

// sit adds a machine that watches.
func (f *figure1) sit(name, address string) {
	f.t.Helper()
	s := &seat{host: f.host(name, address), dir: tempDir(f.t)}
	c, err := f.authority.Certificate(address)
	if err != nil {
		f.t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		f.t.Fatal(err)
	}
	write(f.t, s.in("ca"), string(f.authority.PEM()))
	write(f.t, s.in("cert"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})))
	write(f.t, s.in("key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	f.seats = append(f.seats, s)
	f.urls = append(f.urls, "https://"+s.host.at(2379))
}

func (s *seat) in(name string) string { return filepath.Join(s.dir, name+".pem") }

func (s *seat) tls() string {
	return fmt.Sprintf("tls: {ca: %q, cert: %q, key: %q}", s.in("ca"), s.in("cert"), s.in("key"))
}

// members starts the register.
func (f *figure1) members() {
	f.t.Helper()
	var members []string
	for _, s := range f.seats {
		members = append(members, fmt.Sprintf("%s: %q", s.host.name, "https://"+s.host.at(2380)))
	}
	for i, s := range f.seats {
		s.member = &keeper{t: f.t, file: filepath.Join(s.dir, "register.yaml"), url: f.urls[i], log: new(output), inside: s.host}
		write(f.t, s.member.file, fmt.Sprintf("name: %s\ndata_dir: %s\npeer: %q\nclient: %q\nmembers: {%s}\nheartbeat: 50ms\n%s\n",
			s.host.name, filepath.Join(s.dir, "data"), "https://"+s.host.at(2380), f.urls[i], strings.Join(members, ", "), s.tls()))
		s.member.start()
	}
	for _, s := range f.seats {
		await(f.t, "the register serves", func() bool { return strings.Contains(s.member.log.String(), "the register serves") })
	}
}

// sidecar prepares a sidecar on a machine.
func (f *figure1) sidecar(s *seat, p plan, more ...string) *sidecar {
	f.t.Helper()
	c := newSidecar(f.t, p, append(more, fmt.Sprintf("etcd: {endpoints: [%s], watchers: 3, watcher: %s, %s}", strings.Join(f.urls, ", "), s.host.name, s.tls()))...)
	c.inside, s.front = s.host, c.front
	return c
}

// calm waits until every watcher sends clients to a node, and a failover would
// work.
func (f *figure1) calm(serving string) {
	f.t.Helper()
	for _, s := range f.seats {
		if within(patience, func() bool { g := s.group(); return g.Serving == serving && g.Armed && g.Decision.Reason == ha.Serving }) {
			continue
		}
		for _, o := range f.seats {
			f.t.Logf("%s: %s\n%s", o.host.name, asJSON(o.group()), o.member.log.tail(5))
		}
		f.t.Fatalf("%s is not calm after %s", s.host.name, patience)
	}
}

func (f *figure1) fronts() (all []*front) {
	for _, s := range f.seats {
		all = append(all, s.front)
	}
	return all
}

func TestTheGuidesTwoDataCentersWithEverythingInThem(t *testing.T) {
	t.Parallel()
	f := newFigure1(t)
	clientsAt := func(want *host) {
		t.Helper()
		await(t, "the name is "+want.name, func() bool { return f.clients.asks(f.seats[1].host.address, "mdm.example.com.") == want.address })
		f.front.expectFrom(want.name, f.front.get())
	}
	clientsAt(f.site1)

	// The first data center is lost: the Primary, the front, a member.
	lost, rest := []*host{f.site1, f.seats[0].host}, []*host{f.site2, f.seats[1].host, f.seats[2].host, f.clients}
	for _, h := range lost {
		f.cut(h, rest...)
	}
	for _, s := range f.seats[1:] {
		s.expectServing("core2")
	}
	await(t, "the name is core2", func() bool { return f.clients.asks(f.seats[1].host.address, "mdm.example.com.") == f.site2.address })
	if g := f.front.group(); g.Serving != "core1" { // it is alone and decides nothing
		t.Errorf("the front in the lost data center sends clients to %s", g.Serving)
	}
	f.core2.Set(ha.Active)

	// It comes back, the Primary as one that knows nothing of that.
	for _, h := range lost {
		f.mend(h, rest...)
	}
	for _, s := range f.seats {
		s.expectRow(row{1, api.Stay, ha.DualActive, "core1", "alarm"})
		s.expectServing("core2")
	}
	clientsAt(f.site2)
	expectOneDecisionAnEpoch(t, f.fronts()...)
}
