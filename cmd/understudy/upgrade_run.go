package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/upgrade"
)

// record gives the run that arguments name: by default the one that is not over,
// else the newest.
func (u *upgrader) record(args []string, unfinished bool) (*upgrade.Record, error) {
	store := upgrade.Store{Dir: u.dir}
	var r *upgrade.Record
	var err error
	switch {
	case len(args) == 1:
		r, err = store.Load(args[0])
	default:
		if r, err = store.Unfinished(); r == nil && err == nil && !unfinished {
			r, err = store.Last()
		}
	}
	switch {
	case err != nil:
		return nil, &failure{exitUsage, "understudy: nothing was done", err.Error(), "See: understudy upgrade history --state-dir DIR", readUpgrade}
	case r == nil:
		return nil, &failure{exitUsage, "understudy: nothing was done", "no run in " + u.dir + " is open", "Name where runs are kept: --state-dir DIR", readUpgrade}
	case unfinished && r.Course.State.Over():
		return nil, &failure{exitRefused, "understudy: nothing was done", "the run " + r.Name + " is over", "See: understudy upgrade report " + r.Name, readUpgrade}
	}
	return r, nil
}

// goOn is understudy upgrade continue.
func (u *upgrader) goOn() *cobra.Command {
	var attend bool
	cmd := &cobra.Command{
		Use: "continue [RUN]", Short: "Go on with an interrupted run, at the same place", Args: atMost("RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			release, err := upgrade.Store{Dir: u.dir}.Claim()
			if err != nil {
				return busy(err)
			}
			defer release()
			r, err := u.record(args, true)
			if err != nil {
				return err
			}
			return u.work(cmd.Context(), r, attend, func(j *upgrade.Journal) error { return j.GoOn(u.actor()) })
		},
	}
	cmd.Flags().BoolVar(&attend, "wait", false, "wait at a gate for an answer")
	cmd.Flags().BoolVar(&u.json, "json", false, "print what happens as lines of JSON")
	return u.keeps(cmd)
}

// approve answers a gate, or says that what was to be done by hand is done.
func (u *upgrader) approve() *cobra.Command {
	var step string
	cmd := &cobra.Command{
		Use: "approve [RUN] --reason TEXT", Short: "Answer what a run asks, and go on", Args: atMost("RUN"),
		Long: `Answer what a run asks: let it go through a gate, or say that a step that a
person does is done. If no process works at the run, this one goes on with it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := u.wantReason(cmd); err != nil {
				return err
			}
			r, err := u.record(args, true)
			if err != nil {
				return err
			}
			if step == "" {
				step = r.Course.At
			}
			if !known(r.Plan, step) {
				return &failure{exitUsage, "understudy: nothing was done", "the run has no step " + step, "See: understudy upgrade status", readUpgrade}
			}
			store := upgrade.Store{Dir: u.dir}
			release, err := store.Claim()
			if err != nil {
				if err := r.Say(upgrade.Answer{Step: step, By: u.actor(), Reason: u.reason}, time.Now()); err != nil {
					return busy(err)
				}
				fmt.Fprintf(u.out, "The process that works at it was told: %s is approved.\n", step)
				return nil
			}
			defer release()
			return u.work(cmd.Context(), r, false, func(j *upgrade.Journal) error { return j.Approve(step, u.actor(), u.reason) })
		},
	}
	cmd.Flags().StringVar(&step, "step", "", "the step (default: the one that it is at)")
	cmd.Flags().BoolVar(&u.json, "json", false, "print what happens as lines of JSON")
	return u.keeps(u.says(cmd))
}

func known(p upgrade.Plan, name string) bool {
	for _, s := range p.Steps() {
		if s.Name == name {
			return true
		}
	}
	return false
}

// abort undoes a run, after it has said what that means.
func (u *upgrader) abort() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use: "abort [RUN] --reason TEXT", Short: "Undo a run, the newest step first", Args: atMost("RUN"),
		Long: `Say what is undone, then undo it, the newest step first. After the point of no
return it is refused: then the only way is forward.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := u.wantReason(cmd); err != nil && !dry {
				return err
			}
			r, err := u.record(args, true)
			if err != nil {
				return err
			}
			steps := r.Plan.Steps()
			if step := r.Course.Committed(steps); step != "" {
				return &failure{exitRefused, "understudy: nothing was aborted", step + " has begun, and there is no way back from it", "Put right what stands in the way, then: understudy upgrade continue", readUpgrade}
			}
			fmt.Fprintln(u.out, "This is undone, in this order:")
			for _, s := range r.Course.Back(steps) {
				fmt.Fprintf(u.out, "  %-38s %s\n", s.Name, s.Title)
			}
			if dry {
				return nil
			}
			release, err := upgrade.Store{Dir: u.dir}.Claim()
			if err != nil {
				if err := r.Say(upgrade.Answer{Abort: true, By: u.actor(), Reason: u.reason}, time.Now()); err != nil {
					return busy(err)
				}
				fmt.Fprintln(u.out, "The process that works at it was told; it undoes this now.")
				return nil
			}
			defer release()
			return u.work(cmd.Context(), r, false, func(j *upgrade.Journal) error { return j.Abort(u.actor(), u.reason) })
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be undone")
	return u.keeps(u.says(cmd))
}

// undo takes the newest step back, and leaves the run there.
func (u *upgrader) undo() *cobra.Command {
	cmd := &cobra.Command{
		Use: "undo [RUN] --reason TEXT", Short: "Undo the newest step of a stopped run, and leave it there", Args: atMost("RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := u.wantReason(cmd); err != nil {
				return err
			}
			release, err := upgrade.Store{Dir: u.dir}.Claim()
			if err != nil {
				return busy(err)
			}
			defer release()
			r, err := u.record(args, true)
			if err != nil {
				return err
			}
			steps := r.Plan.Steps()
			back, step := r.Course.Back(steps), r.Course.Committed(steps)
			if step != "" || len(back) == 0 {
				return &failure{exitRefused, "understudy: nothing was undone", "no step is left that can be undone", "See: understudy upgrade status", readUpgrade}
			}
			fmt.Fprintf(u.out, "This is undone: %s, %s\n", back[0].Name, back[0].Title)
			return u.work(cmd.Context(), r, false, func(j *upgrade.Journal) error { return j.AbortOne(u.actor(), u.reason) })
		},
	}
	return u.keeps(u.says(cmd))
}

// unlock gives a run up as it is.
func (u *upgrader) unlock() *cobra.Command {
	cmd := &cobra.Command{
		Use: "unlock [RUN] --reason TEXT", Short: "Give a dead run up as it is, and free its locks", Args: atMost("RUN"),
		Long: `Give a run up as it is. The nodes' locks are freed; what the run holds stays held
until a person releases it. Use it only for a run that can neither be continued
nor aborted.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := u.wantReason(cmd); err != nil {
				return err
			}
			release, err := upgrade.Store{Dir: u.dir}.Claim()
			if err != nil {
				return busy(err)
			}
			defer release()
			r, err := u.record(args, len(args) == 0)
			if err != nil {
				return err
			}
			fmt.Fprintf(u.out, "%s\n", r.StatusText(false))
			if err := r.GiveUp(u.actor(), u.reason, time.Now); err != nil {
				return busy(err)
			}
			return u.free(cmd.Context(), r)
		},
	}
	return u.keeps(u.says(cmd))
}
