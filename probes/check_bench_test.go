package probes

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// served is the environment variable by which the test binary becomes the node
// of a benchmark, so that only the probes' own work is measured.
const served = "UNDERSTUDY_BENCH_NODE"

// TestNodeOfABenchmark is a node in another process. It writes its port, and
// then, for every line it reads, how many connections it has had.
func TestNodeOfABenchmark(t *testing.T) {
	if os.Getenv(served) == "" {
		t.Skip("it is for the benchmarks")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var had atomic.Int64
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			had.Add(1)
			go func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 1024))
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 21\r\nConnection: close\r\n\r\n"+okStatus)
			}()
		}
	}()
	fmt.Println(ln.Addr().(*net.TCPAddr).Port)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(had.Load())
	}
}

// farNode is a node in another process.
type farNode struct {
	url string
	in  io.Writer
	out *bufio.Reader
}

func startFarNode(b *testing.B) *farNode {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNodeOfABenchmark$")
	cmd.Env = append(os.Environ(), served+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	n := &farNode{in: in, out: bufio.NewReader(out)}
	n.url = fmt.Sprintf("http://127.0.0.1:%d", n.number(b))
	return n
}

func (n *farNode) number(b *testing.B) int {
	b.Helper()
	line, err := n.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	number, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		b.Fatal(err)
	}
	return number
}

// had gives how many connections the node has had.
func (n *farNode) had(b *testing.B) int {
	_, _ = io.WriteString(n.in, "\n")
	return n.number(b)
}

// cpu is what this process has used, in user and kernel.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func reportCPU(b *testing.B, used time.Duration, probes int) {
	b.ReportMetric(float64(used.Nanoseconds())/1000/float64(probes), "cpu-µs/probe")
}

func BenchmarkCheck(b *testing.B) {
	n := startFarNode(b)
	c := checker(b, Target{URL: n.url})
	b.Run("one after another", func(b *testing.B) {
		b.ReportAllocs()
		began := cpu()
		for b.Loop() {
			if r := c.Check(statusPage); !r.State.Available() {
				b.Fatal(r)
			}
		}
		reportCPU(b, cpu()-began, b.N)
	})
	for _, at := range []int{1, 10, 40} {
		b.Run(fmt.Sprintf("400 a second/%d at a time", at), func(b *testing.B) {
			began := cpu()
			paced(b, at, func() {
				if r := c.Check(statusPage); !r.State.Available() {
					b.Error(r)
				}
			})
			reportCPU(b, cpu()-began, b.N)
		})
	}
}

// paced does probe b.N times, 400 a second, some at a time: 1,000 groups of
// two nodes at an interval of 5 s.
func paced(b *testing.B, at int, probe func()) {
	b.Helper()
	tick := time.NewTicker(time.Second / 400 * time.Duration(at))
	defer tick.Stop()
	var probes sync.WaitGroup
	for i := range b.N {
		if i%at == 0 {
			<-tick.C
		}
		probes.Go(probe)
	}
	probes.Wait()
}

// BenchmarkHAProxyCheck is the peer: the same 400 checks a second by HAProxy.
func BenchmarkHAProxyCheck(b *testing.B) {
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		b.Skip("no haproxy here")
	}
	n := startFarNode(b)
	var config strings.Builder
	config.WriteString("global\n nbthread 1\n maxconn 4000\ndefaults\n mode http\n timeout connect 2s\n timeout server 2s\n timeout client 2s\n timeout check 2s\nfrontend f\n bind abns@understudy-bench\n")
	for i := range 1000 {
		fmt.Fprintf(&config, "backend b%d\n option httpchk\n http-check send meth GET uri /status/status.html ver HTTP/1.1 hdr Host 127.0.0.1 hdr Accept-Encoding identity\n http-check expect string %q\n", i, okStatus)
		for _, name := range []string{"core1", "core2"} {
			fmt.Fprintf(&config, " server %s %s check inter 5s fall 3 rise 2\n", name, strings.TrimPrefix(n.url, "http://"))
		}
	}
	file := b.TempDir() + "/haproxy.cfg"
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(haproxy, "-db", "-f", file)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	until := func(checks int) {
		for n.had(b) < checks {
			time.Sleep(10 * time.Millisecond)
		}
	}
	until(2000) // its start is done
	b.ResetTimer()
	began, had := cpuOf(b, cmd.Process.Pid), n.had(b)
	until(had + b.N)
	reportCPU(b, cpuOf(b, cmd.Process.Pid)-began, n.had(b)-had)
}

// cpuOf is what another process has used.
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		b.Skip(err)
	}
	nanoseconds, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(nanoseconds)
}

// A probe's own share of the garbage is bounded; the rest is package net's.
func TestAProbeAllocatesLittle(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 21\r\n\r\n" + okStatus
	text := strings.NewReader(answer)
	near := &early{Reader: text}
	c := checker(t, Target{URL: "http://core1.example", Dial: func(string, time.Duration) (net.Conn, error) {
		text.Reset(answer)
		return near, nil
	}})
	const most = 4
	if got := testing.AllocsPerRun(1000, func() { c.Check(statusPage) }); got > most {
		t.Errorf("got %.0f allocations, want at most %d beside those of the network", got, most)
	}
}
