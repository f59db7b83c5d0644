package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/understudy-ha/understudy"

// layers gives the rooms from the bottom up. A room is a folder with all
// folders below it; it imports only rooms of lower layers.
var layers = [][]string{
	1: {"internal/ha"},
	2: {"internal/statefile", "internal/hatest"},
	3: {"probes", "web", "internal/api", "internal/register", "internal/remote", "internal/notify", "internal/config"},
	4: {"caddymodule", "dnsgtm", "upgrade", "haengine"},
	5: {"cmd", "integration", "internal/arch"},
}

// Why a room does not import another one of its own layer.
var apart = []string{
	2: "statefile and hatest have nothing to say to one another",
	3: "rooms of this layer are read and tested alone; only web may use internal/api",
	4: "caddymodule, dnsgtm, upgrade and haengine never know one another: what two of them share lives lower",
	5: "nothing stands on the top layer",
}

// decides lists what internal/ha may import: it gets time and facts as
// arguments and gives decisions back, so it needs no way to look or to act.
var decides = []string{"cmp", "errors", "fmt", "net/netip", "slices", "strconv", "strings", "time"}

// clock lists what of package time internal/ha may not use.
var clock = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}

// Homes that are not rooms.
const (
	inTests   = "tests"
	inMetrics = "any metrics.go"
)

// homes gives every outside library its place, by the beginning of its import
// path. Tests of integration may use them all, for they talk to the real thing.
var homes = map[string][]string{
	"github.com/VictoriaMetrics/metrics":  {inMetrics},
	"github.com/anishathalye/porcupine":   {inTests},
	"github.com/caddyserver/caddy/v2":     {"caddymodule", "cmd"},
	"github.com/cenkalti/backoff/v5":      {"internal/notify"},
	"github.com/chromedp/cdproto":         {inTests}, // the words that chromedp speaks
	"github.com/chromedp/chromedp":        {inTests},
	"github.com/coreos/go-systemd/v22":    {"cmd"},
	"github.com/emersion/go-sasl":         {inTests},
	"github.com/emersion/go-smtp":         {inTests},
	"github.com/fsnotify/fsnotify":        {"internal/register"},
	"github.com/go-sql-driver/mysql":      {"haengine"},
	"github.com/google/go-cmp":            {inTests},
	"github.com/jackc/pgx/v5":             {"haengine"},
	"github.com/mholt/caddy-l4":           {"caddymodule", "cmd"},
	"github.com/miekg/dns":                {"dnsgtm"},
	"github.com/pires/go-proxyproto":      {"caddymodule"},
	"github.com/prometheus/client_golang": {"caddymodule"},
	"github.com/prometheus/client_model":  {"caddymodule"},
	"github.com/prometheus/common":        {"caddymodule"},
	"github.com/rogpeppe/go-internal":     {inTests},
	"github.com/skeema/knownhosts":        {"internal/remote"},
	"github.com/sony/gobreaker/v2":        {"probes", "internal/notify", "internal/remote"},
	"github.com/spf13/cobra":              {"cmd", "caddymodule"},
	"github.com/valyala/fasthttp":         {"probes"},
	"github.com/wneessen/go-mail":         {"internal/notify"},
	"go.etcd.io/bbolt":                    {"haengine"},
	"go.etcd.io/etcd":                     {"internal/register"},
	"go.uber.org/zap":                     {"caddymodule", "internal/register"}, // etcd logs through it
	"go.yaml.in/yaml/v3":                  {"internal/config"},
	"golang.org/x/crypto/argon2":          {"web"},
	"golang.org/x/crypto/ssh":             {"internal/remote"},
	"golang.org/x/sys":                    {"dnsgtm", "haengine", "cmd"}, // cmd: how wide a terminal is
	"modernc.org/sqlite":                  {"haengine"},
	"pgregory.net/rapid":                  {inTests},
}

func TestEveryImportIsAllowed(t *testing.T) {
	for _, fault := range importFaults(house(t)) {
		t.Error(fault)
	}
}

// source is one Go file of the house.
type source struct {
	path  string // from the module's root, with slashes
	lines int
	fset  *token.FileSet
	file  *ast.File
}

// test says whether a file is there for tests alone: one of a package, or one
// of a suite that several packages run, such as register/registertest.
func (s source) test() bool {
	room := path.Base(path.Dir(s.path))
	return strings.HasSuffix(s.path, "_test.go") || (strings.HasSuffix(room, "test") && room != "hatest")
}

func (s source) at(pos token.Pos) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(pos).Line)
}

func parse(path string, text []byte) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	return source{path, bytes.Count(text, []byte("\n")), fset, file}, err
}

// house reads every Go file of the module, whatever its build constraints.
func house(t *testing.T) []source {
	t.Helper()
	const root = "../.."
	var sources []source
	err := filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && at != root && foreign(at):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(at) != ".go":
			return nil
		}
		text, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, at)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(rel), text)
		sources = append(sources, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 3 {
		t.Fatalf("found only %d Go files below %s", len(sources), root)
	}
	return sources
}

