// Understudy keeps an application that runs as an active server and its
// stand-by reachable. This is its one binary: the front, the watchers and the
// tools for people; called failover it is the documented appliance command.
//
// A command is one file with one constructor, entered in commands.go; what
// commands have in common stands in session.go (how they are run), ask.go (how
// they reach the API) and voice.go (how they speak and exit).
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/understudy-ha/understudy/cmd/understudy/hush"
	"github.com/understudy-ha/understudy/cmd/understudy/lean"
)

func main() {
	hush.End()
	lean.Soon()
	if len(os.Args) > 1 && os.Args[1] == "caddy" {
		runCaddy(os.Args[2:]) // it has signals and exit codes of its own
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, ours())
	stop()
	os.Exit(code)
}
