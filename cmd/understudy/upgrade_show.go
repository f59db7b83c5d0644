package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/upgrade"
)

// status tells where a run stands.
func (u *upgrader) status() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status [RUN]", Short: "Where a run stands, and what it waits for", Args: atMost("RUN"),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := u.record(args, false)
			if err != nil {
				return err
			}
			alive := upgrade.Store{Dir: u.dir}.Alive() && !r.Course.State.Over()
			if u.json {
				return u.printJSON(r.Report(alive))
			}
			fmt.Fprint(u.out, r.StatusText(alive))
			return nil
		},
	}
	cmd.Flags().BoolVar(&u.json, "json", false, "print JSON")
	return u.keeps(cmd)
}

// report tells a run for the change ticket.
func (u *upgrader) report() *cobra.Command {
	var format, out string
	cmd := &cobra.Command{
		Use: "report [RUN] [--format text|json|html] [-o FILE]", Short: "The report of a run, for the change ticket", Args: atMost("RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := u.record(args, false)
			if err != nil {
				return err
			}
			to := u.out
			if out != "" {
				f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // #nosec G304 -- the caller's own file
				if err != nil {
					return &failure{exitUsage, "understudy: no report was written", err.Error(), "Name a file that can be written with -o.", readUpgrade}
				}
				defer f.Close()
				to = f
			}
			doc := r.Report(upgrade.Store{Dir: u.dir}.Alive() && !r.Course.State.Over())
			switch format {
			case "text":
				_, err = fmt.Fprint(to, doc.Text())
			case "html":
				err = doc.WriteHTML(to)
			case "json":
				e := json.NewEncoder(to)
				e.SetIndent("", "  ")
				err = e.Encode(doc)
			default:
				err = misuse(cmd, "--format is text, json or html")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, json or html")
	cmd.Flags().StringVarP(&out, "out", "o", "", "write it to this file")
	return u.keeps(cmd)
}

// history lists the runs.
func (u *upgrader) history() *cobra.Command {
	cmd := &cobra.Command{
		Use: "history", Short: "Every run, the newest last", Args: nothing,
		RunE: func(*cobra.Command, []string) error {
			all, err := upgrade.Store{Dir: u.dir}.List()
			if err != nil {
				return &failure{exitUsage, "understudy: nothing was done", err.Error(), "Name where runs are kept: --state-dir DIR", readUpgrade}
			}
			var docs []upgrade.Report
			for _, r := range all {
				docs = append(docs, r.Report(false))
				if !u.json {
					c := r.Course
					fmt.Fprintf(u.out, "%s  %-11s %-12s %s%s  begun %s by %s\n", r.Name, c.State, r.Plan.Config.Kind, r.Plan.Config.Group, to(r.Plan.Config.To), c.Began.UTC().Format("2006-01-02 15:04 UTC"), c.By)
				}
			}
			if u.json {
				return u.printJSON(struct {
					Schema int              `json:"schema"`
					Runs   []upgrade.Report `json:"runs"`
				}{1, docs})
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&u.json, "json", false, "print JSON")
	return u.keeps(cmd)
}

func to(version string) string {
	if version == "" {
		return ""
	}
	return " to " + version
}

// free releases the locks of a run that was given up.
func (u *upgrader) free(ctx context.Context, r *upgrade.Record) error {
	h, err := upgrade.NewHands(r.Means(), upgrade.Lock{Run: r.Name, Number: r.Course.Number}, u.host, u.actor())
	if err != nil {
		return &failure{exitIncomplete, "understudy: the nodes' locks were not freed", err.Error(), "Put it right and say it again.", readUpgrade}
	}
	w := h.Look(ctx, time.Now())
	for name, n := range w.Nodes {
		var err error
		switch {
		case n.Fault != "":
			err = errors.New(n.Fault)
		case n.Lock != nil && n.Lock.Run == r.Name: // its number may be lost with the journal
			err = h.Nodes[name].Do(ctx, upgrade.Deed{On: name, Do: upgrade.DoUnlock, With: upgrade.ByForce})
		}
		if err != nil {
			fmt.Fprintf(u.err, "%s may keep its lock: %v; say unlock %s again\n", name, err, r.Name)
		}
	}
	for name, one := range w.Routers {
		if one.Held {
			fmt.Fprintf(u.out, "%s is held still; release it when the pair is in order.\n", name)
		}
	}
	fmt.Fprintf(u.out, "The run %s is given up.\n", r.Name)
	return nil
}

// viewer shows the events of a run: on a terminal what is waited for is drawn
// over, elsewhere it is one line now and then.
type viewer struct {
	u *upgrader

	mu    sync.Mutex // guards the fields below
	last  string     // what was waited for, as it was told
	told  time.Time
	drawn bool
}

// tellEvery is how often a plain listener hears that something is still waited for.
const tellEvery = 10 * time.Second

func (u *upgrader) view(r *upgrade.Record) *viewer {
	if !u.json {
		fmt.Fprintf(u.out, "Run %s\n", r.Name)
	}
	return &viewer{u: u}
}

// hear shows one event.
func (v *viewer) hear(e upgrade.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.u.json {
		text, _ := json.Marshal(e)
		fmt.Fprintf(v.u.out, "%s\n", text)
		return
	}
	if e.Kind != "waiting" {
		v.clear()
		v.last = ""
		fmt.Fprintln(v.u.out, e.Line())
		return
	}
	if v.u.lively() {
		v.clear()
		fmt.Fprintf(v.u.out, "%s", cutTo(fmt.Sprintf("%d/%d %s  waits %s of %s: %s", e.Number, e.Of, e.Step,
			e.At.Sub(e.Since).Round(time.Second), e.Deadline.Sub(e.Since), e.Said), 120))
		v.drawn = true
		return
	}
	if said := e.Step + e.Said; said != v.last && e.At.Sub(e.Since) > time.Second || e.At.Sub(v.told) > tellEvery && e.At.Sub(e.Since) > tellEvery {
		v.last, v.told = said, e.At
		fmt.Fprintln(v.u.out, e.Line())
	}
}

func (v *viewer) clear() {
	if v.drawn {
		fmt.Fprint(v.u.out, "\r\x1b[K")
		v.drawn = false
	}
}

// end leaves the terminal tidy.
func (v *viewer) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
}

func cutTo(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// checkUpgrade checks an upgrade.yaml.
func (s *session) checkUpgrade(path string) error {
	u := &upgrader{session: s}
	if _, _, err := u.readConfig(path); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s: no fault\n", path)
	return nil
}