// foreign says whether the go command leaves a folder out of the module.
func foreign(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	name := filepath.Base(dir)
	return err == nil || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "vendor"
}

// importFaults gives one line for each import that the house does not allow,
// with the reason.
func importFaults(sources []source) []string {
	var faults []string
	for _, s := range sources {
		if layer, _ := placeOf(s.path); layer == 0 {
			faults = append(faults, s.path+": stands in no room; give its folder a layer in internal/arch/arch_test.go")
			continue
		}
		for _, spec := range s.file.Imports {
			if why := whyNot(s, strings.Trim(spec.Path.Value, "`\"")); why != "" {
				faults = append(faults, fmt.Sprintf("%s: may not import %s: %s", s.at(spec.Pos()), spec.Path.Value, why))
			}
		}
		faults = append(faults, clockFaults(s)...)
	}
	return faults
}

// placeOf gives the layer and the room of a file or package, 0 if it has none.
func placeOf(at string) (layer int, room string) {
	for layer, rooms := range layers {
		for _, room := range rooms {
			if within(at, room) {
				return layer, room
			}
		}
	}
	return 0, ""
}

func within(at, prefix string) bool { return at == prefix || strings.HasPrefix(at, prefix+"/") }

// whyNot gives the reason why a file may not import a package, or "".
func whyNot(s source, pkg string) string {
	_, room := placeOf(s.path)
	standard := !strings.Contains(strings.Split(pkg, "/")[0], ".")
	switch {
	case pkg == "C":
		return "the product is one static binary without cgo"
	case within(pkg, module):
		return whyNotOurs(s, strings.TrimPrefix(pkg, module+"/"))
	case room == "internal/ha" && !s.test() && !slices.Contains(decides, pkg):
		return "internal/ha decides and does nothing else; it may import " + strings.Join(decides, " ")
	case standard:
		return ""
	}
	return whyNotOutside(s, room, pkg)
}

// whyNotOurs is whyNot for the house's own packages. Tests keep the layers
// too, but for internal/hatest.
func whyNotOurs(s source, pkg string) string {
	from, room := placeOf(s.path)
	to, target := placeOf(pkg)
	switch {
	case to == 0:
		return pkg + " stands in no room; give it a layer in internal/arch/arch_test.go"
	case target == room:
		return ""
	case from > 1 && target == "internal/hatest" && (s.test() || from == len(layers)-1):
		return ""
	case target == "internal/hatest":
		return "a node that lies on demand belongs in tests and in the demo"
	case room == "web" && target == "internal/api":
		return ""
	case to == from:
		return apart[from]
	case to > from:
		return fmt.Sprintf("imports point down, and %s (layer %d) lies below %s (layer %d)", room, from, target, to)
	}
	return ""
}

func whyNotOutside(s source, room, pkg string) string {
	library := ""
	for l := range homes {
		if within(pkg, l) {
			library = l
		}
	}
	home := homes[library]
	switch {
	case library == "":
		return "it has no home; a new dependency is a decision: say why in the commit and enter it in internal/arch/arch_test.go"
	case slices.Contains(home, room), s.test() && room == "integration":
		return ""
	case s.test() && slices.Contains(home, inTests):
		return ""
	case path.Base(s.path) == "metrics.go" && slices.Contains(home, inMetrics):
		return ""
	}
	return "its home is " + strings.Join(home, " and ")
}

// clockFaults gives the places where internal/ha looks at a clock.
func clockFaults(s source) []string {
	if _, room := placeOf(s.path); room != "internal/ha" || s.test() {
		return nil
	}
	var faults []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains(clock, sel.Sel.Name) {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
				faults = append(faults, fmt.Sprintf("%s: may not use time.%s: internal/ha is given the time", s.at(n.Pos()), sel.Sel.Name))
			}
		}
		return true
	})
	return faults
}

