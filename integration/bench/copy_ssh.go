package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/haengine/replicate"
)

// overSSH puts a real ssh and sshd in the place of the pipe, for both.
func (p *copyPair) overSSH(ctx context.Context) (end func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	for _, key := range []string{"host", "user"} {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(p.dir, key)).CombinedOutput(); err != nil { // #nosec G204 -- our own
			return nil, fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	public, err := os.ReadFile(filepath.Join(p.dir, "user.pub"))
	if err != nil {
		return nil, err
	}
	_ = os.Mkdir("/run/sshd", 0o755) // #nosec G301 -- sshd wants it so
	config := fmt.Sprintf("ListenAddress 127.0.0.1:%s\nHostKey %s/host\nAuthorizedKeysFile %s/keys\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n", port, p.dir, p.dir)
	line := fmt.Sprintf("restrict,command=%q %s", p.b.self+" copy-forced "+p.remote.Args[1], public)
	if err := errors.Join(os.WriteFile(filepath.Join(p.dir, "sshd"), []byte(config), 0o600), os.WriteFile(filepath.Join(p.dir, "keys"), []byte(line), 0o600)); err != nil {
		return nil, err
	}
	sshd := exec.CommandContext(ctx, "/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(p.dir, "sshd")) // #nosec G204 -- our own
	if err := sshd.Start(); err != nil {
		return nil, err
	}
	p.remote = replicate.Remote{Address: "127.0.0.1", Args: []string{
		"-F", "none", "-T", "-x", "-i", filepath.Join(p.dir, "user"), "-p", port, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "Compression=no",
	}}
	return func() { _ = sshd.Process.Kill(); _ = sshd.Wait() }, p.answers(ctx)
}

// answers waits for sshd.
func (p *copyPair) answers(ctx context.Context) (err error) {
	for range 100 {
		if err = exec.CommandContext(ctx, "ssh", append(slices.Clone(p.remote.Args), p.remote.Address, "true")...).Run(); err == nil { // #nosec G204 -- our own
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("sshd does not answer: %w", err)
}

// runCopyForced is the forced command: what was asked stands in the environment.
func runCopyForced(ctx context.Context, args []string) error {
	asked := strings.Fields(os.Getenv("SSH_ORIGINAL_COMMAND"))
	if len(asked) == 1 && asked[0] == "true" {
		return nil
	}
	return runCopyPipe(ctx, append([]string{args[0], "-", "host"}, asked...))
}
