//go:build linux

package integration

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web/webtest"
)

const webPassword = "correct horse battery"

var setupCode = regexp.MustCompile(`setup_code"?[=:]"?([A-Z0-9-]{23})`)

// firstUser goes through the first start of a console or portal, with the code
// of its log, and gives the window.
func firstUser(t *testing.T, url string, log *output) *webtest.Tab {
	t.Helper()
	var code []string
	await(t, "the log has a setup code", func() bool { code = setupCode.FindStringSubmatch(log.String()); return code != nil })
	b := webtest.Open(t)
	b.Go(url)
	b.Fill("Setup code", code[1])
	b.Fill("Your name", "anna")
	b.Fill("Password", webPassword)
	b.Fill("The password again", webPassword)
	b.Press("Make the first user")
	return b
}

func TestAFrontShowsItsFailoverToABrowserAndIsResumedThere(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	at := loopback(freePort(t))
	site := fmt.Sprintf("http://%s {\n\tunderstudy_console\n}", at)
	f := startFront(t, plan{nodes: []node{core1, core2}, sites: []string{site}})
	b := firstUser(t, "http://"+at+"/", f.log)
	b.Sees("traffic → core1")
	b.Press("mdm")
	b.Sees("failover armed")
	core1.Kill()
	b.Sees("core1 → core2, failed_over, by the rule") // told by the stream
	core2.Set(ha.Standby)
	core1.Start()
	core1.Set(ha.Active)
	f.await("core1 is the only Active node", func(g api.Group) bool {
		n, _ := g.Node("core1")
		return n.State == api.Active && n.Passes >= 2
	})
	if err := f.load(f.plan); err != nil { // the pages, the session and the stream outlive a reload
		t.Fatal(err)
	}
	b.Press("Resume")
	b.Fill("Reason", "core1 is repaired")
	b.Press("Show what would happen")
	b.Sees("would be: traffic → core1")
	b.Fill("Type the node's name", "core1")
	b.Press("Send clients to core1 now")
	b.Sees("Done: mdm traffic → core1")
	g := f.await("core1 serves", func(g api.Group) bool { return g.Serving == "core1" })
	if g.Changed.Actor != "anna" || g.Changed.Claimed || g.Changed.Reason != "core1 is repaired" {
		t.Errorf("the history says %+v", g.Changed)
	}
	b.Press("Audit log")
	b.Sees("resume mdm: mdm traffic → core1")
}

// TestASidecarIsReorderedAndHeldInABrowser is the guide's way to leave the roles
// as they are after a failover, by the console of a sidecar: its load balancers
// follow all the while.
func TestASidecarIsReorderedAndHeldInABrowser(t *testing.T) {
	t.Parallel()
	core1, core2 := pair(t)
	at := loopback(freePort(t))
	s := newSidecar(t, plan{nodes: []node{core1, core2}})
	tokens := filepath.Join(filepath.Dir(s.file), "tokens")
	write(t, tokens, "robot "+strings.Repeat("t0ken", 8)+"\n")
	write(t, s.file, strings.Replace(read(t, s.file), "api: {", fmt.Sprintf("api: {listen: %q, token_file: %q, ", at, tokens), 1))
	s.start()
	s.await("core1 serves", func(g api.Group) bool { return g.Serving == "core1" })
	b := firstUser(t, "http://"+at+"/console/", s.log)
	b.Sees("traffic → core1")
	b.Press("mdm")
	b.Sees("failover armed")
	core1.Kill()
	b.Sees("core1 → core2, failed_over, by the rule")
	core2.Set(ha.Active)
	core1.Start()
	core1.Set(ha.Standby)
	s.await("core2 serves and core1 stands by", func(g api.Group) bool {
		one, _ := g.Node("core1")
		two, _ := g.Node("core2")
		return one.State == api.Standby && two.State == api.Active && g.Serving == "core2"
	})
	b.Press("Reorder")
	b.ChooseNth("order", 0, "core2")
	b.ChooseNth("order", 1, "core1")
	b.Fill("Reason", "core2 stays the Primary")
	b.Press("Show what would happen")
	b.Sees("would be: order core2 core1, traffic stays on core2")
	b.Press("Make core2 the first in order")
	b.Sees("Done: mdm order core2 core1")
	g := s.await("core2 is first in order", func(g api.Group) bool { return g.Order[0] == "core2" })
	if g.Serving != "core2" || g.Changed.Actor != "anna" || g.Changed.Reason != "core2 stays the Primary" {
		t.Errorf("the history says %+v", g.Changed)
	}
	b.Press("Hold")
	b.Fill("Reason", "work on core1")
	b.Press("Show what would happen")
	b.Press("Hold mdm")
	b.Sees("HELD")
	core2.Kill() // a hold keeps traffic where it is
	b.Sees("NotAvailable")
	if got := s.group(); got.Serving != "core2" || got.Hold == nil {
		t.Errorf("while it is held traffic goes to %q, hold %+v", got.Serving, got.Hold)
	}
	b.Press("Release")
	b.Fill("Reason", "core2 is gone")
	b.Press("Show what would happen")
	b.Press("Release mdm")
	s.await("core1 serves after the release", func(g api.Group) bool { return g.Serving == "core1" })
	b.Sees("core2 → core1, failed_over, by the rule")
}
