package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// TestOK is what a passed test of the connection says, by the letter (EPMM
// guide, Step 4: exchange SSH keys between servers).
const TestOK = "Test was successful"

const (
	testTime = 20 * time.Second
	mostSaid = 4 << 10
)

// Test sees whether this host and a trusted one can work together: this host
// calls the other's engine and the other's SSH, each with pinned keys. That it
// works the other way round is tested there. All faults are told at once.
func (t *Trust) Test(ctx context.Context, h Host) error {
	ctx, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	p := t.Peer(h, 0)
	defer p.Close()
	_, err := p.Report(ctx)
	if t.SSH == nil || h.Role != Node {
		return err
	}
	return errors.Join(err, t.testSSH(ctx, h))
}

// testSSH calls the system's ssh as a sync does.
func (t *Trust) testSSH(ctx context.Context, h Host) error {
	if len(h.SSH.HostKeys) == 0 {
		return fmt.Errorf("ssh: the host key of %s is not known, so it is not called: remove it and paste its whole Local Server SSH Key, or pair by string", h.Name)
	}
	cmd := exec.CommandContext(ctx, "ssh", append(t.SSHArgs(h), "--", h.Address(), testCommand)...) // #nosec G204 -- all of it passed Card.Check
	out, said := &bounded{}, &bounded{}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, said, time.Second
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"}
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("ssh: this machine has no ssh: install openssh-client")
	case ctx.Err() != nil:
		return fmt.Errorf("ssh: %s at %s did not answer within %s", h.Name, h.Address(), testTime)
	case err != nil:
		return fmt.Errorf("ssh: %s", sshFault(h, said.String()+out.String()))
	}
	var answer hello
	if err := decode(&out.Buffer, &answer); err != nil {
		return fmt.Errorf("ssh: %s answers %s, which is not Understudy's forced command: see that our line in its authorized_keys is the only one with this node's key", h.Name, cut(out.String()))
	}
	if answer.Name != h.Name || answer.Peer != t.name {
		return fmt.Errorf("ssh: %s answers as %s and calls this node %s: pair again", h.Name, cut(answer.Name), cut(answer.Peer))
	}
	return nil
}

// sshFault says what ssh's own words mean here.
func sshFault(h Host, said string) string {
	at := fmt.Sprintf("%s at %s", h.Name, h.Address())
	for _, f := range []struct{ has, means string }{
		{"HOST IDENTIFICATION HAS CHANGED", at + " shows another host key than the one that is trusted: nothing was sent; if it has a new key, on both nodes: failover deploy-ssh-key, else somebody is between you"},
		{"Host key verification failed", at + " shows another host key than the one that is trusted: nothing was sent; if it has a new key, on both nodes: failover deploy-ssh-key, else somebody is between you"},
		{"Permission denied", at + " does not take this node's key; add this node there, or run there: failover trusted-hosts apply"},
		{"Connection refused", fmt.Sprintf("nothing listens at %s, port %d", at, h.SSH.Port)},
		{"timed out", fmt.Sprintf("%s does not answer; open port %d between the nodes in both directions", at, h.SSH.Port)},
		{"account is currently not available", fmt.Sprintf("%s: the shell of the user %s there runs no command; as root there: usermod --shell /bin/sh %[2]s", at, h.SSH.User)},
		{"Could not resolve hostname", "the name " + h.Address() + " is not known here"},
		{"refused: ", at + " refuses: " + cut(strings.TrimSpace(said))},
	} {
		if strings.Contains(said, f.has) {
			return f.means
		}
	}
	return at + ": " + cut(strings.TrimSpace(said))
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := mostSaid - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// Deploy sends this node's SSH key, host keys and addresses to a trusted node
// over the proven TLS connection, takes that node's own, and writes what SSH
// reads on both.
func (t *Trust) Deploy(ctx context.Context, h Host, by string) error {
	if t.SSH == nil || h.Role != Node {
		return fmt.Errorf("%s and this host: only two nodes exchange SSH keys", h.Name)
	}
	p := t.Peer(h, 0)
	defer p.Close()
	c, err := p.exchange(ctx, t.Card())
	if err != nil {
		return err
	}
	if err := c.Check(); err != nil {
		return fmt.Errorf("what %s tells of itself cannot be: %w", h.Name, err)
	}
	if c.Name != h.Name || c.Role != h.Role || c.Pin != h.Pin {
		return fmt.Errorf("%s answers as %s: nothing was changed here", h.Name, cut(c.Name))
	}
	return t.Add(c, by, time.Now())
}
