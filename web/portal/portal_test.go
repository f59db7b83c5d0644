package portal

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web/account"
	"github.com/understudy-ha/understudy/web/webtest"
)

var hidden = regexp.MustCompile(`name="(version|tag)" value="([^"]*)"`)

// form gives the fields of the HA Configuration window as they are sent.
func (d *desk) form(c *http.Cookie, change map[string]string) url.Values {
	d.t.Helper()
	_, page := d.get("/maintenance/ha", c)
	f := url.Values{"enabled": {"Enable"}, "mode": {"Secondary"}, "node": {"Passive"}, "host": {"core1"}, "every": {"1"}, "unit": {"hours"}}
	for _, m := range hidden.FindAllStringSubmatch(page, -1) {
		f.Set(m[1], strings.ReplaceAll(m[2], "&#34;", `"`))
	}
	for name, value := range change {
		f.Add("has", name)
		f.Set(name, value)
	}
	return f
}

// version gives what the page between Save and Apply was shown for.
func (d *desk) version(c *http.Cookie) string {
	d.t.Helper()
	_, page := d.get("/maintenance/ha/apply", c)
	for _, m := range hidden.FindAllStringSubmatch(page, -1) {
		return strings.ReplaceAll(strings.ReplaceAll(m[2], "&#34;", `"`), "&#43;", "+")
	}
	d.t.Fatalf("there is nothing to apply:\n%s", page)
	return ""
}

func TestSaveKeepsAndApplyBringsIntoForce(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := d.as()
	if r, page := d.post("/maintenance/ha", d.form(c, map[string]string{heartbeat: "2s"}), c); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s\n%s", r.Status, page)
	}
	if got := d.node.value(heartbeat); got != "10s" {
		t.Errorf("Save alone has set %s", got)
	}
	if _, page := d.get("/", c); !strings.Contains(page, "not applied") {
		t.Error("no page says that something was saved and not applied")
	}
	if r, page := d.post("/maintenance/ha/apply", url.Values{"version": {d.version(c)}}, c); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s\n%s", r.Status, page)
	}
	if got := d.node.value(heartbeat); got != "2s" {
		t.Errorf("Apply has set %s", got)
	}
	if got := d.node.asked[len(d.node.asked)-1]; !strings.HasPrefix(got, "anna: settings") {
		t.Errorf("the node was asked %s", got)
	}
}

func TestWhatIsNotPossibleIsNotSaved(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := d.as()
	for name, value := range map[string]string{heartbeat: "ten", failures: "0", recheck: "1s", startTime: "25:00", email: "nobody"} {
		r, page := d.post("/maintenance/ha", d.form(c, map[string]string{name: value}), c)
		if r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(page, name) {
			t.Errorf("%s %s: %s", name, value, r.Status)
		}
	}
}

func TestADangerousApplyWantsTheNameAndThePassword(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := d.as()
	f := d.form(c, nil)
	f.Set("node", "Active")
	d.post("/maintenance/ha", f, c)
	_, page := d.get("/maintenance/ha/apply", c)
	if !strings.Contains(page, "may lose") {
		t.Error("nothing says what it costs")
	}
	apply := url.Values{"version": {d.version(c)}, "reason": {"drill"}, "name": {"core1"}}
	if r, _ := d.post("/maintenance/ha/apply", apply, c); r.StatusCode != http.StatusUnprocessableEntity || len(d.node.asked) > 0 {
		t.Errorf("with another's name: %s, asked %v", r.Status, d.node.asked)
	}
	apply.Set("name", "core2")
	if r, _ := d.post("/maintenance/ha/apply", apply, c); r.StatusCode != http.StatusSeeOther {
		t.Errorf("with its own: %s", r.Status)
	}
	if want := `anna: role {"role":"primary","reason":"drill"}`; d.node.asked[0] != want {
		t.Errorf("the node was asked %s, want %s", d.node.asked[0], want)
	}
}

func TestASVS2_3_3ApplyIsTakenBackIfItsSecondHalfIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := d.as()
	f := d.form(c, map[string]string{heartbeat: "2s"})
	f.Set("enabled", "Disable")
	d.post("/maintenance/ha", f, c)
	d.node.refuse["ha"] = "a sync runs"
	r, page := d.post("/maintenance/ha/apply", url.Values{"version": {d.version(c)}, "reason": {"x"}, "name": {"core2"}}, c)
	if r.StatusCode != http.StatusConflict || !strings.Contains(page, "a sync runs") || !strings.Contains(page, "Do something else.") {
		t.Errorf("%s\n%.600s", r.Status, page)
	}
	if got := d.node.value(heartbeat); got != "10s" {
		t.Errorf("half of it is in force: %s", got)
	}
	if _, page := d.get("/maintenance/ha", c); !strings.Contains(page, "Saved and not applied") {
		t.Error("what was saved is gone")
	}
}

