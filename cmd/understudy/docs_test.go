package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block is one fenced block of a page.
type block struct {
	at, kind, text string
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
			all = append(all, block{at(page, line), string(text[m[2]:m[3]]), string(text[m[4]:m[5]])})
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
	for _, b := range blocks(t) {
		seen[b.kind]++
		switch b.kind {
		case "caddyfile":
			checkConfig(t, b)
		case "json":
			if !json.Valid([]byte(b.text)) {
				t.Errorf("%s: this is not JSON", b.at)
			}
		case "sh", "console":
			for line := range strings.Lines(b.text) {
				checkCommand(t, b.at, line, makefile)
			}
		case "", "text", "mermaid":
		default:
			t.Errorf("%s: nobody checks blocks of kind %q", b.at, b.kind)
		}
	}
	for _, kind := range []string{"caddyfile", "json", "sh", "console"} {
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

var words = regexp.MustCompile(`"[^"]*"|\S+`)

// checkCommand finds the command that a line runs, and its flags; in a console
// block the lines without a prompt are what it printed.
func checkCommand(t *testing.T, at, line string, makefile []byte) {
	t.Helper()
	line, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "$ "), " #")
	args := words.FindAllString(line, -1)
	if len(args) == 0 || strings.HasPrefix(args[0], "#") {
		return
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
	case "git", "go", "curl", "tools/deps.sh", "sudo":
	default:
		t.Errorf("%s: nobody knows the command %s", at, args[0])
	}
}
