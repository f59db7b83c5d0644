package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api"
)

// version is set by the linker: make build.
var version = "unknown"

func newVersion(s *session) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{Use: "version", Short: "Show which build this is", Args: nothing}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(*cobra.Command, []string) error {
		b := thisBuild()
		if asJSON {
			return s.printJSON(b)
		}
		fmt.Fprintf(s.out, "understudy %s, %s, %s\n", b.Version, b.Go, b.Platform)
		return nil
	}
	return cmd
}

// build tells what this binary was made of.
type build struct {
	Schema   int    `json:"schema"`
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{api.Schema, version, "", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	return b
}
