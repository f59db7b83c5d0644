package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/caddymodule"
)

// exitConfig is the exit code of a faulty configuration.
const exitConfig = 2

const readCaddyfile = "Caddyfile.example"

func newCheck(s *session) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Check a configuration: every fault at once, with its line",
		Long: `Check a front's configuration: a Caddyfile, or Caddy's JSON where the name ends
in .json. Nothing is started, nothing is written, no node is asked.

Every fault is reported at once with its line, and the exit code is 2. What is
legal but unwise is told, and the exit code is 0.`,
		Args: nothing,
	}
	cmd.Flags().StringVar(&path, "config", "", "the file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if path == "" {
			return misuse(cmd, "--config FILE is missing")
		}
		return s.check(path)
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
		return faulty(path, strings.Split(strings.TrimSpace(err.Error()), "\n"))
	}
	faults, unwise := caddymodule.Check(doc)
	if len(faults) > 0 {
		return faulty(path, faults)
	}
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(caddy.RemoveMetaFields(doc), &config); err != nil {
		return faulty(path, []string{err.Error()})
	}
	config.Logging = &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{Level: "ERROR"}}}}
	if err := caddy.Validate(&config); err != nil {
		return faulty(path, strings.Split(err.Error(), "\n"))
	}
	for _, w := range append(warnings, unwise...) {
		fmt.Fprintf(s.err, "%s: warning: %s\n", filepath.Base(path), w)
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

// faulty is the failure of a configuration with faults.
func faulty(path string, faults []string) error {
	return &failure{exitConfig, fmt.Sprintf("%s: %d faults", path, len(faults)), strings.Join(faults, "\n"),
		"Correct the lines, then check again. A running front keeps its configuration until then.", readCaddyfile}
}
