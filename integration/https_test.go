//go:build linux

package integration

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/hatest"
)

const appName = "mdm.example.com"

// securePair gives two HTTPS nodes with certificates for appName, and a plan
// that trusts their authority only.
func securePair(t *testing.T) (core1, core2 *hatest.Node, p plan) {
	t.Helper()
	authority, err := hatest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	open := func(name string, state ha.State) *hatest.Node {
		return hatest.New(t, hatest.Config{Name: name, State: state, TLS: hatest.TLSValid, Authority: authority, Names: []string{appName}})
	}
	core1, core2 = open("core1", ha.Active), open("core2", ha.Standby)
	ca := filepath.Join(tempDir(t), "ca.pem")
	write(t, ca, string(authority.PEM()))
	return core1, core2, plan{nodes: []node{core1, core2}, probe: map[string]string{"tls_ca": ca, "host": appName}}
}

func TestHTTPSNodesEndToEnd(t *testing.T) {
	t.Parallel()
	core1, core2, p := securePair(t)
	for _, n := range []node{core1, core2} {
		n.SetLatency(hatest.App, 20*time.Millisecond)
	}
	f := startFront(t, p)
	f.expectAllTo("core1")
	l := f.pour(10*time.Millisecond, "/", everyKind...)
	l.awaitAnswers(t, 80, "core1")
	core1.Kill()
	l.awaitAnswers(t, 80, "core2")
	answers := l.end()
	expectOnce(t, answers, everyKind, core1, core2)
	t.Logf("kill of an HTTPS node: gap %s", gap(answers))
	for _, n := range []*hatest.Node{core1, core2} {
		for _, r := range n.Probes() {
			if r.Host != appName || r.ServerName != appName {
				t.Fatalf("%s was probed with Host %q and server name %q, want %s", n.Name(), r.Host, r.ServerName, appName)
			}
			if r.Reused {
				t.Fatalf("%s was probed over a used connection", n.Name())
			}
		}
	}
}

func TestTheClientsHostIsKept(t *testing.T) {
	t.Parallel()
	core1, _, p := securePair(t)
	f := startFront(t, p)
	f.expectFrom("core1", f.do(request{host: "portal.example.com", id: "hosted"}))
	plain1, plain2 := localPair(t)
	g := startFront(t, plan{nodes: []node{plain1, plain2}})
	g.expectFrom("core1", g.do(request{host: "portal.example.com", id: "hosted"}))
	for _, n := range []*hatest.Node{core1, plain1} {
		requests := n.Requests()
		if len(requests) != 1 || requests[0].Host != "portal.example.com" {
			t.Errorf("the node got %+v; want one request with Host portal.example.com", requests)
		}
	}
	if name := core1.Requests()[0].ServerName; name != appName {
		t.Errorf("the server name is %q, want %s", name, appName)
	}
}

func TestABadCertificateReadsNotAvailable(t *testing.T) {
	t.Parallel()
	core1, core2, p := securePair(t)
	f := startFront(t, p)
	for _, kind := range []hatest.TLS{hatest.TLSExpired, hatest.TLSWrongName, hatest.TLSUnknownCA} {
		core2.SetTLS(kind)
		n := f.awaitCause("core2", ha.TLSFault)
		t.Logf("core2: %s", n.Detail)
		if g := f.group(); g.Serving != "core1" {
			t.Errorf("%s serves", g.Serving)
		}
		core2.SetTLS(hatest.TLSValid)
		f.awaitNode("core2", api.Standby)
	}
	core1.SetTLS(hatest.TLSExpired)
	f.expectServing("core2")
	f.expectAllTo("core2")
}

func TestATunnelThroughHTTPSIsCutAtAFailover(t *testing.T) {
	t.Parallel()
	core1, _, p := securePair(t)
	p.probe["timeout"] = "300ms"
	f := startFront(t, p)
	u := f.dig()
	u.expectEcho(t, "over TLS")
	core1.Break(hatest.Frozen)
	f.expectServing("core2")
	u.expectCut(t)
	again := f.dig()
	again.expectEcho(t, "again")
	if again.node != "core2" {
		t.Errorf("the new tunnel leads to %s", again.node)
	}
}

func TestInsecureNodesAreTakenWhenAskedFor(t *testing.T) {
	t.Parallel()
	core1, core2, p := securePair(t)
	core1.SetTLS(hatest.TLSUnknownCA)
	core2.SetTLS(hatest.TLSExpired)
	p.probe = map[string]string{"tls_insecure": ""}
	f := startFront(t, p)
	f.expectAllTo("core1")
	core1.Kill()
	f.expectServing("core2")
	f.expectAllTo("core2")
}

// The transport may be given its own TLS settings, HTTP/2 too.
func TestTheDirectivesOwnTransportIsPassedOn(t *testing.T) {
	t.Parallel()
	core1, _, p := securePair(t)
	p.site = []string{
		"transport http {", "tls_server_name " + appName, "tls_trust_pool file " + p.probe["tls_ca"], "versions 1.1 2", "}",
		"header_up Host other.example.com", "header_down X-Front understudy",
	}
	f := startFront(t, p)
	a := f.get()
	f.expectFrom("core1", a)
	if a.header.Get("X-Front") != "understudy" {
		t.Error("header_down was not passed on")
	}
	if got := core1.Requests()[0].Host; got != "other.example.com" {
		t.Errorf("the node got Host %q, want the directive's", got)
	}
	core1.Kill()
	f.expectServing("core2")
	f.expectAllTo("core2")
}

// A client of the front may speak HTTPS and HTTP/2 too.
func TestClientsSpeakHTTP2ToTheFront(t *testing.T) {
	t.Parallel()
	core1, core2 := localPair(t)
	site := fmt.Sprintf("localhost:%d", freePort(t))
	p := plan{nodes: []node{core1, core2}, global: []string{"auto_https disable_redirects", "skip_install_trust"}}
	p.sites = []string{"https://" + site + " {\n\tbind 127.0.0.1\n\ttls internal\n\tunderstudy mdm\n}"}
	secure := startFront(t, p).overTLS(site)
	await(t, "the certificate is made", func() bool { return secure.get().status == 200 })
	l := secure.pour(5*time.Millisecond, "/", plainGet, bodyPost)
	l.awaitAnswers(t, 50, "core1")
	core1.Kill()
	l.awaitAnswers(t, 50, "core2")
	answers := l.end()
	expectOnce(t, answers, everyKind, core1, core2)
	for _, a := range answers {
		if a.proto != "HTTP/2.0" {
			t.Fatalf("%s came over %s", a, a.proto)
		}
	}
	t.Logf("HTTP/2 clients: gap %s", gap(answers))
}
