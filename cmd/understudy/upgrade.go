package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/upgrade"
)

const readUpgrade = "docs/howto/upgrade.md"

// The exit codes that only runs give.
const (
	exitBusy    = 5
	exitStale   = 6
	exitWaiting = 12
)

// upgrader is what the commands of a run have in common.
type upgrader struct {
	*session
	dir    string
	reason string
	json   bool
}

func newUpgrade(s *session) *cobra.Command {
	root := s.runs("upgrade", "Walk a pair through an upgrade, and let it be interrupted", `Walk a pair of nodes through the guide's upgrade procedure. A plan is made and
read first; the run then checks every condition itself, can be killed anywhere
and continued, and leaves a report for the change ticket.

Exit codes: 0 done, 4 refused, 5 another run is not over, 6 the plan is stale,
10 preflight failed, 12 a person's answer is needed, 20 failed and undone,
22 incomplete: it needs you, and keeps lock and hold, 23 aborted and undone.`)
	u := &upgrader{session: s}
	root.AddCommand(u.plan(""), u.apply(), u.status(), u.goOn(), u.fetch(), u.approve(), u.abort(), u.undo(), u.unlock(), u.report(), u.history())
	return root
}

func newSwitchover(s *session) *cobra.Command {
	root := s.runs("switchover", "Swap the roles of a pair for maintenance, and back", `Swap the roles of a pair without losing a request: requests wait, the last
changes are copied, the roles swap one after the other, clients move. After the
maintenance the same way leads back. The other commands are those of upgrade.`)
	u := &upgrader{session: s}
	root.AddCommand(u.plan(config.RunSwitchover), u.apply())
	return root
}

func (s *session) runs(name, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Long: long,
	}
}

// keeps gives a command the flag that says where runs are kept.
func (u *upgrader) keeps(cmd *cobra.Command) *cobra.Command {
	dir := u.getenv("UNDERSTUDY_RUNS")
	if dir == "" {
		dir = upgrade.DefaultDir
	}
	cmd.Flags().StringVar(&u.dir, "state-dir", dir, "where runs are kept: state_dir of upgrade.yaml (default also $UNDERSTUDY_RUNS)")
	return cmd
}

// says gives a command the flag for a reason.
func (u *upgrader) says(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&u.reason, "reason", "", "why, for the journal (wanted)")
	return cmd
}

func (u *upgrader) wantReason(cmd *cobra.Command) error {
	if u.reason == "" {
		return misuse(cmd, "no reason was given; the journal keeps it: --reason TEXT")
	}
	return nil
}

// plan gives the command that makes a plan; kind is the only one it takes, empty
// for any.
func (u *upgrader) plan(kind config.RunKind) *cobra.Command {
	var file, out string
	var syncFirst bool
	cmd := &cobra.Command{
		Use:   "plan [--config upgrade.yaml] [-o FILE]",
		Short: "Look at the pair and say what a run would do",
		Long: `Look at the pair and say what a run would do, step by step, with the guide's
numbers, the outage and the point of no return. Nothing is changed. The plan in
FILE is what apply takes; it is refused as soon as anything that it was made for
has changed.`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return u.makePlan(cmd.Context(), planned{file, out, kind, syncFirst})
		},
	}
	cmd.Flags().BoolVar(&syncFirst, "sync-first", false, "sync once before step 1, as sync_first in upgrade.yaml does")
	cmd.Flags().StringVar(&file, "config", "upgrade.yaml", "the upgrade.yaml")
	cmd.Flags().StringVarP(&out, "out", "o", "", "write the plan to this file")
	cmd.Flags().BoolVar(&u.json, "json", false, "print the plan as JSON")
	return cmd
}

// planned is what a plan is made by.
type planned struct {
	file, out string
	kind      config.RunKind
	syncFirst bool
}

