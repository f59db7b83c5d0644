package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/cmd/understudy/sidecar"
	"github.com/understudy-ha/understudy/internal/config"
)

const readSidecar = "docs/reference/sidecar.md"

func newSidecar(s *session) *cobra.Command {
	var file string
	var replace bool
	cmd := &cobra.Command{
		Use:   "sidecar --config FILE",
		Short: "Watch groups for other load balancers, without carrying traffic",
		Long: `Watch the groups of a sidecar.yaml, decide where their traffic belongs, and tell
it to other load balancers (probe proxy, rendered files), to people and programs
(API) and to receivers of messages. It runs until it is told to end.

SIGHUP reads the file again: all of it comes into force or nothing does, and the
log says which. A front with the same state_dir shares the decisions.`,
		Args: nothing,
	}
	cmd.Flags().StringVar(&file, "config", "", "the sidecar.yaml")
	cmd.Flags().BoolVar(&replace, "replace", false, "take the place of the sidecar that runs by the same state_dir; its name server loses no query")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if file == "" {
			return misuse(cmd, "--config FILE is missing")
		}
		start := sidecar.Open
		if replace {
			start = sidecar.Replace
		}
		return s.sidecar(cmd.Context(), file, start)
	}
	return cmd
}

func (s *session) sidecar(ctx context.Context, file string, start func(context.Context, string, *slog.Logger) (*sidecar.Sidecar, error)) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	running, err := start(ctx, file, s.logger())
	var faulty *sidecar.Faulty
	switch {
	case errors.As(err, &faulty):
		return s.notStarted(file, faulty.Remarks)
	case err != nil:
		return started("understudy: the sidecar did not start", file, err, readSidecar)
	}
	running.Run(ctx, hup)
	return nil
}

// notStarted shows every fault of a configuration file with which nothing starts.
func (s *session) notStarted(file string, faults []config.Remark) error {
	for _, r := range faults {
		fmt.Fprint(s.err, r.Show())
	}
	fmt.Fprintf(s.err, "%s: faults: %d; nothing was started\n", file, len(faults))
	return quiet(exitConfig)
}

// logger gives the log of a process that stays: text for a person, JSON for
// everything else.
func (s *session) logger() *slog.Logger {
	if s.terminal {
		return slog.New(slog.NewTextHandler(s.err, nil))
	}
	return slog.New(slog.NewJSONHandler(s.err, nil))
}
