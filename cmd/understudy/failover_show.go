package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// shows gives a command that reads a document and shows it as text or JSON.
func shows[T any](n *nodeAsker, use, short, path string, text func(T) string) *cobra.Command {
	var asJSON bool
	cmd := command(use, short, "", nothing, func(cmd *cobra.Command, _ []string) error {
		var doc T
		if err := n.client().Get(cmd.Context(), path, &doc); err != nil {
			return err
		}
		if asJSON {
			return n.session.printJSON(doc)
		}
		fmt.Fprint(n.session.out, text(doc))
		return nil
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (n *nodeAsker) status() *cobra.Command {
	return shows(n, "status", "Show what this server does, and why", "status", func(d nodeapi.Status) string {
		return fold(statusText(d), n.session.columns())
	})
}

// valueAt is the column at which the values of status stand.
const valueAt = 25

// statusText shows a node in the guide's words.
func statusText(d nodeapi.Status) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-*s %s\n", valueAt-3, name, fmt.Sprintf(format, args...))
	}
	state := d.State.String()
	if d.Why != "" {
		state += " (" + d.Why + ")"
	}
	fmt.Fprintf(&b, "%s  Mode: %v  State: %s since %s", d.Name, d.Mode, state, ago(d.Since))
	if d.Served > 0 {
		fmt.Fprintf(&b, ", epoch %d", d.Served)
	}
	b.WriteByte('\n')
	line("High Availability", "%s%s", able(d.Enabled), shown(d))
	if d.Mode == ha.Secondary && d.Enabled {
		line("Node Status", "%s", map[bool]string{true: "Active", false: "Standby"}[d.State == ha.Active])
	}
	line("profile", "%v", d.Profile)
	if r := d.Register; r != nil {
		line("register", "%s", registerText(r))
	}
	if !d.Peer.At.IsZero() {
		line("peer "+d.Peer.Name, "%v, last answer %s; last look: %s", d.Peer.State, since(d.Peer.At), d.Peer.Last)
	} else {
		line("peer "+d.Peer.Name, "not seen yet")
	}
	line("trust", "%s", map[bool]string{true: "its engine can be asked", false: "none yet: the peer is what its status pages tell"}[d.Peer.Trusted])
	for _, o := range d.Fronts {
		line("front "+o.Front, "%s → %s, epoch %d, said %s", o.Group, o.Serving, o.Epoch, since(o.At))
	}
	if d.Misses > 0 {
		line("heartbeats failed", "%d in a row", d.Misses)
	}
	line("application", "%s", map[bool]string{true: "well", false: "does not run, or is not well"}[d.App.Well])
	line("client connection", "%s", doorText(d.Door))
	syncLines(d, line)
	if d.State != ha.Active && d.Enabled && d.Loss.Datasets > 0 {
		line("a promotion may cost", "%s", d.Loss.Words(time.Now()))
		if up := d.Loss.GivenUp(); up != "" {
			line("and gives up", "%s", up)
		}
	}
	if d.Broken != "" {
		fmt.Fprintf(&b, "It decides nothing: %s.\n", d.Broken)
	}
	fmt.Fprintln(&b, d.Mind)
	for _, w := range d.Warnings {
		fmt.Fprintln(&b, w)
	}
	return b.String()
}

func shown(d nodeapi.Status) string {
	if d.Enabled || d.Shown == ha.Uncast {
		return ""
	}
	return fmt.Sprintf(" (Mode shown: %v)", d.Shown)
}

func doorText(d nodeapi.DoorNow) string {
	open := "closed"
	if d.Open {
		open = "open"
	}
	if d.Fault != "" {
		open = "lets nobody in: " + d.Fault
	}
	return fmt.Sprintf("%s, %s, %d clients now, %d ever", d.Setting, open, d.Clients, d.Ever)
}

// ago gives how long something is so already.
func ago(t time.Time) string { return time.Since(t).Round(time.Second).String() }

func since(t time.Time) string { return time.Since(t).Round(100*time.Millisecond).String() + " ago" }

func (n *nodeAsker) history() *cobra.Command {
	return shows(n, "history", "Show every change of state with its evidence", "history", func(all []nodeapi.Transition) string {
		var b strings.Builder
		for _, t := range all {
			fmt.Fprintf(&b, "%s  %v -> %v, epoch %d: %s\n", t.At.Format(time.RFC3339), t.From, t.To, t.Epoch, t.Why)
			if t.By != "" {
				fmt.Fprintf(&b, "    by %s\n", t.By)
			}
			if t.Misses > 0 || t.Peer != "" {
				fmt.Fprintf(&b, "    heartbeats failed: %d; last look at the peer: %s\n", t.Misses, t.Peer)
			}
			if t.Loss != "" {
				fmt.Fprintf(&b, "    what may be lost: %s\n", t.Loss)
			}
		}
		return b.String()
	})
}

func (n *nodeAsker) config() *cobra.Command {
	group := &cobra.Command{Use: "config", Short: "Show or save the settings of High Availability"}
	show := shows(n, "show", "Show every setting", "settings", func(all []nodeapi.Setting) string {
		var b strings.Builder
		for _, one := range all {
			fmt.Fprintf(&b, "%-50s%s\n", one.Name, one.Value)
		}
		return b.String()
	})
	set := command("set NAME VALUE [NAME VALUE ...]", "Save settings: all of them or, with a reason, none", `Save settings by the names that failover config show gives; small letters, - and
_ do. Several that depend on one another are given together.`, pairs, func(cmd *cobra.Command, args []string) error {
		change := map[string]string{}
		for i := 0; i < len(args); i += 2 {
			change[args[i]] = args[i+1]
		}
		a, err := n.client().Save(cmd.Context(), change, "")
		if err != nil {
			return err
		}
		fmt.Fprintln(n.session.out, "Saved, and in force.")
		for _, w := range a.Warnings {
			fmt.Fprintln(n.session.err, "warning: "+w)
		}
		return nil
	})
	set.Example = `  failover config set "If Failure Detected" "Keep in Standby"
  failover config set heartbeat-interval 5s re-check-interval 5s`
	group.AddCommand(show, set)
	return group
}

// pairs takes names and values in turn.
func pairs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 || len(args)%2 != 0 {
		return misuse(cmd, "it takes NAME VALUE, and may take more of them")
	}
	return nil
}

