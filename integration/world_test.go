//go:build linux

package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/understudy-ha/understudy/internal/ha"
)

// world is a network of its own, of machines that reach one another only
// through one router, so that every way between two of them can be cut, in one
// direction or both. It is made of network namespaces, each held by a process
// of the test, and is gone with it.
type world struct {
	t      *testing.T
	router *process
	hosts  []*host
}

// host is a machine of a world.
type host struct {
	world   *world
	name    string
	address string // IPv4
	*process
}

// newWorld gives a world without machines. It needs root.
func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make network namespaces")
	}
	w := &world{t: t}
	w.router = w.namespace()
	w.within(w.router, "", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward && ip link set lo up")
	return w
}

// namespace gives a process that holds an empty network.
func (w *world) namespace() *process {
	w.t.Helper()
	said := new(output)
	cmd := exec.Command("unshare", "--net", "--", "sh", "-c", "echo there; exec sleep 3600")
	cmd.Stdout, cmd.Stderr = said, said
	p := run(w.t, cmd)
	await(w.t, "a network namespace", func() bool {
		if !p.up() {
			w.t.Fatalf("unshare: %s", said)
		}
		return said.String() == "there\n"
	})
	return p
}

// within runs a program in a network to its end.
func (w *world) within(p *process, input, name string, args ...string) string {
	w.t.Helper()
	cmd := inside(p, name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %s: %v: %s%s", name, strings.Join(args, " "), err, input, out)
	}
	return string(out)
}

func inside(p *process, name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", p.cmd.Process.Pid), "--", name}, args...)...)
}

// host adds a machine.
func (w *world) host(name, address string) *host {
	w.t.Helper()
	h := &host{world: w, name: name, address: address, process: w.namespace()}
	link := fmt.Sprintf("to%d", len(w.hosts))
	w.hosts = append(w.hosts, h)
	w.within(w.router, strings.NewReplacer("LINK", link, "PID", fmt.Sprint(h.cmd.Process.Pid), "ADDRESS", address).Replace(`link add LINK type veth peer name eth0 netns PID
addr add 169.254.0.1/32 dev LINK
link set LINK up
route add ADDRESS/32 dev LINK
`), "ip", "-batch", "-")
	w.within(h.process, strings.ReplaceAll(`link set lo up
addr add ADDRESS/32 dev eth0
link set eth0 up
route add 169.254.0.1 dev eth0
route add default via 169.254.0.1 src ADDRESS
`, "ADDRESS", address), "ip", "-batch", "-")
	return h
}

// cut has nothing pass between a machine and others any more, and tells nobody,
// as a firewall does that drops.
func (w *world) cut(a *host, others ...*host) { w.rules("add", a, others) }

// mend is the other way.
func (w *world) mend(a *host, others ...*host) { w.rules("del", a, others) }

func (w *world) rules(verb string, a *host, others []*host) {
	w.t.Helper()
	var batch strings.Builder
	for _, b := range others {
		fmt.Fprintf(&batch, "rule %s from %s to %s blackhole\nrule %s from %s to %s blackhole\n", verb, a.address, b.address, verb, b.address, a.address)
	}
	w.within(w.router, batch.String(), "ip", "-batch", "-")
}

// command gives a program that will run on the machine; on none it runs where
// the test does.
func (h *host) command(name string, args ...string) *exec.Cmd {
	if h == nil {
		return exec.Command(name, args...)
	}
	return inside(h.process, name, args...)
}

// at gives the address of a port of the machine.
func (h *host) at(port int) string { return net.JoinHostPort(h.address, fmt.Sprint(port)) }

// dial connects from the machine.
func (h *host) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.there(func() (err error) {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// there does something in the machine's network. A socket belongs to the network
// in which it was made, so one thread of the test goes there for as long as that
// takes.
func (h *host) there(do func() error) error {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", h.cmd.Process.Pid))
	if err != nil {
		return err
	}
	defer there.Close()
	runtime.LockOSThread() // a thread that cannot come home ends with its goroutine
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	err = do()
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// asks gives the address that a name has by a server, as the machine is told,
// or what is wrong.
func (h *host) asks(server, name string) string {
	conn, err := h.dial(context.Background(), "udp", net.JoinHostPort(server, "53"))
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	client := &dns.Client{Timeout: 2 * time.Second}
	reply, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion(name, dns.TypeA), &dns.Conn{Conn: conn})
	switch {
	case err != nil:
		return err.Error()
	case reply.Rcode != dns.RcodeSuccess:
		return dns.RcodeToString[reply.Rcode]
	}
	for _, rr := range reply.Answer {
		if a, is := rr.(*dns.A); is {
			return a.A.String()
		}
	}
	return "no address"
}

// node starts a node on the machine.
func (h *host) node(state ha.State) *child {
	h.world.t.Helper()
	c := &child{t: h.world.t, log: new(output), inside: h, birth: birth{Name: h.name, Listen: h.at(8080), State: state}, came: map[told]int{}}
	c.Start()
	return c
}