func TestForbiddenImportsAreReported(t *testing.T) {
	const ours = module + "/"
	tests := []struct{ path, imports, want string }{
		{"internal/ha/next.go", "log/slog", "internal/ha decides"},
		{"internal/ha/next.go", "context", "internal/ha decides"},
		{"internal/ha/metrics.go", "github.com/VictoriaMetrics/metrics", "internal/ha decides"},
		{"internal/ha/next.go", ours + "internal/statefile", "imports point down"},
		{"internal/ha/next_test.go", ours + "probes", "imports point down"},
		{"internal/ha/next_test.go", ours + "internal/hatest", "belongs in tests"},
		{"internal/statefile/write.go", ours + "internal/register", "imports point down"},
		{"internal/statefile/write.go", ours + "internal/hatest", "belongs in tests"},
		{"internal/hatest/node.go", ours + "internal/statefile", "nothing to say"},
		{"probes/watch.go", ours + "caddymodule", "imports point down"},
		{"probes/watch.go", ours + "internal/register", "tested alone"},
		{"probes/watch_test.go", ours + "internal/register", "tested alone"},
		{"internal/api/client.go", ours + "web", "tested alone"},
		{"caddymodule/app.go", ours + "dnsgtm", "never know one another"},
		{"dnsgtm/answer_test.go", ours + "haengine", "never know one another"},
		{"upgrade/run.go", ours + "haengine/pages", "never know one another"},
		{"haengine/act.go", ours + "upgrade", "never know one another"},
		{"caddymodule/app.go", ours + "internal/hatest", "belongs in tests"},
		{"caddymodule/app.go", ours + "cmd/understudy", "imports point down"},
		{"cmd/understudy/main.go", ours + "integration", "nothing stands on the top"},
		{"cmd/understudy/main.go", ours + "pkg/util", "stands in no room"},
		{"pkg/util/util.go", "fmt", "stands in no room"},
		{"main.go", "fmt", "stands in no room"},
		{"probes/check.go", "C", "without cgo"},
		{"probes/check.go", "github.com/sirupsen/logrus", "has no home"},
		{"probes/watch_test.go", "github.com/stretchr/testify/assert", "has no home"},
		{"dnsgtm/server.go", "github.com/valyala/fasthttp/fasthttpadaptor", "its home is probes"},
		{"probes/check.go", "github.com/VictoriaMetrics/metrics", "its home is any metrics.go"},
		{"probes/metrics.go", "github.com/prometheus/client_golang/prometheus", "its home is caddymodule"},
		{"web/login.go", "golang.org/x/crypto/ssh", "its home is internal/remote"},
		{"upgrade/plan.go", "github.com/spf13/cobra", "its home is cmd and caddymodule"},
		{"dnsgtm/zone.go", "github.com/fsnotify/fsnotify", "its home is internal/register"},
		{"cmd/understudy/config.go", "go.yaml.in/yaml/v3", "its home is internal/config"},
		{"probes/watch.go", "github.com/google/go-cmp/cmp", "its home is tests"},
		{"cmd/understudy/front.go", "go.etcd.io/etcd/client/v3", "its home is internal/register"},
		{"haengine/relay.go", "github.com/mholt/caddy-l4/layer4", "its home is caddymodule and cmd"},
	}
	for _, tt := range tests {
		got := importFaults([]source{written(t, tt.path, fmt.Sprintf("package p\nimport %q\n", tt.imports))})
		if len(got) != 1 || !strings.Contains(got[0], tt.want) {
			t.Errorf("%s imports %s: got %q, want one fault that says %q", tt.path, tt.imports, got, tt.want)
		}
	}
}

func TestAllowedImportsPass(t *testing.T) {
	const ours = module + "/"
	tests := []struct{ path, imports string }{
		{"internal/ha/next.go", "net/netip"},
		{"internal/ha/next_test.go", "os"},
		{"internal/ha/next_test.go", "pgregory.net/rapid"},
		{"internal/hatest/node.go", ours + "internal/ha"},
		{"internal/statefile/write_test.go", ours + "internal/hatest"},
		{"probes/watch_test.go", ours + "internal/hatest"},
		{"probes/metrics.go", "github.com/VictoriaMetrics/metrics"},
		{"web/console.go", ours + "internal/api"},
		{"web/login.go", "golang.org/x/crypto/argon2"},
		{"caddymodule/app.go", ours + "internal/register"},
		{"caddymodule/app.go", "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"},
		{"caddymodule/cli.go", "github.com/spf13/cobra"},
		{"haengine/files/pull.go", ours + "haengine/generation"},
		{"cmd/understudy/demo.go", ours + "internal/hatest"},
		{"cmd/understudy/front.go", ours + "caddymodule"},
		{"integration/dns_test.go", "github.com/miekg/dns"},
		{"integration/story_test.go", "github.com/rogpeppe/go-internal/testscript"},
	}
	for _, tt := range tests {
		got := importFaults([]source{written(t, tt.path, fmt.Sprintf("package p\nimport %q\n", tt.imports))})
		if len(got) != 0 {
			t.Errorf("%s imports %s: got %q, want no fault", tt.path, tt.imports, got)
		}
	}
}

func TestAClockInTheDecidingRoomIsReported(t *testing.T) {
	const text = "package p\nimport \"time\"\nvar _ = time.Now()\nvar _ = time.Second\n"
	got := importFaults([]source{written(t, "internal/ha/next.go", text)})
	if len(got) != 1 || !strings.HasPrefix(got[0], "internal/ha/next.go:3: may not use time.Now") {
		t.Errorf("got %q, want one fault in line 3", got)
	}
	for _, free := range []string{"internal/ha/next_test.go", "probes/watch.go"} {
		if got := importFaults([]source{written(t, free, text)}); len(got) != 0 {
			t.Errorf("%s: got %q, want no fault", free, got)
		}
	}
}

// written gives a source that is in no file.
func written(t *testing.T, path, text string) source {
	t.Helper()
	s, err := parse(path, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
