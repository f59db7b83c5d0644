package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

func (n *nodeAsker) sync() *cobra.Command {
	var q nodeapi.Request
	cmd := command("sync HOST", "Run Sync Now: copy from the peer", `Copy from the peer now, and wait until it is done; the same as Run Sync Now (EPMM
guide, Table 5). Only a stand-by copies.

A sync is refused when the source looks as if it had lost its data: emptied,
another file system, a tenth of all files deleted. Look there, and if that is
right, accept it.

What only this server has, written after the peer had fetched for the last time,
is kept before it is replaced: failover diverged.`, exactly("HOST"), nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return judgeNode(n.syncNow(cmd.Context(), args[0], q))
	}
	cmd.Flags().BoolVar(&q.Accept, "accept-deletions", false, "let through what the guards have found")
	cmd.Flags().BoolVar(&q.Discard, "discard", false, "give up what only this server has instead of keeping it")
	cmd.Flags().StringVar(&q.Reason, "reason", "", "why, for the log")
	return cmd
}

// syncNow begins a sync, follows it to its end, and tells what came of it.
func (n *nodeAsker) syncNow(ctx context.Context, host string, q nodeapi.Request) error {
	s, err := n.runSync(ctx, host, q)
	if err != nil {
		return err
	}
	return n.syncEnded(s)
}