func (u *upgrader) makePlan(ctx context.Context, by planned) error {
	file, out, kind := by.file, by.out, by.kind
	c, text, err := u.readConfig(file)
	if err != nil {
		return err
	}
	c.SyncFirst = c.SyncFirst || by.syncFirst
	if kind != "" && c.Kind != kind {
		return &failure{exitConfig, "understudy: no plan was made", fmt.Sprintf("%s is of kind %s", file, c.Kind), "Say kind: " + string(kind) + " there, or use understudy upgrade plan.", readUpgrade}
	}
	h, err := upgrade.NewHands(*c, upgrade.Lock{}, u.host, u.actor())
	if err != nil {
		return &failure{exitConfig, "understudy: no plan was made", err.Error(), "Correct " + file + ".", readUpgrade}
	}
	w := h.Look(ctx, time.Now())
	w.Seen = upgrade.Around(ctx, *c)
	p, err := upgrade.Make(*c, text, w, u.actor())
	if err != nil {
		return &failure{exitRefused, "understudy: no plan was made", err.Error(), "See how the nodes are: failover status, there; and: understudy status " + c.Group, readUpgrade}
	}
	estimates := upgrade.Store{Dir: c.StateDir}.Estimates(p)
	if p.Expected = estimates.Waits(); c.Kind != config.RunSwitchover {
		p.Outage = estimates.Outage
	}
	doc, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if out != "" {
		if err := os.WriteFile(out, append(doc, '\n'), 0o600); err != nil {
			return &failure{exitUsage, "understudy: the plan was not written", err.Error(), "Name a file that can be written with -o.", readUpgrade}
		}
	}
	if u.json {
		return u.printJSON(p)
	}
	fmt.Fprint(u.out, p.Text(estimates))
	fmt.Fprintln(u.out, "\nPreflight, as it is now:")
	u.printItems(upgrade.CheckAll(p, w), nil)
	if out != "" {
		fmt.Fprintf(u.out, "\nTo begin: understudy upgrade apply %s\n", out)
	}
	return nil
}

// readConfig reads an upgrade.yaml and its text.
func (u *upgrader) readConfig(file string) (*config.Upgrade, []byte, error) {
	text, err := os.ReadFile(file) // #nosec G304 -- the caller's own file
	if err == nil {
		var c *config.Upgrade
		var d *config.Document
		if c, d, err = config.ReadUpgrade(file); err == nil {
			return c, text, u.faultyYAML(file, d, "nothing was done")
		}
	}
	return nil, nil, &failure{exitConfig, "understudy: nothing was done", err.Error(), "Name the upgrade.yaml: --config FILE", readUpgrade}
}

// printItems tells a preflight.
func (u *upgrader) printItems(items []upgrade.Item, accepted map[string]string) {
	for _, i := range items {
		fmt.Fprintf(u.out, "  %-5s %-18s %s\n", i.Result, i.Name, i.Said)
		switch {
		case accepted[i.Name] != "" && i.Result == upgrade.Fail:
			fmt.Fprintf(u.out, "        risk accepted: %s\n", accepted[i.Name])
		case i.Do != "":
			fmt.Fprintf(u.out, "        do: %s\n", i.Do)
		}
	}
}

// ended gives the exit code of a run.
func (u *upgrader) ended(r *upgrade.Record, state upgrade.State) error {
	codes := map[upgrade.State]int{
		upgrade.Succeeded: exitDone, upgrade.Waiting: exitWaiting, upgrade.RolledBack: exitRolledBack, upgrade.Aborted: exitAborted,
	}
	code, known := codes[state]
	if !known {
		code = exitIncomplete
	}
	fmt.Fprintf(u.err, "%s\n", r.Sentence(false))
	for _, line := range r.Next(false) {
		fmt.Fprintf(u.err, "  %s\n", line)
	}
	if code == exitDone {
		return nil
	}
	return quiet(code)
}

// busy tells that another run is not over.
func busy(err error) error {
	var b *upgrade.Busy
	if !errors.As(err, &b) {
		return &failure{exitUsage, "understudy: nothing was done", err.Error(), "See that state_dir can be written.", readUpgrade}
	}
	do := "Look: understudy upgrade status. Then continue or abort it; if it is given up for good: understudy upgrade unlock --reason TEXT"
	if b.Alive {
		do = "Wait for it, or: understudy upgrade abort --reason TEXT"
	}
	return &failure{exitBusy, "understudy: nothing was done", b.Error(), do, readUpgrade}
}
