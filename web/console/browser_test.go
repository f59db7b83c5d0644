package console

import (
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web/webtest"
)

// login opens the console as a person does.
func (d *desk) login(t *testing.T) *webtest.Tab {
	t.Helper()
	b := webtest.Open(t)
	b.Go(d.URL + "/")
	b.Fill("Name", "anna")
	b.Fill("Password", password)
	b.Press("Log in")
	b.Sees("Groups")
	return b
}

func TestAPersonSeesWhyAndMovesTrafficInABrowser(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.day()
	b := d.login(t)
	b.Sees("If core1 failed now, traffic would move to core2")
	b.Shot("console-overview")
	b.Press("mdm")
	b.Sees("STAY: serving (row 3).")
	b.Shot("console-group")

	d.groups.Lose("mdm", "core1")
	b.Sees("The way back to core1") // by the event stream, nobody has pressed anything
	b.Sees("failed_over")
	b.Shot("console-after-failover")

	b.Press("Resume")
	b.Fill("Reason", "core1 is repaired")
	b.Press("Show what would happen")
	b.Sees("Why")
	b.Shot("console-refused")
	for range 2 {
		d.groups.Read("mdm", "core1", ha.Active)
		d.groups.Read("mdm", "core2", ha.Standby)
		d.groups.Advance(time.Second)
	}
	b.Press("Back to the group")
	b.Press("Resume")
	b.Fill("Reason", "core1 is repaired")
	b.Press("Show what would happen")
	b.Sees("would be: traffic → core1")
	b.Shot("console-preflight")
	b.Fill("Type the node's name", "core2")
	b.Press("Send clients to core1 now")
	b.Sees("Type the node's name, core1")
	b.Fill("Type the node's name", "core1")
	b.Press("Send clients to core1 now")
	b.Sees("Done: mdm traffic → core1")
	s, _ := d.groups.Situation("mdm")
	if s.Traffic.Serving != "core1" || s.Traffic.Actor != "anna" || s.Traffic.Claimed || s.Traffic.Words != "core1 is repaired" {
		t.Errorf("the traffic is %+v", s.Traffic)
	}
	for _, said := range b.Said() {
		if strings.Contains(said, "status of 409") || strings.Contains(said, "status of 422") { // the refusals above
			continue
		}
		t.Errorf("the browser says %q", said)
	}
}

func TestReorderingAndHoldingGoByTheConsoleWithoutJavaScriptAndByTheKeyboard(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.day()
	d.groups.Lose("mdm", "core1")
	d.groups.Read("mdm", "core2", ha.Active)
	b := webtest.Open(t)
	b.NoScript()
	b.Go(d.URL + "/")
	b.Keys("anna\t" + password + "\r") // the name has the focus
	b.Sees("Groups")
	b.Go(d.URL + "/console/groups/mdm")
	b.Sees("The way back to core1")
	b.Sees("as of")
	b.Press("Reorder")
	for i, node := range []string{"core2", "core1", "dr1"} {
		b.ChooseNth("order", i, node)
	}
	b.Fill("Reason", "core2 stays the Primary")
	b.Press("Show what would happen")
	b.Sees("would be: order core2 core1 dr1, traffic stays on core2")
	b.Press("Make core2 the first in order")
	s, _ := d.groups.Situation("mdm")
	if s.Traffic.Order[0] != "core2" || s.Traffic.Serving != "core2" {
		t.Fatalf("the traffic is %+v", s.Traffic)
	}
	b.Sees("Done: mdm order core2 core1 dr1")
	for range 60 { // from the top to Hold, by the Tab key alone
		b.Keys("\t")
		if webtest.Eval[string](b, `document.activeElement.textContent`) == "Hold" {
			break
		}
	}
	if outline := webtest.Eval[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
		t.Errorf("what has the focus is not seen: its outline is %s", outline)
	}
	b.Keys("\r")
	b.Sees("Freezes routing")
	b.Fill("Reason", "work on core1")
	b.Press("Show what would happen")
	b.Press("Hold mdm")
	b.Sees("HELD")
	b.Shot("console-no-script-held")
	b.Go(d.URL + "/console/groups/mdm")
	b.Keys("\t\r") // the link that skips the menu
	if at := webtest.Eval[string](b, `location.hash`); at != "#main" {
		t.Errorf("the first link leads to %q", at)
	}
	for range 40 { // a part of a lane tells its evidence
		b.Keys("\t")
		if webtest.Eval[bool](b, `document.activeElement.matches(".lanes .seg")`) {
			break
		}
	}
	if shown := webtest.Eval[string](b, `getComputedStyle(document.activeElement.querySelector("foreignObject")).display`); shown != "block" {
		t.Errorf("the evidence of the part that has the focus is displayed as %s", shown)
	}
}

func TestAPageThatHasLostItsStreamSaysSinceWhen(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.groups.Pair()
	b := d.login(t)
	b.Sees("traffic → core1")
	d.Server.CloseClientConnections()
	d.Server.Listener.Close()
	b.Sees("The connection has been lost since")
	b.Axe("a page without its stream")
	b.Shot("console-lost")
}

func TestEveryPageOfTheConsoleHasNoFaultOfAxeAndFitsEveryWindow(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.day()
	d.groups.Add("sentry", []string{"s1", "s2"})
	b := d.login(t)
	d.groups.Lose("mdm", "core1")
	pages := []string{"/", "/groups/mdm", "/groups/mdm?days=30", "/groups/sentry", "/groups/mdm/history", "/groups/mdm/hold", "/groups/mdm/switch", "/groups/mdm/reorder", "/users", "/account", "/audit", "/nothing"}
	for _, page := range pages {
		b.Go(d.URL + "/console" + page)
		name := strings.Trim(strings.NewReplacer("/", "-", "?", "-").Replace(page), "-")
		for _, dark := range []bool{false, true} {
			b.Dark(dark)
			b.Axe(page)
		}
		b.Shot("console-dark-" + name)
		b.Dark(false)
		for _, size := range [][2]int64{{360, 740}, {3840, 2160}} {
			b.Size(size[0], size[1])
			b.Narrow(page)
			if size[0] == 360 || page == "/groups/mdm" {
				b.Shot("console-" + map[bool]string{true: "360-", false: "4k-"}[size[0] == 360] + name)
			}
		}
		b.Size(1280, 900)
	}
}
