package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// withConsole has the demo's sidecar listen for browsers too. Its api is the
// last line of the configuration.
func (d *demo) withConsole(config string) (string, error) {
	at, err := freeAddress()
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(d.dir, "tokens"), []byte("demo "+rand.Text()+"\n"), 0o600); err != nil {
		return "", err
	}
	d.aide.console = at
	return strings.TrimSuffix(config, "}\n") + fmt.Sprintf(", listen: %q, token_file: tokens}\n", at), nil
}

var portalListens = regexp.MustCompile(`(?m)^portal: \{listen: "([^"]+)"`)

// greetPages tells where the pages are for browsers, and the codes of their
// first start.
func (d *demo) greetPages() {
	code := func(dir string) string {
		text, err := os.ReadFile(filepath.Join(dir, "setup-code"))
		if err != nil {
			return "the setup code stands in the log"
		}
		return "setup code " + strings.TrimSpace(string(text))
	}
	fmt.Fprintf(d.out, "  browser    http://%s/console/   %s\n", d.aide.console, code(filepath.Join(d.dir, "state", "console")))
	nodes, _ := filepath.Glob(filepath.Join(d.dir, "*", "node.yaml")) // the pattern is good
	for _, file := range nodes {
		text, err := os.ReadFile(file)
		if m := portalListens.FindSubmatch(text); err == nil && m != nil {
			home := filepath.Dir(file)
			fmt.Fprintf(d.out, "             https://%s/mics   %s   (%s, its certificate is its own)\n", m[1], code(filepath.Join(home, "data", "portal")), filepath.Base(home))
		}
	}
	fmt.Fprintln(d.out)
}