func TestASVS15_4_2OfTwoWhoApplyOneIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t)
	one, two := d.as(), d.as()
	f1, f2 := d.form(one, map[string]string{heartbeat: "2s"}), d.form(two, map[string]string{heartbeat: "3s"})
	d.post("/maintenance/ha", f1, one)
	if r, page := d.post("/maintenance/ha", f2, two); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(page, "Somebody else has saved") {
		t.Errorf("the second tab saves over the first: %s", r.Status)
	}
	version := d.version(one)
	d.node.mu.Lock()
	d.node.tag++ // failover config set, meanwhile
	d.node.mu.Unlock()
	if r, page := d.post("/maintenance/ha/apply", url.Values{"version": {version}}, one); r.StatusCode != http.StatusPreconditionFailed || !strings.Contains(page, "somebody else") {
		t.Errorf("settings that the command has changed are overwritten: %s", r.Status)
	}
	if got := d.node.value(heartbeat); got != "10s" {
		t.Errorf("it is %s", got)
	}
}

func TestTheNodesAPITakesATokenByItsRole(t *testing.T) {
	t.Parallel()
	d := open(t)
	viewer, _ := d.book.AddToken("nagios", account.Viewer, time.Time{})
	admin, _ := d.book.AddToken("ansible", account.Admin, time.Time{})
	for _, one := range []struct {
		method, token string
		want          int
	}{
		{"GET", "", 401}, {"GET", "wrong", 401}, {"GET", viewer, 200}, {"POST", viewer, 403}, {"POST", admin, 200},
	} {
		r, text := d.do(one.method, map[string]string{"GET": "/ha/v1/status", "POST": "/ha/v1/pause"}[one.method], nil, nil, func(r *http.Request) {
			if one.token != "" {
				r.Header.Set("Authorization", "Bearer "+one.token)
			}
		})
		if r.StatusCode != one.want {
			t.Errorf("%+v: %s %s", one, r.Status, text)
		}
	}
	if len(d.node.asked) != 1 || !strings.HasPrefix(d.node.asked[0], "ansible: pause") {
		t.Errorf("the node was asked %v", d.node.asked)
	}
	if r, _ := d.do("POST", "/ha/v1/pause", nil, d.as(), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); r.StatusCode != 403 {
		t.Errorf("another site's page, with a session: %s", r.Status)
	}
}

func TestWhatTheGuardsHaveStoppedIsLetThroughOnlyByAnAdminWhoMeansIt(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.node.status.LastSync = &nodeapi.Sync{At: time.Now(), From: "core1", Result: "Refused: guards", Detail: "if that is right: failover sync HOST --accept-deletions"}
	c := d.as()
	if _, page := d.get("/maintenance/sync-history", c); !strings.Contains(page, "accept what the guards found") {
		t.Error("nothing offers to let it through")
	}
	accept := url.Values{"host": {"core1"}, "reason": {"they were moved"}, "name": {"core1"}}
	if r, _ := d.post("/maintenance/ha/accept", accept, c); r.StatusCode != http.StatusUnprocessableEntity || len(d.node.asked) > 0 {
		t.Errorf("without the name: %s, asked %v", r.Status, d.node.asked)
	}
	accept.Set("name", "core2")
	d.post("/maintenance/ha/accept", accept, c)
	if want := `anna: sync {"host":"core1","accept":true,"reason":"they were moved"}`; len(d.node.asked) != 1 || d.node.asked[0] != want {
		t.Errorf("the node was asked %v, want %s", d.node.asked, want)
	}
}

// kept gives one archive, with a name that a hostile node might have chosen.
func kept(now time.Time) []nodeapi.Archive {
	return []nodeapi.Archive{{Generation: 8, At: now, From: "core1", Epoch: 3, Datasets: []nodeapi.Diverged{
		{Dataset: "files", Type: "files", Said: "2 files of 3 KB", Since: now.Add(-time.Hour), Files: 2, Bytes: 3000, Latest: []nodeapi.DivergedFile{{Path: "reports/<script>alert(1)</script>.pdf", Bytes: 3000, Changed: now, Only: true}}},
		{Dataset: "db", Type: "postgres", Said: "7 rows in 1 table", Tables: []nodeapi.DivergedTable{{Name: "public.device", Here: 107, Then: 100, There: -1}}, More: 2},
	}}}
}