func (n *nodeAsker) runSync(ctx context.Context, host string, q nodeapi.Request) (s nodeapi.Sync, err error) {
	c := n.client()
	before, err := c.Status(ctx)
	if err != nil {
		return s, err
	}
	q.Host = host
	if err := c.Ask(ctx, http.MethodPost, "sync", q, nil); err != nil {
		return s, err
	}
	show := &syncLine{n.session, ""}
	for {
		d, err := c.Status(ctx)
		if err != nil {
			return s, err
		}
		if last := d.LastSync; d.Sync == nil && last != nil && (before.LastSync == nil || !last.At.Equal(before.LastSync.At)) && last.By != "" {
			show.end()
			return *last, nil
		}
		show.at(d.Sync)
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// syncEnded tells what came of a sync.
func (n *nodeAsker) syncEnded(s nodeapi.Sync) error {
	if s.Result == nodeapi.Success {
		fmt.Fprint(n.session.out, syncText(s))
		return nil
	}
	code := exitRolledBack
	if strings.HasPrefix(s.Result, "Refused") || strings.HasPrefix(s.Result, "Skipped") {
		code = exitRefused
	}
	return &failure{code, "failover: the sync has not succeeded (" + s.Result + ")", s.Detail, "The copy is as it was before. Every task: failover sync-history", "docs/howto/replication.md"}
}

// syncLine shows how far a sync is: on a terminal on one line, elsewhere a line
// for each phase.
type syncLine struct {
	*session
	last string
}

func (l *syncLine) at(now *nodeapi.SyncNow) {
	if now == nil {
		return
	}
	phase := strings.TrimSpace(now.Phase + " " + now.Dataset)
	if !l.lively() {
		if phase != l.last {
			fmt.Fprintln(l.err, phase)
		}
		l.last = phase
		return
	}
	text := progressText(*now)
	fmt.Fprintf(l.err, "\r%-*s", len(l.last), text)
	l.last = text
}

func (l *syncLine) end() {
	if l.lively() && l.last != "" {
		fmt.Fprintf(l.err, "\r%*s\r", len(l.last), "")
	}
}

// progressText says how far a sync is, for one line.
func progressText(p nodeapi.SyncNow) string {
	text := strings.TrimSpace(p.Phase + " " + p.Dataset)
	if p.Bytes > 0 {
		text += fmt.Sprintf("  %d files, %s", p.Files, bytesText(p.Bytes))
	}
	if p.Total > 0 {
		text += " of " + bytesText(p.Total)
	}
	if p.Rate > 0 {
		text += fmt.Sprintf(", %s/s", bytesText(p.Rate))
	}
	if p.ETA > 0 {
		text += fmt.Sprintf(", about %v left", time.Duration(p.ETA).Round(time.Second))
	}
	return text
}

// bytesText writes bytes for people.
func bytesText(n int64) string {
	const step = 1024
	if n < step {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, unit := float64(n)/step, 0
	for value >= step && unit < 4 {
		value, unit = value/step, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTP"[unit])
}

func (n *nodeAsker) syncHistory() *cobra.Command {
	return shows(n, "sync-history", "Show the Sync History: every sync with all its tasks", "sync-history", func(all []nodeapi.Sync) string {
		if len(all) == 0 {
			return "No sync has run.\n"
		}
		var b strings.Builder
		for i, s := range all {
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(syncText(s))
		}
		return b.String()
	})
}

// syncText shows a sync in the guide's words: Last Sync Status, then its tasks.
func syncText(s nodeapi.Sync) string {
	var b strings.Builder
	if !s.Started.IsZero() {
		fmt.Fprintf(&b, "Started: %s  ", s.Started.Format(time.RFC3339))
	}
	fmt.Fprintf(&b, "Completed: %s  Result: %s  Duration: %v\n", s.At.Format(time.RFC3339), s.Result, s.Duration())
	who := "as scheduled"
	if s.By != "" {
		who = "Run Sync Now by " + s.By
	}
	fmt.Fprintf(&b, "  from %s, %s", s.From, who)
	if s.Generation > 0 {
		fmt.Fprintf(&b, "; generation %d is in force", s.Generation)
	}
	if s.Detail != "" {
		fmt.Fprintf(&b, "; %s", s.Detail)
	}
	b.WriteByte('\n')
	for _, t := range s.Tasks {
		name := strings.TrimSpace(t.Name + " " + t.Dataset)
		fmt.Fprintf(&b, "  %-24s %-10s %9v  %s\n", name, t.Result, t.Duration, t.Detail)
	}
	return b.String()
}

// syncLines shows what a Status says of syncs.
func syncLines(d nodeapi.Status, line func(name, format string, args ...any)) {
	switch last := d.LastSync; {
	case d.Sync != nil:
		line("Last Sync Status", "running: %s", progressText(*d.Sync))
	case last == nil && d.Loss.Datasets == 0:
		line("Last Sync Status", "none: %s", nodeapi.NoDataset)
	case last == nil:
		line("Last Sync Status", "none: no sync has run")
	default:
		text := fmt.Sprintf("Completed: %s  Result: %s", last.At.Format(time.RFC3339), last.Result)
		if !last.Started.IsZero() {
			text += fmt.Sprintf("  Duration: %v", last.Duration())
		}
		line("Last Sync Status", "%s", text)
	}
	if d.Enabled && d.State == ha.Standby && d.Loss.Datasets > 0 && !d.Paused && len(d.Schedule.Next) == 0 {
		line("next syncs (UTC)", "none: the schedule is stopped, and saving the settings starts it: failover config set")
	}
	if len(d.Schedule.Next) > 0 {
		var times []string
		for _, at := range d.Schedule.Next {
			times = append(times, at.UTC().Format("2006-01-02 15:04"))
		}
		line("next syncs (UTC)", "%s", strings.Join(times, ", "))
	}
	for _, k := range d.Kept {
		line("kept", "what only this node had before %s's data replaced it, %s: failover diverged show %d", k.From, since(k.At), k.Generation)
	}
	if t := d.Taken; t != nil {
		line("synchronised", "%s took this node's data, %s", t.By, since(t.At))
	}
}

func (n *nodeAsker) rollback() *cobra.Command {
	var yes bool
	var reason string
	cmd := command("rollback [GENERATION]", "Go back to an older generation of the copy", `Put an older generation of the copy into force, on the stand-by: the one before,
or the one with that number. Status tells how many are kept. The next sync takes
the peer's data again, so pause the schedule first if that is what is wrong:
failover pause.`, atMost("GENERATION"), nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var to uint64
		if len(args) == 1 {
			var err error
			if to, err = strconv.ParseUint(args[0], 10, 64); err != nil || to == 0 {
				return misuse(cmd, "a generation is a number, as in failover sync-history")
			}
		}
		if !yes && !n.sure("Go back to an older generation of the copy?") {
			return &failure{exitAborted, "failover: nothing was done", "you did not say yes", "", ""}
		}
		r, err := n.client().Rollback(cmd.Context(), to, reason)
		if err != nil {
			return judgeNode(err)
		}
		if r.Generation == 0 {
			fmt.Fprintln(n.session.out, "What was there before the first generation that is kept is in force.")
			return nil
		}
		fmt.Fprintf(n.session.out, "Generation %d is in force, the data of %s.\n", r.Generation, r.AsOf.UTC().Format(time.RFC3339))
		return nil
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask on a terminal")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the log")
	return cmd
}
