package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func newHold(s *session) *cobra.Command {
	var until string
	var outage time.Duration
	d := &deed{forced: true, cmd: &cobra.Command{
		Use:   "hold [GROUP] --reason TEXT",
		Short: "Freeze routing, as for an upgrade",
		Long: `Freeze the routing of a group: probing and display go on, traffic does not move.
This is the guide's "disable the load balancer from detecting". A hold that has
outlived its time alarms and stays. An outage that is announced under it raises
no alarm until its time is over.`,
		Example: `  understudy hold mdm --reason "upgrade to 11.12" --for 4h`,
	}}
	d.cmd.Flags().StringVar(&d.body.For, "for", "", "how long it should last, such as 2h")
	d.cmd.Flags().StringVar(&until, "until", "", "when it should end, such as 2026-01-02T06:00:00+01:00")
	d.cmd.Flags().DurationVar(&outage, "outage", 0, "how long the serving node may be down without an alarm, such as 30m")
	d.check = func(cmd *cobra.Command) error {
		if until != "" && d.body.For != "" {
			return misuse(cmd, "--for and --until exclude one another")
		}
		if length, err := time.ParseDuration(d.body.For); d.body.For != "" && (err != nil || length <= 0) {
			return misuse(cmd, "--for "+strconv.Quote(d.body.For)+" is not a duration such as 2h or 90m")
		}
		if outage < 0 {
			return misuse(cmd, "--outage must be a duration to come, such as 30m")
		}
		if outage > 0 {
			d.body.Outage = time.Now().Add(outage)
		}
		if until == "" {
			return nil
		}
		end, err := time.Parse(time.RFC3339, until)
		if err != nil {
			return misuse(cmd, "--until "+strconv.Quote(until)+" is not a time such as 2026-01-02T06:00:00+01:00")
		}
		d.body.Until = end
		return nil
	}
	return s.does(d)
}
