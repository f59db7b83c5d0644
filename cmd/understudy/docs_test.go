package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/hatest"
)

// block is one fenced block of a page.
type block struct {
	page, at, kind, text string
}

// blocks gives every fenced block of README, CONTRIBUTING and docs/.
func blocks(t *testing.T) (all []block) {
	t.Helper()
	pages := []string{"../../README.md", "../../CONTRIBUTING.md"}
	if err := filepath.WalkDir("../../docs", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			pages = append(pages, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	fence := regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fence.FindAllSubmatchIndex(text, -1) {
			line := 1 + bytes.Count(text[:m[0]], []byte("\n"))
			all = append(all, block{page, at(page, line), string(text[m[2]:m[3]]), string(text[m[4]:m[5]])})
		}
	}
	return all
}

func at(page string, line int) string {
	return fmt.Sprintf("%s:%d", strings.TrimPrefix(page, "../../"), line)
}

// TestDocsBlocksAreTrue loads every configuration, parses every document and
// looks up every command of the pages: a page cannot name what is not there.
func TestDocsBlocksAreTrue(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	all := blocks(t)
	for _, b := range all {
		seen[b.kind]++
		switch b.kind {
		case "caddyfile":
			checkConfig(t, b)
		case "yaml":
			checkYAML(t, b, all)
		case "haproxy", "nginx", "keepalived", "template": // integration/balancers_test.go runs the real programs by them
			if !strings.HasPrefix(b.at, "docs/howto/") {
				t.Errorf("%s: nobody runs blocks of kind %s there", b.at, b.kind)
			}
		case "json":
			if !json.Valid([]byte(b.text)) {
				t.Errorf("%s: this is not JSON", b.at)
			}
		case "sh":
			for line := range strings.Lines(b.text) {
				checkCommand(t, b.at, line, makefile)
			}
		case "console": // the lines without a prompt are what it printed
			for _, m := range prompts.FindAllStringSubmatch(b.text, -1) {
				checkCommand(t, b.at, m[1], makefile)
			}
		case "", "text", "mermaid":
		default:
			t.Errorf("%s: nobody checks blocks of kind %q", b.at, b.kind)
		}
	}
	for _, kind := range []string{"caddyfile", "yaml", "json", "sh", "console"} {
		if seen[kind] == 0 {
			t.Errorf("no block of kind %s was found", kind)
		}
	}
}

func checkConfig(t *testing.T, b block) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, err bytes.Buffer
	s := &session{name: "understudy", args: []string{"check", "--config", file}, out: &out, err: &err, getenv: func(string) string { return "" }}
	if code := run(t.Context(), s); code != 0 {
		t.Errorf("%s: the configuration does not load:\n%s", b.at, err.String())
	}
}

// checkYAML checks a configuration of the sidecar in a folder that stands for
// the root of a machine, with the files that it names.
func checkYAML(t *testing.T, b block, all []block) {
	t.Helper()
	root := t.TempDir()
	authority, err := hatest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"upstream.tmpl": "", "tokens": "anna 0123456789abcdef\n", "hook": "secret\n", "ca.pem": string(authority.PEM())}
	const zone = "$TTL 300\n@ SOA ns1 hostmaster 1 3600 900 604800 60\n@ NS ns1\nns1 A 192.0.2.53\n"
	files["example.com.zone"], files["gtm.example.com.zone"] = zone, zone
	files["cert.pem"], files["key.pem"] = certificate(t, authority)
	for _, other := range all {
		if other.page == b.page && other.kind == "template" {
			files["upstream.tmpl"] = other.text
		}
	}
	etc := filepath.Join(root, "etc", "understudy")
	for _, dir := range []string{etc, filepath.Join(root, "etc", "nginx"), filepath.Join(root, "run", "understudy")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := regexp.MustCompile(`/(etc|run|var/lib)/`).ReplaceAllString(b.text, root+"/$1/")
	files["sidecar.yaml"] = text
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := runs(t, nil, "check", "--config", filepath.Join(etc, "sidecar.yaml"))
	if r.code != 0 {
		t.Errorf("%s: the configuration does not load:\n%s", b.at, r.err)
	}
}

// certificate gives a certificate and its key in PEM.
func certificate(t *testing.T, a *hatest.Authority) (cert, key string) {
	t.Helper()
	c, err := a.Certificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

var (
	words = regexp.MustCompile(`"[^"]*"|\S+`)
	// prompts are "$ ", or "core1# " where several machines have consoles.
	prompts = regexp.MustCompile(`(?m)^(?:\$|\w+#) (.*)$`)
)

// checkCommand finds the command that a line runs, and its flags.
func checkCommand(t *testing.T, at, line string, makefile []byte) {
	t.Helper()
	line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
	args := words.FindAllString(line, -1)
	if len(args) == 0 || strings.HasPrefix(args[0], "#") {
		return
	}
	if args[0] == "failover" {
		args = append([]string{"understudy"}, args...)
	}
	switch args[0] {
	case "make":
		for _, target := range args[1:] {
			if !strings.Contains(target, "=") && !bytes.Contains(makefile, []byte("\n"+target+":")) {
				t.Errorf("%s: make has no target %s", at, target)
			}
		}
	case "understudy", "bin/understudy":
		if len(args) > 1 && args[1] == "caddy" {
			return
		}
		var out, err bytes.Buffer
		s := &session{name: "understudy", args: append(args[1:], "--help"), out: &out, err: &err, getenv: func(string) string { return "" }}
		if code := run(t.Context(), s); code != 0 || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%s: %s does not exist: %s", at, line, err.String())
		}
	case "git", "go", "curl", "tools/deps.sh", "sudo", "systemctl":
	default:
		t.Errorf("%s: nobody knows the command %s", at, args[0])
	}
}
