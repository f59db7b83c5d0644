package caddymodule

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/google/go-cmp/cmp"
	_ "github.com/mholt/caddy-l4"
)

func adapt(t *testing.T, text string) ([]byte, error) {
	t.Helper()
	doc, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	return doc, err
}

// TestFaultsNameTheirLineAllAtOnce runs the blocks of testdata/faults.txt: a
// Caddyfile, then after "=>" a line for each fault that must be named.
func TestFaultsNameTheirLineAllAtOnce(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(string(text), "\n----\n") {
		name, rest, _ := strings.Cut(strings.TrimLeft(block, "\n"), "\n")
		config, want, ok := strings.Cut(rest, "\n=>\n")
		if !ok {
			t.Fatalf("block %q has no =>", name)
		}
		t.Run(strings.TrimPrefix(name, "# "), func(t *testing.T) {
			t.Parallel()
			_, err := adapt(t, config)
			if err == nil {
				t.Fatal("no fault was found")
			}
			for line := range strings.SplitSeq(strings.TrimSpace(want), "\n") {
				if !strings.Contains(err.Error(), line) {
					t.Errorf("not named: %s\nin: %v", line, err)
				}
			}
			if got, want := strings.Count(err.Error(), "\n")+1, strings.Count(strings.TrimSpace(want), "\n")+1; got != want {
				t.Errorf("%d faults were named, want %d: %v", got, want, err)
			}
		})
	}
}

func TestTheExampleAdaptsWithoutAWarning(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := adapt(t, string(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(caddyfile.Format(text)), string(text)); diff != "" {
		t.Errorf("it is not formatted:\n%s", diff)
	}
	faults, warnings := Check(doc)
	if len(faults)+len(warnings) > 0 {
		t.Errorf("faults %v, warnings %v", faults, warnings)
	}
}

func TestTheDirectiveBecomesAProxyThatOnlyTheGroupSteers(t *testing.T) {
	t.Parallel()
	doc, err := adapt(t, `{
	understudy {
		group mdm {
			node core1 https://192.0.2.10
			node core2 https://192.0.2.11:8443
			probe {
				host mdm.example.com
				tls_ca /etc/ssl/corp.pem
			}
		}
	}
}
http://mdm.example.com {
	understudy /app/* mdm {
		queue_timeout 0
		queue_max 7
		header_up X-Front one
		transport http {
			dial_timeout 1s
		}
		flush_interval -1
	}
}`)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct {
					Routes []struct {
						Handle []struct {
							Routes []struct {
								Match  []json.RawMessage
								Handle []json.RawMessage
							}
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal(doc, &got); err != nil {
		t.Fatal(err)
	}
	route := got.Apps.HTTP.Servers["srv0"].Routes[0].Handle[0].Routes[0]
	var one, want any
	if err := json.Unmarshal(route.Handle[0], &one); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/directive.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, one); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCheckTellsWhatIsUnwise(t *testing.T) {
	t.Parallel()
	doc, err := adapt(t, `{
	understudy {
		state_dir `+t.TempDir()+`
		group mdm {
			node core1 http://192.0.2.10
			node core2 http://192.0.2.11
			probe {
				profile generic
				interval 1s
				fast_interval 2s
				primary_path /p
				primary_expect ^OK$
				standby_path /s
				standby_expect "Mode: .*"
				acting_expect Acting
			}
		}
	}
}`)
	if err != nil {
		t.Fatal(err)
	}
	faults, warnings := Check(doc)
	if len(faults) != 0 || len(warnings) != 4 {
		t.Errorf("faults %q, warnings %q", faults, warnings)
	}
}