func TestWhatOnlyThisServerHadIsShownDownloadedAndDroppedByAnAdmin(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.node.archives = kept(time.Now())
	d.node.status.Kept = []nodeapi.Kept{{Generation: 8, From: "core1"}}
	c := d.as()
	if _, page := d.get("/maintenance/sync-history", c); !strings.Contains(page, "/maintenance/archives") {
		t.Error("the Sync History does not lead to it")
	}
	_, page := d.get("/maintenance/archives", c)
	for _, want := range []string{"Before generation 8", "7 rows in 1 table", "107", "not known", "And 2 more tables", "&lt;script&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, "<script>alert") {
		t.Error("a file's name is markup")
	}

	d.node.tar = func(w http.ResponseWriter) { _, _ = w.Write([]byte("a tar file")) }
	export := url.Values{"do": {"download"}, "generation": {"8"}}
	r, body := d.post("/maintenance/archives", export, c)
	if got := r.Header.Get("Content-Disposition"); got != `attachment; filename="core2-8.tar"` || body != "a tar file" || r.Header.Get("Content-Type") != "application/x-tar" {
		t.Errorf("downloaded %q as %q, %s", body, got, r.Header.Get("Content-Type"))
	}
	d.node.refuse["diverged/9/export"] = "there is no archive of generation 9"
	if r, page := d.post("/maintenance/archives", url.Values{"do": {"download"}, "generation": {"9"}}, c); r.StatusCode != 409 || !strings.Contains(page, "no archive of generation 9") {
		t.Errorf("one that is not there: %s", r.Status)
	}
	if r, _ := d.post("/maintenance/archives", url.Values{"do": {"download"}, "generation": {"../status"}}, c); r.StatusCode != 400 {
		t.Errorf("no number: %s", r.Status)
	}

	d.node.asked = nil
	drop := url.Values{"do": {"drop"}, "generation": {"8"}, "reason": {"looked through"}, "name": {"core1"}}
	if r, _ := d.post("/maintenance/archives", drop, c); r.StatusCode != http.StatusUnprocessableEntity || len(d.node.asked) > 0 {
		t.Errorf("without the name: %s, asked %v", r.Status, d.node.asked)
	}
	drop.Set("name", "core2")
	d.post("/maintenance/archives", drop, c)
	if want := `anna: diverged/8 {"reason":"looked through"}`; len(d.node.asked) != 1 || d.node.asked[0] != want {
		t.Errorf("the node was asked %v, want %s", d.node.asked, want)
	}
}

