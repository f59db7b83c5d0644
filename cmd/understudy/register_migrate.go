package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/cmd/understudy/sidecar"
	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/register"
)

func newMigrate(s *session) *cobra.Command {
	var from, to, file string
	cmd := &cobra.Command{
		Use:   "migrate --from state_dir --to etcd --config SIDECAR.YAML",
		Short: "Bring every group's traffic from the files of one host into etcd, or back",
		Long: `Bring the traffic and the newest history of every group of a sidecar.yaml from
its state_dir into its etcd, or back. Traffic does not move. Hold the groups
first (understudy hold), migrate, start every front and sidecar anew with the
other register, then release. It may be run again; where the other register
knows something later it is refused.`,
		Args: nothing,
	}
	cmd.Flags().StringVar(&from, "from", "", "state_dir or etcd")
	cmd.Flags().StringVar(&to, "to", "", "etcd or state_dir")
	cmd.Flags().StringVar(&file, "config", "", "the sidecar.yaml that names both")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case file == "":
			return misuse(cmd, "--config FILE is missing")
		case !(from == "state_dir" && to == "etcd") && !(from == "etcd" && to == "state_dir"):
			return misuse(cmd, "--from and --to are state_dir and etcd, or etcd and state_dir")
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), 10*time.Minute)
		defer cancel()
		return s.migrate(ctx, file, from == "etcd")
	}
	return cmd
}

func (s *session) migrate(ctx context.Context, file string, back bool) error {
	refuse := func(err error) error {
		return &failure{exitRefused, "understudy: nothing more was migrated", err.Error(), "Put that right, then run it again: what is there already stays.", readRegister}
	}
	c, d, err := config.ReadSidecar(file)
	if err != nil {
		return &failure{exitConfig, "understudy: nothing was migrated", err.Error(), "Name a file that can be read.", readRegister}
	}
	if faults := d.Faults(); len(faults) > 0 {
		for _, f := range faults {
			fmt.Fprint(s.err, f.Show())
		}
		return quiet(exitConfig)
	}
	if c.Etcd == nil {
		return &failure{exitConfig, "understudy: nothing was migrated", file + " has no etcd", "Name the members under etcd.", readRegister}
	}
	files, err := register.OpenDir(c.StateDir)
	if err != nil {
		return refuse(err)
	}
	defer files.Close()
	etcd, err := register.OpenEtcd(sidecar.EtcdOf(c), s.logger())
	if err != nil {
		return refuse(err)
	}
	defer etcd.Close()
	var from, to register.Keeper = files, etcd
	if back {
		from, to = etcd, files
	}
	for _, name := range c.Names() {
		epoch, err := register.Migrate(ctx, from, to, name)
		switch {
		case err != nil:
			return refuse(err)
		case epoch == 0:
			fmt.Fprintf(s.out, "%s: nothing is stored\n", name)
		default:
			fmt.Fprintf(s.out, "%s: epoch %d is in place\n", name, epoch)
		}
	}
	return nil
}
