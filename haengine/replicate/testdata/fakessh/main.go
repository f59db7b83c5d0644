// Command fakessh is ssh, sshd and the forced command in one process, for the
// tests: it gets the source's socket, as=NAME if it calls as another node than
// core2, and what rsync or a session asks for. The tests' own binary could do it
// too, but a sync starts it twice, and with the race detector that costs more
// than the sync.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/understudy-ha/understudy/internal/remote"
)

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(77)
	}
}

func serve(args []string) error {
	socket, peer := args[0], "core2"
	args = args[1:]
	if as, ok := strings.CutPrefix(args[0], "as="); ok {
		peer, args = as, args[1:]
	}
	if args[0] == "--" {
		args = args[1:]
	}
	q, err := remote.ParseRequest(strings.Join(args[1:], " "))
	if err != nil {
		return err
	}
	if q.Session {
		return remote.Relay(socket, peer, os.Stdin, os.Stdout)
	}
	rsync, err := exec.LookPath("rsync")
	if err != nil {
		return err
	}
	argv := append([]string{"rsync", "--server", "--sender"}, q.Options...)
	return syscall.Exec(rsync, append(argv, ".", q.Root+"/"), []string{"LC_ALL=C"})
}
