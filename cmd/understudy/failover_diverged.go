package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// diverged gives the commands about what only one node has.
func (n *nodeAsker) diverged() *cobra.Command {
	group := shows(n, "diverged", "List what only this server had when a sync replaced it, and is kept", "diverged", archivesText)
	group.Long = `After a failover the server that was Active before has what was written there
after the other one had fetched for the last time. The sync that replaces it keeps
that first, and only a person drops it. This lists what is kept.`
	now := command("now", "Tell what this server has written since its peer was the same", `Tell what only this server has now: what it has written since the peer fetched
from it, or it from the peer, for the last time. Trees are walked and databases
dumped for it.`, nothing, func(cmd *cobra.Command, _ []string) error {
		o, err := n.client().Own(cmd.Context(), false)
		if err != nil {
			return err
		}
		fmt.Fprint(n.session.out, ownText(o))
		return nil
	})
	show := command("show GENERATION", "Tell what of it is kept", "", exactly("GENERATION"), func(cmd *cobra.Command, args []string) error {
		a, err := n.archive(cmd, args[0])
		if err != nil {
			return err
		}
		fmt.Fprint(n.session.out, archiveText(a))
		return nil
	})
	group.AddCommand(now, show, n.exportDiverged(), n.dropDiverged())
	return group
}

// archive finds one by its generation.
func (n *nodeAsker) archive(cmd *cobra.Command, arg string) (nodeapi.Archive, error) {
	number, err := strconv.ParseUint(arg, 10, 64)
	if err != nil {
		return nodeapi.Archive{}, misuse(cmd, "a generation is a number, as in failover diverged")
	}
	all, err := n.client().Archives(cmd.Context())
	if err != nil {
		return nodeapi.Archive{}, err
	}
	for _, a := range all {
		if a.Generation == number {
			return a, nil
		}
	}
	return nodeapi.Archive{}, &failure{exitRefused, "failover: nothing was done", fmt.Sprintf("nothing is kept of before generation %d", number), "See what is: failover diverged", readDiverged}
}

const readDiverged = "docs/howto/node-return.md"

func (n *nodeAsker) exportDiverged() *cobra.Command {
	var file string
	cmd := command("export GENERATION --to FILE", "Write it into a tar file", `Write what is kept into a tar file: report.json, and a folder for each dataset,
with the files, or with the dump of a database that its own tools restore.`, exactly("GENERATION"), nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if file == "" {
			return misuse(cmd, "--to FILE is missing")
		}
		a, err := n.archive(cmd, args[0])
		if err != nil {
			return judgeNode(err)
		}
		bytes, err := n.exportTo(cmd.Context(), a.Generation, file)
		if err != nil {
			return judgeNode(err)
		}
		fmt.Fprintf(n.session.out, "%s are in %s.\n", bytesText(bytes), file)
		return nil
	}
	cmd.Flags().StringVar(&file, "to", "", "the file, which must not be there yet")
	return cmd
}

// exportTo writes an archive into a new file, whole or not at all.
func (n *nodeAsker) exportTo(ctx context.Context, generation uint64, file string) (int64, error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- the caller's own
	if err != nil {
		return 0, &failure{exitUsage, "failover: nothing was exported", err.Error(), "Name a new file in a folder that can be written.", readDiverged}
	}
	bytes, err := n.client().ExportArchive(ctx, generation, f)
	if err == nil {
		err = f.Sync()
	}
	if ended := f.Close(); err == nil {
		err = ended
	}
	if err != nil {
		_ = os.Remove(file)
	}
	return bytes, err
}

func (n *nodeAsker) dropDiverged() *cobra.Command {
	var reason string
	var yes bool
	cmd := command("drop GENERATION", "Drop it for good", "", exactly("GENERATION"), nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := n.archive(cmd, args[0])
		if err != nil {
			return judgeNode(err)
		}
		fmt.Fprint(n.session.err, archiveText(a))
		if !yes && !n.sure("Drop it? Nobody else has it.") {
			return &failure{exitAborted, "failover: nothing was done", "you did not say yes", "", ""}
		}
		if err := n.client().DropArchive(cmd.Context(), a.Generation, reason); err != nil {
			return judgeNode(err)
		}
		fmt.Fprintln(n.session.out, "It is gone.")
		return nil
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask on a terminal")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the log")
	return cmd
}

func archivesText(all []nodeapi.Archive) string {
	if len(all) == 0 {
		return "Nothing is kept.\n"
	}
	var b strings.Builder
	for _, a := range all {
		fmt.Fprintf(&b, "%-6d %s  before the data of %s replaced it\n", a.Generation, a.At.UTC().Format(time.RFC3339), a.From)
		for _, d := range a.Datasets {
			fmt.Fprintf(&b, "       %s: %s\n", d.Dataset, d.Said)
		}
	}
	return b.String() + "All of one: failover diverged show GENERATION; into a file: failover diverged export GENERATION --to FILE\n"
}

func archiveText(a nodeapi.Archive) string {
	var b strings.Builder
	fmt.Fprintf(&b, "What only this server had before generation %d, the data of %s at epoch %d, replaced it on %s\n", a.Generation, a.From, a.Epoch, a.At.UTC().Format(time.RFC3339))
	for _, d := range a.Datasets {
		divergedText(&b, d)
	}
	return b.String()
}

// ownText says what a node has written since its peer was the same.
func ownText(o nodeapi.Own) string {
	if !o.Served {
		return fmt.Sprintf("Nothing is only on %s: it has not served since it was the same as %s.\n", o.Name, o.Peer)
	}
	var b strings.Builder
	for _, d := range o.Datasets {
		switch {
		case d.Since.IsZero():
			fmt.Fprintf(&b, "%s: not known, for it was never the same on %s and %s as far as %s knows; the next sync compares both\n", d.Dataset, o.Name, o.Peer, o.Name)
		case d.None():
			fmt.Fprintf(&b, "%s: nothing is only on %s since %s\n", d.Dataset, o.Name, d.Since.UTC().Format(time.RFC3339))
		default:
			divergedText(&b, d)
		}
	}
	return b.String()
}

func divergedText(b *strings.Builder, d nodeapi.Diverged) {
	fmt.Fprintf(b, "%s (%s): %s\n", d.Dataset, d.Type, d.Said)
	if d.Since.IsZero() {
		fmt.Fprintf(b, "  it is not known when both were the same, so what the other one has changed counts too\n")
	} else {
		fmt.Fprintf(b, "  both were the same on %s\n", d.Since.UTC().Format(time.RFC3339))
	}
	for _, f := range d.Latest {
		only := ""
		if f.Only {
			only = "  only here"
		}
		fmt.Fprintf(b, "  %s  %10s  %s%s\n", f.Changed.UTC().Format(time.RFC3339), bytesText(f.Bytes), f.Path, only)
	}
	if more := d.Files - int64(len(d.Latest)); more > 0 {
		fmt.Fprintf(b, "  and %d older ones\n", more)
	}
	for _, t := range d.Tables {
		fmt.Fprintf(b, "  %-40s %10d rows here%s%s\n", t.Name, t.Here, rowsText(", %d then", t.Then), rowsText(", %d there", t.There))
	}
	if d.More > 0 {
		fmt.Fprintf(b, "  and %d more tables\n", d.More)
	}
	if d.Folder != "" {
		fmt.Fprintf(b, "  it is in %s\n", d.Folder)
	}
}

func rowsText(format string, n int64) string {
	if n < 0 {
		return ""
	}
	return fmt.Sprintf(format, n)
}
