package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

const readMan = "docs/reference/cli.md"

// newMan gives the command that writes manual pages.
func newMan(s *session) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man",
		Short: "Write the manual pages",
		Long: `Write the manual page of understudy to stdout, or with --dir one page a command
into a folder: understudy.1, understudy-status.1, failover.1 and so on.`,
		Args: nothing,
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder for one page a command; it is made if need be")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		about := doc.GenManHeader{Section: "1", Source: "Understudy " + version, Manual: "Understudy", Date: new(time.Unix(0, 0).UTC())}
		quietly(cmd.Root())
		if dir == "" {
			if err := doc.GenMan(cmd.Root(), &about, s.out); err != nil {
				return fmt.Errorf("write the manual page: %w", err)
			}
			return nil
		}
		if err := writePages(cmd.Root(), about, dir); err != nil {
			return &failure{exitUnreachable, "understudy: the manual pages were not written", err.Error(), "Name a folder that you can write with --dir.", readMan}
		}
		return nil
	}
	return cmd
}

// quietly leaves out of every page when it was made: the same build gives the
// same pages.
func quietly(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	for _, c := range cmd.Commands() {
		quietly(c)
	}
}

// writePages writes the pages of all commands, and those of failover by its own
// name too.
func writePages(root *cobra.Command, about doc.GenManHeader, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- manual pages are for everybody
		return err
	}
	for _, c := range root.Commands() {
		if c.Name() == "caddy" { // it has a manual of its own: understudy caddy manpage
			root.RemoveCommand(c)
		}
	}
	if err := doc.GenManTree(root, &about, dir); err != nil {
		return err
	}
	for _, c := range root.Commands() {
		if c.Name() == "failover" {
			root.RemoveCommand(c) // alone it stands by its own name
			return doc.GenManTree(c, &about, dir)
		}
	}
	return nil
}
