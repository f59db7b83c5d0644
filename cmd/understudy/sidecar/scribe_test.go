package sidecar

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

const upstream = `{{with group "mdm"}}# epoch {{.Epoch}}
{{range .Nodes}}server {{.Dial}}{{if not .Serving}} down{{end}};
{{end}}{{end}}`

// wrote gives the number of times that the command of the tests has run.
func (h *house) ran() int { return strings.Count(h.read("ran"), "x\n") }

// then is a command that counts itself.
func (h *house) then() string {
	return `[sh, -c, "echo x >> ` + filepath.Join(h.dir, "ran") + `"]`
}

func TestAFileFollowsTheDecisions(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.file("t.tmpl", upstream)
	h.says("api: {socket: s.sock}\nfiles: [{template: t.tmpl, to: out.conf, then: " + h.then() + "}]")
	h.mustOpen()
	file := func(epoch, one, two string) string {
		return "# epoch " + epoch + "\nserver " + h.core1.Addr().String() + one + ";\nserver " + h.core2.Addr().String() + two + ";\n"
	}
	h.await("the file is written and followed by its command", func() bool { return h.read("out.conf") == file("1", "", " down") && h.ran() == 1 })
	h.core1.Kill()
	h.await("it names core2", func() bool {
		return h.read("out.conf") == file("2", " down", "") && strings.Count(h.logged(), "command done") == 2
	})
	h.close() // and a second life with the same decision runs nothing
	if err := h.open(); err != nil {
		t.Fatal(err)
	}
	h.await("core2 serves again", func() bool {
		return h.situation().Traffic.Serving == "core2" && len(h.situation().View) == 2 && h.situation().View.Complete()
	})
	h.core1.Start()
	h.await("another decision", func() bool { return h.situation().Decision.Row == 1 })
	if h.ran() != 2 {
		t.Errorf("the command ran %d times, want 2", h.ran())
	}
	if info, err := os.Stat(filepath.Join(h.dir, "out.conf")); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the file has mode %v, want 0644 (%v)", info.Mode(), err)
	}
}

func TestACommandThatIsOwedRunsInTheNextLife(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.file("t.tmpl", upstream)
	h.says("api: {socket: s.sock}\nfiles: [{template: t.tmpl, to: out.conf, then: [/nowhere/at/all]}]")
	h.mustOpen()
	h.await("the file is written", func() bool { return h.read("out.conf") != "" })
	h.await("the failure is told", func() bool { return strings.Contains(h.logged(), "a load balancer is not told") })
	h.close()
	h.says("api: {socket: s.sock}\nfiles: [{template: t.tmpl, to: out.conf, then: " + h.then() + "}]")
	if err := h.open(); err != nil {
		t.Fatal(err)
	}
	h.await("the command ran though the file did not differ", func() bool { return h.ran() == 1 })
}

func TestACommandThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.file("t.tmpl", upstream)
	flag := filepath.Join(h.dir, "flag")
	h.says(`api: {socket: s.sock}
files: [{template: t.tmpl, to: out.conf, then: [sh, -c, "test -e ` + flag + ` || { echo 'no flag'; exit 1; }"]}]`)
	h.mustOpen()
	h.await("the failure is told with what the command said, once it is not the first", func() bool {
		told := strings.Index(h.logged(), "a load balancer is not told")
		return told > strings.Index(h.logged(), "no flag") && told > 0
	})
	if !h.scribe.pages[0].failing() {
		t.Error("nothing is failing")
	}
	h.file("flag", "")
	h.await("it is tried again by itself", func() bool { return strings.Contains(h.logged(), "a load balancer is told again") })
}

// A group in trouble has news every moment, and a failing command must not run
// at each of them.
func TestNewsThatChangeNoFileDoNotHurryAFailingCommand(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.file("t.tmpl", `{{range .Groups}}{{.Serving}}{{end}}`)
	h.says("api: {socket: s.sock}\nfiles: [{template: t.tmpl, to: out.conf, then: [sh, -c, \"echo x >> " + filepath.Join(h.dir, "ran") + "; exit 1\"]}]")
	h.mustOpen()
	h.await("the command fails", func() bool { return h.scribe.pages[0].failing() })
	before := h.ran()
	begun := time.Now()
	for range 10 {
		h.core2.Set(ha.NotAvailable)
		h.await("it is seen", func() bool { return h.situation().View.Of("core2").Last.State == ha.NotAvailable })
		h.core2.Set(ha.Standby)
		h.await("it is seen", func() bool { return h.situation().View.Of("core2").Last.State == ha.Standby })
	}
	if n, most := h.ran()-before, 1+int(time.Since(begun)/firstAgain); n > most {
		t.Errorf("the command ran %d times within %s, want at most %d", n, time.Since(begun), most)
	}
}

func TestATemplateThatCanFailIsFoundBefore(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{{`:                             "unclosed action",
		`{{.Nobody}}`:                    "can't evaluate field Nobody",
		`{{with group "sentry"}}{{end}}`: `there is no group "sentry"; there are: mdm`,
		`{{range .Groups}}{{range .Nodes}}{{if .Serving}}{{.Nothing}}{{end}}{{end}}{{end}}`: "can't evaluate field Nothing",
		`{{with group "mdm"}}{{if not .Serving}}{{.Nothing}}{{end}}{{end}}`:                 "can't evaluate field Nothing",
		`{{with group "mdm"}}{{if eq .Serving "core2"}}{{index .Nodes 7}}{{end}}{{end}}`:    "out of range",
		`{{range 2000000}}x{{end}}`:                             "it makes more than 1048576 bytes",
		`{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`: "exceeded maximum template depth",
	} {
		h := newHouse(t)
		h.file("t.tmpl", text)
		h.says("api: {socket: s.sock}\nfiles: [{template: t.tmpl, to: out.conf}]")
		err := h.open()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "sidecar.yaml:4:") {
			t.Errorf("%s: got %v, want %q with its place", text, err, want)
		}
		if h.read("out.conf") != "" {
			t.Errorf("%s: something was written", text)
		}
	}
}