func (n *nodeAsker) log() *cobra.Command {
	var module, file string
	cmd := command("log --module HighAvailability", "Show the end of the log HighAvailability, or export all of it", "", nothing, func(cmd *cobra.Command, _ []string) error {
		if module != "HighAvailability" {
			return misuse(cmd, fmt.Sprintf("there is no module %q; there is: HighAvailability", module))
		}
		text, err := n.client().Log(cmd.Context(), file != "")
		if err != nil {
			return err
		}
		if file == "" {
			_, err := n.session.out.Write(text)
			return err
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return &failure{exitUsage, "failover: nothing was exported", err.Error(), "Name a file that can be written.", readFailover}
		}
		fmt.Fprintf(n.session.out, "%d bytes are in %s.\n", len(text), file)
		return nil
	})
	cmd.Flags().StringVar(&module, "module", "HighAvailability", "the module")
	cmd.Flags().StringVar(&file, "export", "", "write all of it into this file")
	return cmd
}

func (n *nodeAsker) fsm() *cobra.Command {
	var profile string
	var mermaid bool
	cmd := command("fsm", "Print the machine that a node goes by", "", nothing, func(cmd *cobra.Command, _ []string) error {
		var safety ha.Safety
		if err := safety.UnmarshalText([]byte(profile)); err != nil {
			return misuse(cmd, "--profile is documented or safe")
		}
		text := ha.MemberTable().Text(safety)
		if mermaid {
			text = ha.MemberTable().Mermaid(safety)
		}
		fmt.Fprint(n.session.out, text)
		return nil
	})
	cmd.Flags().StringVar(&profile, "profile", ha.Documented.String(), "documented or safe")
	cmd.Flags().BoolVar(&mermaid, "mermaid", false, "as a Mermaid state diagram")
	return cmd
}

func (n *nodeAsker) preflight() *cobra.Command {
	var items []nodeapi.Item
	cmd := shows(n, "preflight", "Look at what a pair needs, one line an item", "preflight", func(all []nodeapi.Item) string {
		items = all
		return preflightText(all)
	})
	show := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := show(cmd, args)
		if err == nil && slices.ContainsFunc(items, func(i nodeapi.Item) bool { return i.Result == "failed" }) {
			return quiet(exitPreflight)
		}
		return err
	}
	return cmd
}

func preflightText(items []nodeapi.Item) string {
	var b strings.Builder
	for _, i := range items {
		fmt.Fprintf(&b, "%-8s %-34s %s\n", i.Result, i.Name, i.Said)
	}
	return b.String()
}

func registerText(r *nodeapi.RegisterNow) string {
	switch {
	case r.Heard:
		return fmt.Sprintf("answered %s: %s", since(r.At), r.Last)
	case r.Last == "":
		return "not asked yet"
	case r.At.IsZero():
		return "never answered: " + r.Last
	}
	return fmt.Sprintf("last answer %s; now: %s", since(r.At), r.Last)
}

// able is the guide's word for a switch.
func able(on bool) string {
	if on {
		return "Enable"
	}
	return "Disable"
}
