package dnsgtm

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// childConfig in the environment makes a copy of the test binary a name server.
const childConfig = "UNDERSTUDY_DNS_CHILD"

func TestMain(m *testing.M) {
	if file := os.Getenv(childConfig); file != "" {
		if err := beServer(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// beServer serves by a Config in JSON, offers its sockets in the state
// directory, moves traffic to and fro for each byte that it reads, and ends
// when the sockets are taken.
func beServer(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c Config
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	s, err := New(c, discard)
	if err != nil {
		return err
	}
	s.Tell(serves("mdm", "core1"))
	if err := s.Start(context.Background()); err != nil {
		return err
	}
	taken, err := s.Offer(context.Background(), filepath.Join(c.StateDir, "s"))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	go func() {
		one := make([]byte, 1)
		for i := 0; ; i++ {
			if _, err := os.Stdin.Read(one); err != nil {
				return
			}
			s.Tell(serves("mdm", []string{"core2", "core1"}[i%2]))
			fmt.Println(s.serial())
		}
	}()
	<-taken
	return nil
}

// child is a name server in a process of its own.
type child struct {
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

func newChild(t *testing.T, c Config) *child {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childConfig+"="+write(t, t.TempDir(), "config", string(text)))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &child{cmd, in, bufio.NewReader(out)}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := p.out.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the server said %q: %v", line, err)
	}
	return p
}

// move makes the process move traffic and gives the serial that it had then.
func (p *child) move(t *testing.T) (serial uint32) {
	t.Helper()
	if _, err := p.in.Write([]byte{'.'}); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscanln(p.out, &serial); err != nil {
		t.Fatal(err)
	}
	return serial
}

// kill -9 in the middle of failovers, again and again: no serial comes twice.
func TestKilledProcessesNeverUseASerialTwice(t *testing.T) {
	t.Parallel()
	c := example()
	c.StateDir = t.TempDir()
	c.Zones[0].Names = c.Zones[0].Names[:1]
	last := uint32(0)
	for round := range 8 {
		p := newChild(t, c)
		for range 1 + 180*round {
			serial := p.move(t)
			if serial <= last {
				t.Fatalf("round %d: serial %d after %d", round, serial, last)
			}
			last = serial
		}
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// One process takes over from another, under load.
func TestAnotherProcessTakesOverWithoutALostQuery(t *testing.T) {
	t.Parallel()
	c := example()
	c.StateDir = t.TempDir()
	c.Listen = []string{"127.0.0.1:" + freePort(t)}
	c.Zones[0].Names = c.Zones[0].Names[:1]
	old := newChild(t, c)
	old.move(t)
	serial := old.move(t)

	ctx, stop := context.WithCancel(context.Background())
	asked := make(chan int)
	for _, network := range []string{"udp", "udp", "tcp"} {
		go func() { asked <- hammer(ctx, t, network, c.Listen[0]) }()
	}
	s := told(t, c)
	if err := s.Take(t.Context(), filepath.Join(c.StateDir, "s")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := old.cmd.Wait(); err != nil {
		t.Errorf("the old process ended with %v", err)
	}
	before := s.Figures().Replies["NOERROR"]
	await(t, "more queries", func() bool { return s.Figures().Replies["NOERROR"] > before+100 })
	stop()
	for range 3 {
		<-asked
	}
	if s.serial() != serial {
		t.Errorf("the serial is %d, the old process had %d", s.serial(), serial)
	}
	s.Tell(serves("mdm", "dr1"))
	if got := tries(c.Listen[0], "mdm.example.com", dns.TypeA); got != "A 198.51.100.10" {
		t.Errorf("got %s", got)
	}
}