// A node that breaks off in the middle of an archive takes neither the portal
// down, nor has a browser keep half of it for the whole.
func TestADownloadThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.node.archives = kept(time.Now())
	d.node.tar = func(w http.ResponseWriter) {
		_, _ = w.Write(bytes.Repeat([]byte("half"), 100_000))
		panic(http.ErrAbortHandler)
	}
	c := d.as()
	req, err := http.NewRequestWithContext(t.Context(), "POST", d.URL+Base+"/maintenance/archives", strings.NewReader(url.Values{"do": {"download"}, "generation": {"8"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.AddCookie(c)
	r, err := d.client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	if err == nil {
		t.Error("half of the archive was taken for the whole")
	}
	if _, page := d.get("/maintenance/archives", c); !strings.Contains(page, "Before generation 8") {
		t.Error("the portal does not go on")
	}
}

func TestAnEngineThatDoesNotAnswerIsShownAsThat(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := d.as()
	d.node.mu.Lock()
	d.node.settings = nil
	d.node.status = nodeapi.Status{Broken: "its file is damaged", State: ha.NotAvailable, Peer: nodeapi.PeerNow{Name: "core1"}}
	d.node.mu.Unlock()
	if _, page := d.get("/maintenance/failover", c); !strings.Contains(page, "This node decides nothing: its file is damaged.") {
		t.Errorf("%.900s", page)
	}
}

func TestEveryPageOfThePortalHasNoFaultOfAxeAndFitsEveryWindow(t *testing.T) {
	t.Parallel()
	d := open(t)
	now := time.Now()
	for i := range 20 {
		result := nodeapi.Success
		if i%7 == 3 {
			result = "Failure"
		}
		d.node.syncs = append(d.node.syncs, nodeapi.Sync{
			At: now.Add(time.Duration(i-20) * time.Hour), Started: now.Add(time.Duration(i-20)*time.Hour - time.Duration(30+i)*time.Second), From: "core1", Result: result,
			Generation: uint64(i), Tasks: []nodeapi.SyncTask{{Name: "transfer", Dataset: "db", Result: result, Duration: nodeapi.Span(time.Minute), Detail: "12 files"}},
		})
	}
	d.node.syncs[19].Result, d.node.syncs[19].Detail = "Refused: guards", "half of all files would be deleted; if that is right: failover sync HOST --accept-deletions"
	d.node.status.LastSync = &d.node.syncs[19]
	d.node.status.Agents = &nodeapi.Agents{Known: 5, Here: 3, Peer: 1, Silent: 1, Majority: "20s"}
	d.node.status.Fronts = []nodeapi.Opinion{{Front: "front1", Group: "mdm", Serving: "core1", Epoch: 3, At: now}}
	d.node.status.Sync = &nodeapi.SyncNow{Phase: "transfer", Dataset: "db", Since: now, Bytes: 3_000_000, Total: 9_000_000, Rate: 1_000_000}
	d.node.run = waits(now)
	d.node.archives = kept(now)
	d.node.status.Kept = []nodeapi.Kept{{Generation: 8, At: now, From: "core1"}}
	d.node.status.Paused = true
	b := webtest.Open(t)
	b.Go(d.URL + Base + "/")
	b.Fill("Name", "anna")
	b.Fill("Password", password)
	b.Axe("/login")
	b.Shot("portal-login")
	b.Press("Log in")
	b.Go(d.URL + Base + "/maintenance/ha/trusted")
	b.Fill("Hostname/IP", "192.0.2.10")
	b.Fill("SSH Key", "ssh-ed25519 AAAA")
	b.Press("Add SSH Key")
	b.Press("Test Connection")
	b.Sees("Test failed.")
	b.Axe("/test")
	for _, page := range []string{
		"/", "/maintenance/ha", "/maintenance/ha/trusted", "/maintenance/sync-history", "/maintenance/archives", "/maintenance/failover", "/maintenance/failover?do=primary", "/maintenance/failover?do=backup&pull=yes",
		"/maintenance/validation", "/maintenance/upgrade", "/settings/services", "/troubleshooting/logs", "/troubleshooting/logs?log=MICS&module=HighAvailability", "/nothing",
	} {
		b.Go(d.URL + Base + page)
		name := strings.Trim(strings.NewReplacer("/", "-", "?", "-", "&", "-").Replace(page), "-")
		for _, dark := range []bool{false, true} {
			b.Dark(dark)
			b.Axe(page)
		}
		b.Shot("portal-dark-" + name)
		b.Dark(false)
		for _, width := range []int64{360, 3840} {
			b.Size(width, 2160)
			b.Narrow(page)
		}
		b.Size(360, 740)
		b.Shot("portal-360-" + name)
		b.Size(1280, 900)
		b.Shot("portal-" + name)
	}
	for _, said := range b.Said() {
		if !strings.Contains(said, "status of 404") {
			t.Errorf("the browser says %q", said)
		}
	}
}

func TestWhatSomebodyHasBegunToFillInOutlivesEveryChangeOfThePage(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.node.status.Peer.Trusted = true
	b := d.login(t)
	b.Go(d.URL + Base + "/maintenance/failover")
	b.Tick("", "Check this box to pull a data-sync while becoming the primary")
	webtest.Eval[bool](b, `document.activeElement.blur(), true`)
	d.node.mu.Lock()
	d.node.status.Peer.Last, d.node.status.Peer.At = "connection refused", time.Now()
	d.node.mu.Unlock()
	d.site.Tell()
	b.Sees("connection refused")
	b.Press("Become Primary")
	b.Sees("A planned swap: core2 pulls a data-sync")
}

func TestAnOpenPageShowsThatTheEngineIsAwayAndThatItIsBack(t *testing.T) {
	t.Parallel()
	d := open(t)
	b := d.login(t)
	b.Go(d.URL + Base + "/")
	b.Sees("What would happen now")
	d.node.mu.Lock()
	d.node.away = true
	d.node.mu.Unlock()
	d.site.Tell()
	b.Sees("The node cannot be shown")
	d.node.mu.Lock()
	d.node.away = false
	d.node.mu.Unlock()
	d.site.Tell()
	b.Sees("What would happen now")
}

func TestServicesEnableWhatIsOptionalAndNothingElse(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := d.as()
	_, page := d.get("/settings/services", c)
	if !strings.Contains(page, `name="service atlas"`) || strings.Contains(page, `name="service db"`) {
		t.Errorf("%.2000s", page)
	}
	f := url.Values{"tag": {`"0"`}, "service atlas": {"Enable"}, "service db": {"Disable"}}
	if r, page := d.post("/settings/services", f, c); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s\n%.2000s", r.Status, page)
	}
	if want := `anna: services {"services":{"atlas":true}}`; len(d.node.asked) != 1 || d.node.asked[0] != want {
		t.Errorf("the node was asked %q, want %q", d.node.asked, want)
	}
	f.Set("service atlas", "Disable")
	if r, page := d.post("/settings/services", f, c); r.StatusCode != http.StatusPreconditionFailed || !strings.Contains(page, "press Apply again") {
		t.Errorf("over what another one has applied: %s\n%.2000s", r.Status, page)
	}
	if r, _ := d.post("/settings/services", url.Values{"service atlas": {"Enable"}}, c); r.StatusCode != http.StatusSeeOther || len(d.node.asked) != 2 {
		t.Errorf("nothing to apply: %s, asked %q", r.Status, d.node.asked)
	}
}

// waits gives a run that asks a person before the Primary is upgraded.
func waits(now time.Time) nodeapi.Run {
	return nodeapi.Run{
		Release: nodeapi.Told{Value: "11.11"}, Lock: &nodeapi.Lock{Run: "20261126-epmm", Number: 7, By: "anna", Since: now, Reason: "upgrade to 11.12"}, Heard: now,
		Jobs: []nodeapi.Job{{Do: "download", Version: "11.12", State: "done", Began: now, Said: "all is here"}},
		Course: &nodeapi.Course{
			Kind: "documented", Group: "mdm", To: "11.12", State: "waiting", Says: "It waits for a person before core1 is upgraded.", By: "anna", Host: "desk", Began: now.Add(-time.Hour),
			At: "UpgradePrimary/Upgrade", Since: now, Asks: "core1 serves nobody from here on for about 4 minutes, and there is no way back. Go on?",
			Back: []string{"Enable HA on core2", "Release the hold of front1"},
			Steps: []nodeapi.RunStep{
				{Name: "DisableHA", Guide: "1", Title: "Disable High Availability on core2", State: "done", Said: "High Availability: Disable", TookMS: 1400},
				{Name: "HoldRouters", Guide: "3", Title: "Hold every router", State: "done", TookMS: 300},
				{Name: "UpgradePrimary/Upgrade", Guide: "5", Title: "Upgrade core1", State: "waits"},
				{Name: "Release", Guide: "9", Title: "Release every router"},
			},
		},
	}
}

func TestARunIsAnsweredOnlyByAnAdminWhoNamesTheNode(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.node.run = waits(time.Now())
	c := d.as()
	_, page := d.get("/maintenance/upgrade", c)
	for _, want := range []string{"about 4 minutes, and there is no way back", "Approve: the run goes on with Upgrade core1", "undo 2 steps", "<li>Release the hold of front1</li>", "not begun"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	f := url.Values{"do": {"approve"}, "run": {"20261126-epmm"}, "step": {"UpgradePrimary/Upgrade"}, "reason": {"the window is open"}}
	if r, page := d.post("/maintenance/upgrade", f, c); r.StatusCode != http.StatusUnprocessableEntity || len(d.node.asked) > 0 || !strings.Contains(page, `value="the window is open"`) {
		t.Errorf("without the node's name: %s, asked %v", r.Status, d.node.asked)
	}
	f.Set("name", "core2")
	d.post("/maintenance/upgrade", f, c)
	abort := url.Values{"do": {"abort"}, "run": {"20261126-epmm"}, "reason": {"too late"}, "name": {"core2"}}
	d.node.refuse["run/answer"] = "UpgradePrimary has begun"
	if r, page := d.post("/maintenance/upgrade", abort, c); r.StatusCode != http.StatusConflict || !strings.Contains(page, "UpgradePrimary has begun") {
		t.Errorf("an abort that is refused: %s", r.Status)
	}
	want := []string{
		`anna: run/answer {"run":"20261126-epmm","number":0,"reason":"the window is open","step":"UpgradePrimary/Upgrade"}`,
		`anna: run/answer {"run":"20261126-epmm","number":0,"reason":"too late","abort":true}`,
	}
	if diff := cmp.Diff(want, d.node.asked); diff != "" {
		t.Errorf("the node was asked (-want +got):\n%s", diff)
	}
	d.node.run.Course.NoReturn, d.node.run.Silent = "UpgradePrimary", true
	d.node.run.Answers = []nodeapi.RunAnswer{{Step: "UpgradePrimary/Upgrade", By: "anna", Reason: "the window is open", At: time.Now()}}
	_, page = d.get("/maintenance/upgrade", c)
	for _, want := range []string{"no way back from it", "is not heard since", "has not taken that yet, for it is not at work"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, `value="abort"`) || strings.Contains(page, `value="approve"`) {
		t.Error("it offers what cannot be done")
	}
}
