package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// validation is one task of the guide's plan.
type validation struct {
	name string
	run  func(context.Context, *nodeapi.Client) (said string, err error)
}

// validations gives the tasks of the validation plan (EPMM guide, Table 3).
func (n *nodeAsker) validations() []validation {
	return []validation{
		{"Connectivity between the servers, both ways", n.validReach},
		{"Run Sync Now: all tasks complete", n.validSync},
		{"Start the application on the stand-by: the device count is exactly the same", n.validCount},
		{"Test mail", n.validMail},
		{"Heartbeats in the log HighAvailability", n.validBeats},
	}
}

func (n *nodeAsker) validate() *cobra.Command {
	cmd := command("validate [TASK]", "Go through the guide's validation plan, on the stand-by", `Go through the validation plan (EPMM guide, Table 3), all five tasks or the one
with that number: connectivity, Run Sync Now, the application started on the
stand-by with its device count compared and stopped again, a test mail, and
heartbeats in the log.

In task 3 the application runs on the copy and is not reachable for clients. No
sync runs meanwhile; the next one compares everything, and older generations can
no longer be gone back to.`, atMost("TASK"), nil)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		all := n.validations()
		from, to := 0, len(all)
		if len(args) == 1 {
			if len(args[0]) != 1 || args[0][0] < '1' || int(args[0][0]-'0') > len(all) {
				return misuse(cmd, fmt.Sprintf("TASK is a number from 1 to %d", len(all)))
			}
			from = int(args[0][0] - '1')
			to = from + 1
		}
		return n.validateAll(cmd.Context(), all, from, to)
	}
	return cmd
}

func (n *nodeAsker) validateAll(ctx context.Context, all []validation, from, to int) error {
	c, failed := n.client(), 0
	for i := from; i < to; i++ {
		said, err := all[i].run(ctx, c)
		var gone *nodeapi.Unreachable
		if errors.As(err, &gone) {
			return judgeNode(err)
		}
		result := nodeapi.ItemOK
		if err != nil {
			result, said = nodeapi.ItemFailed, oneLine(err)
			failed++
		}
		fmt.Fprintf(n.session.out, "%d  %-8s%s\n            %s\n", i+1, result, all[i].name, said)
	}
	if failed > 0 {
		return quiet(exitPreflight)
	}
	return nil
}

func (n *nodeAsker) validReach(ctx context.Context, c *nodeapi.Client) (string, error) {
	items, err := c.Preflight(ctx)
	if err != nil {
		return "", err
	}
	var said, bad []string
	for _, i := range items {
		if !strings.HasPrefix(i.Name, "port of ") && i.Name != "trust" && i.Name != nodeapi.TestConnection {
			continue
		}
		said = append(said, i.Name+": "+i.Said)
		if i.Result != nodeapi.ItemOK {
			bad = append(bad, i.Name+": "+i.Said)
		}
	}
	if len(bad) > 0 {
		return "", errors.New(strings.Join(bad, "; "))
	}
	return strings.Join(said, "; "), nil
}

func (n *nodeAsker) validSync(ctx context.Context, c *nodeapi.Client) (string, error) {
	d, err := c.Status(ctx)
	if err != nil {
		return "", err
	}
	s, err := n.runSync(ctx, d.Peer.Name, nodeapi.Request{Reason: "validation"})
	if err != nil {
		return "", err
	}
	if s.Result != nodeapi.Success {
		return "", fmt.Errorf("%s: %s", s.Result, s.Detail)
	}
	return fmt.Sprintf("Result: %s, %d tasks, Duration: %v", s.Result, len(s.Tasks), s.Duration()), nil
}

func (n *nodeAsker) validCount(ctx context.Context, c *nodeapi.Client) (string, error) {
	if d, err := c.Status(ctx); err == nil && d.Loss.GivenUp() != "" {
		fmt.Fprintln(n.session.err, "Task 3: "+d.Loss.GivenUp()+".")
	}
	v, err := c.Verify(ctx)
	switch {
	case err != nil:
		return "", err
	case v.Here != v.There:
		return "", fmt.Errorf("%s here, %s on the peer: if the peer serves, it has changed since the sync; sync and look again", v.Here, v.There)
	}
	return v.Here + " on both", nil
}

func (n *nodeAsker) validMail(ctx context.Context, c *nodeapi.Client) (string, error) {
	to, err := c.NotifyTest(ctx)
	return "the mail server has taken it, to " + to, err
}

func (n *nodeAsker) validBeats(ctx context.Context, c *nodeapi.Client) (string, error) {
	text, err := c.Log(ctx, false)
	if err != nil {
		return "", err
	}
	beats := bytes.Count(text, []byte("heartbeat"))
	if beats == 0 {
		return "", errors.New("there is none: is High Availability enabled, and is this node the stand-by?")
	}
	return fmt.Sprintf("%d in its last part", beats), nil
}
