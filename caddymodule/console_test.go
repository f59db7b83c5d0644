package caddymodule

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

// withConsole gives a Caddyfile whose site has the console, and its state_dir.
func withConsole(t *testing.T, directive string) (text, state string) {
	t.Helper()
	state = filepath.Join(t.TempDir(), "state")
	return fmt.Sprintf("{\n\tadmin off\n\tunderstudy {\n\t\tstate_dir %s\n\t\tgroup mdm {\n\t\t\tnode core1 http://192.0.2.10\n\t\t\tnode core2 http://192.0.2.11\n\t\t}\n\t}\n}\nhttp://127.0.0.1:9 {\n\t%s\n}\n", state, directive), state
}

func TestAConsoleThatIsOnlyCheckedOpensNothing(t *testing.T) {
	text, state := withConsole(t, "understudy_console {\n\t\thosts console.example.com\n\t}")
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(config), `"handler":"understudy_console","hosts":["console.example.com"]`) {
		t.Errorf("the configuration is %s", config)
	}
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &c); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&c); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(state, "console")); err == nil {
		t.Error("a check has made a setup code")
	}
}

func TestWhatTheConsoleDoesNotKnowIsAFault(t *testing.T) {
	t.Parallel()
	for _, directive := range []string{"understudy_console mdm more", "understudy_console {\n\t\thost x\n\t}", "understudy_console {\n\t\thosts\n\t}"} {
		text, _ := withConsole(t, directive)
		if _, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil); err == nil {
			t.Errorf("%s is taken", directive)
		}
	}
}
