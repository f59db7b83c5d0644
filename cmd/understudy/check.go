package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/caddymodule"
	"github.com/understudy-ha/understudy/cmd/understudy/sidecar"
	"github.com/understudy-ha/understudy/internal/config"
)

// exitConfig is the exit code of a faulty configuration.
const exitConfig = 2

const readCaddyfile = "Caddyfile.example"

// validating is held while Caddy validates, which keeps what it does in variables
// of its package.
var validating sync.Mutex

func validate(config *caddy.Config) error {
	validating.Lock()
	defer validating.Unlock()
	return caddy.Validate(config)
}

func newCheck(s *session) *cobra.Command {
	var paths []string
	cmd := &cobra.Command{
		Use:   "check --config FILE...",
		Short: "Check a configuration: every fault at once, with its line",
		Long: `Check a configuration: a sidecar's, a node's, an upgrade's or a register's where
the name ends in .yaml or .yml, Caddy's JSON where it ends in .json, else a
Caddyfile. Nothing is started, nothing is written, no node is asked.

Every fault is reported at once with its line, and the exit code is 2. What is
legal but unwise is told, and the exit code is 0.

With --config several times it is also told where the files do not fit together:
a group that is kept in two registers, watchers of one name.`,
		Args: nothing,
	}
	cmd.Flags().StringArrayVar(&paths, "config", nil, "the file; may be given several times")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(paths) == 0 {
			return misuse(cmd, "--config FILE is missing")
		}
		return s.checkAll(cmd.Context(), paths)
	}
	return cmd
}

func (s *session) check(path string) error {
	body, err := os.ReadFile(path) // #nosec G304 -- the person's own file
	if err != nil {
		return &failure{exitConfig, "understudy: nothing was checked", err.Error(), "Name a file that can be read.", readCaddyfile}
	}
	doc, warnings, err := adapt(path, body)
	if err != nil {
		return s.faulty(path, body, refused(path, body, err))
	}
	faults, unwise := caddymodule.Check(doc)
	if len(faults) > 0 {
		return s.faulty(path, body, faults)
	}
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(caddy.RemoveMetaFields(doc), &config); err != nil {
		return s.faulty(path, body, []string{err.Error()})
	}
	config.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "ERROR"}}}}
	if err := validate(&config); err != nil {
		if known := ownFaults(path, body); len(known) > 0 { // the same, with its place
			return s.faulty(path, body, known)
		}
		return s.faulty(path, body, strings.Split(err.Error(), "\n"))
	}
	for _, w := range append(warnings, unwise...) {
		fmt.Fprintf(s.err, "%s: warning: %s\n", path, w)
	}
	fmt.Fprintf(s.out, "%s: no fault\n", path)
	return nil
}

// adapt gives the JSON of a configuration, and the adapter's warnings.
func adapt(path string, body []byte) (doc []byte, warnings []string, err error) {
	if strings.HasSuffix(path, ".json") {
		if !json.Valid(body) {
			err = errors.New("this is not JSON")
		}
		return body, nil, err
	}
	doc, told, err := caddyconfig.GetAdapter("caddyfile").Adapt(body, map[string]any{"filename": path})
	for _, w := range told {
		warnings = append(warnings, fmt.Sprintf("line %d: %s", w.Line, w.Message))
	}
	return doc, warnings, err
}

// refused gives the faults of a Caddyfile that Caddy's adapter does not take: all
// of ours, and what it says itself, unless that is one of them.
func refused(path string, body []byte, err error) []string {
	known := ownFaults(path, body)
	told := known
	for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
		if !slices.ContainsFunc(known, func(f string) bool { return strings.Contains(line, f) }) {
			told = append(told, line)
		}
	}
	return told
}

// ownFaults gives the faults of a Caddyfile that are not Caddy's.
func ownFaults(path string, body []byte) []string {
	if strings.HasSuffix(path, ".json") {
		return nil
	}
	return caddymodule.Faults(path, body)
}

// placed is how Caddy's adapter ends an error with its place.
var placed = regexp.MustCompile(`^(?:parsing caddyfile tokens for '[^']*': )*(.*?)(?:, at (\S+:\d+)(?: import chain.*)?)?$`)

// faulty tells every fault, each with its place and the line there.
func (s *session) faulty(path string, body []byte, faults []string) error {
	lines := strings.Split(string(body), "\n")
	for _, f := range faults {
		if m := placed.FindStringSubmatch(f); m != nil {
			if f = m[1]; m[2] != "" {
				f = m[2] + ": " + m[1]
			}
		}
		fmt.Fprintln(s.err, f)
		rest, ok := strings.CutPrefix(f, path+":")
		number, _, _ := strings.Cut(rest, ":")
		if n, err := strconv.Atoi(number); ok && err == nil && n >= 1 && n <= len(lines) {
			fmt.Fprintf(s.err, "    %s\n", strings.TrimSpace(lines[n-1]))
		}
	}
	fmt.Fprintf(s.err, "%s: faults: %d; a running front keeps the configuration that it has\n", path, len(faults))
	return quiet(exitConfig)
}

// checkYAML checks a file by what it configures.
func (s *session) checkYAML(path string) error {
	switch config.KindOf(path) {
	case config.KindNode:
		return s.checkNode(path)
	case config.KindUpgrade:
		return s.checkUpgrade(path)
	case config.KindRegister:
		return s.checkRegister(path)
	default:
		return s.checkSidecar(path)
	}
}

func (s *session) checkSidecar(path string) error {
	c, d, err := config.ReadSidecar(path)
	if err != nil {
		return &failure{exitConfig, "understudy: nothing was checked", err.Error(), "Name a file that can be read.", readSidecar}
	}
	if len(d.Faults()) == 0 {
		faults, unwise := sidecar.Check(c, slog.New(slog.DiscardHandler))
		d.Fault(faults)
		d.Warn(unwise)
	}
	if err := s.faultyYAML(path, d, "a running sidecar keeps the configuration that it has"); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s: no fault\n", path)
	return nil
}

// faultyYAML tells faults and warnings of a document.
func (s *session) faultyYAML(file string, d *config.Document, what string) error {
	for _, w := range d.Warnings() {
		w.Text = "warning: " + w.Text
		fmt.Fprint(s.err, w.Show())
	}
	faults := d.Faults()
	for _, f := range faults {
		fmt.Fprint(s.err, f.Show())
	}
	if len(faults) > 0 {
		fmt.Fprintf(s.err, "%s: faults: %d; %s\n", file, len(faults), what)
		return quiet(exitConfig)
	}
	return nil
}
