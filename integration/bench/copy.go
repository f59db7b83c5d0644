package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/understudy-ha/understudy/haengine/replicate"
	"github.com/understudy-ha/understudy/internal/remote"
)

// What replication must reach, beside rsync -a on the same tree and through the
// same pipe.
const (
	mostIdle  = 1.5 // time of a run without changes
	mostWire  = 1.2 // bytes of a run with few changes
	leastRate = 0.7 // rate of a first copy of large files, its verification included
	mostEngMB = 100 // memory, for 200,000 files
)

// copyPair is a source and a sink of one tree in this process. What stands for
// ssh is this program; it counts what passes if it is told a file.
type copyPair struct {
	b       *bench
	dir     string
	from    string // trees
	to      string
	plain   string // of the bare rsync
	replica *replicate.Replica
	remote  replicate.Remote
	counter string
	stop    func()
}

func (b *bench) copy(ctx context.Context) error {
	b.say("\nReplication of files beside rsync -a, both through the same pipe: without changes, and with few")
	if err := b.copyIdle(ctx); err != nil {
		return err
	}
	return b.copyFew(ctx)
}

// newCopyPair makes two empty trees.
func (b *bench) newCopyPair(ctx context.Context) (*copyPair, error) {
	return b.newPairOf(ctx, func(p *copyPair) (from, to replicate.Set, err error) {
		of := func(tree string) replicate.Set {
			return replicate.Set{Name: "files", Type: "files", Tree: tree, Dataset: replicate.NewFiles(tree)}
		}
		return of(p.from), of(p.to), nil
	})
}

// newPairOf makes a source and a sink of one dataset.
func (b *bench) newPairOf(ctx context.Context, sets func(*copyPair) (from, to replicate.Set, err error)) (*copyPair, error) {
	dir, err := b.room()
	if err != nil {
		return nil, err
	}
	p := &copyPair{b: b, dir: dir, from: filepath.Join(dir, "from"), to: filepath.Join(dir, "to"), plain: filepath.Join(dir, "plain"), counter: filepath.Join(dir, "wire")}
	for _, at := range []string{p.from, p.to, p.plain} {
		if err := os.Mkdir(at, 0o755); err != nil { // #nosec G301 -- a tree to be copied
			return nil, err
		}
	}
	from, to, err := sets(p)
	if err != nil {
		return nil, err
	}
	source, err := p.side("source", from, replicate.Facts{Name: "core1", Active: true})
	if err != nil {
		return nil, err
	}
	src := &replicate.Source{Dir: source.Dir, Sets: source.Sets, Book: source.Book, Facts: source.Facts, Log: source.Log}
	if err := src.Open(); err != nil {
		return nil, err
	}
	sink, err := p.side("sink", to, replicate.Facts{Name: "core2", Standby: true})
	if err != nil {
		return nil, err
	}
	sink.Scrub = -1 // it has a budget of its own
	if p.replica, err = replicate.Open(sink); err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var serving sync.WaitGroup
	serving.Go(func() { _ = src.Listen(ctx, l) })
	p.stop = func() { cancel(); serving.Wait(); _ = os.RemoveAll(dir) }
	p.remote = replicate.Remote{SSH: b.self, Args: []string{"copy-pipe", socket, "-"}, Address: "core1"}
	return p, nil
}

func (p *copyPair) side(name string, set replicate.Set, f replicate.Facts) (replicate.Config, error) {
	dir := filepath.Join(p.dir, name)
	book, err := replicate.OpenBook(dir)
	return replicate.Config{
		Dir: dir, Book: book, Log: slog.New(slog.DiscardHandler),
		Sets:  []replicate.Set{set},
		Facts: func(context.Context) (replicate.Facts, error) { return f, nil },
	}, err
}

// ours runs a sync and says how long it took.
func (p *copyPair) ours(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	r := p.replica.Run(ctx, replicate.Order{From: "core1", AcceptDeletions: true}, func() (replicate.Remote, error) { return p.remote, nil })
	took := time.Since(began)
	if r.Result != replicate.Success {
		return took, fmt.Errorf("the sync: %s: %s", r.Result, r.Detail)
	}
	return took, nil
}

// bare runs rsync -a and says how long it took.
func (p *copyPair) bare(ctx context.Context) (time.Duration, error) { return p.bareOf(ctx, p.from) }

// bareOf is bare of another folder.
func (p *copyPair) bareOf(ctx context.Context, from string) (time.Duration, error) {
	began := time.Now()
	shell := strings.Join(append([]string{cmp.Or(p.remote.SSH, "ssh")}, p.remote.Args...), " ")
	out, err := exec.CommandContext(ctx, "rsync", "-a", "--delete", "-e", shell, p.remote.Address+":"+from+"/", p.plain+"/").CombinedOutput() // #nosec G204 -- our own
	if err != nil {
		return 0, fmt.Errorf("rsync: %w: %s", err, out)
	}
	return time.Since(began), nil
}

// count has what passes counted from now on.
func (p *copyPair) count() { p.remote.Args[2] = p.counter }

// wire gives what has passed since it was asked last.
func (p *copyPair) wire() (n int64) {
	text, _ := os.ReadFile(p.counter)
	for line := range strings.Lines(string(text)) {
		var one int64
		_, _ = fmt.Sscan(line, &one)
		n += one
	}
	_ = os.Remove(p.counter)
	return n
}

// fill writes files of a size into folders of a hundred.
func (p *copyPair) fill(files, bytes int) error {
	text := make([]byte, bytes)
	for i := range files {
		if i%100 == 0 {
			if err := os.Mkdir(filepath.Join(p.from, fmt.Sprint(i/100)), 0o755); err != nil { // #nosec G301
				return err
			}
		}
		for j := 0; j < len(text); j += 61 {
			text[j] = byte(i*31 + j*j/61)
		}
		if err := os.WriteFile(filepath.Join(p.from, fmt.Sprint(i/100), fmt.Sprint(i)), text, 0o644); err != nil { // #nosec G306
			return err
		}
	}
	return nil
}

func middle(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// copyIdle is a run without changes, and the memory that it takes.
func (b *bench) copyIdle(ctx context.Context) error {
	sizes := []int{2000, 20000, 200000}
	if b.runs == 1 {
		sizes = sizes[:2]
	}
	b.say("%10s %12s %12s %8s %10s", "files", "rsync -a", "sync", "ratio", "memory")
	for _, files := range sizes {
		p, err := b.newCopyPair(ctx)
		if err != nil {
			return err
		}
		err = p.fill(files, 1000)
		memory := peakMB()
		if err == nil {
			_, err = p.ours(ctx)
		}
		if err == nil {
			_, err = p.bare(ctx)
		}
		var ours, bare []time.Duration
		for range 5 {
			if err != nil {
				break
			}
			var a, o time.Duration
			if a, err = p.bare(ctx); err == nil {
				o, err = p.ours(ctx)
			}
			ours, bare = append(ours, o), append(bare, a)
		}
		p.stop()
		peak := memory()
		if err != nil {
			return err
		}
		o, a := middle(ours), middle(bare)
		b.say("%10d %12v %12v %8.2f %7d MB   (at most %.1f and %d MB)", files, a.Round(time.Millisecond), o.Round(time.Millisecond), o.Seconds()/a.Seconds(), peak, mostIdle, mostEngMB)
	}
	return nil
}

// peakMB looks at the memory of this process, which is source and sink in one,
// without what is only mapped from files, until the most of it is asked for.
func peakMB() (most func() int) {
	done, ended := make(chan struct{}), make(chan int)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		peak := 0
		for {
			text, _ := os.ReadFile("/proc/self/status")
			_, after, _ := strings.Cut(string(text), "RssAnon:")
			kb := 0
			_, _ = fmt.Sscan(after, &kb)
			peak = max(peak, kb/1024)
			select {
			case <-done:
				ended <- peak
				return
			case <-tick.C:
			}
		}
	}()
	return func() int { close(done); return <-ended }
}

// copyFew is a run with few changes: what passes through the pipe.
func (b *bench) copyFew(ctx context.Context) error {
	p, err := b.newCopyPair(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := p.fill(2000, 6000); err != nil {
		return err
	}
	large := make([]byte, 8<<20)
	for i := range large {
		large[i] = byte(i * i >> 7)
	}
	path := filepath.Join(p.from, "large")
	if err := os.WriteFile(path, large, 0o644); err != nil { // #nosec G306
		return err
	}
	for _, run := range []func(context.Context) (time.Duration, error){p.ours, p.bare} {
		if _, err := run(ctx); err != nil {
			return err
		}
	}
	copy(large[3<<20:], strings.Repeat("changed ", 512))
	err = os.WriteFile(path, large, 0o644) // #nosec G306
	for i := range 5 {
		err = errors.Join(err, os.WriteFile(filepath.Join(p.from, fmt.Sprint(i), fmt.Sprint(i*100)), []byte(strings.Repeat("changed", 800)), 0o644)) // #nosec G306
	}
	if err != nil {
		return err
	}
	p.count()
	if _, err := p.bare(ctx); err != nil {
		return err
	}
	bare := p.wire()
	if _, err := p.ours(ctx); err != nil {
		return err
	}
	ours := p.wire()
	if _, err := p.ours(ctx); err != nil {
		return err
	}
	b.say("six of 2,001 files changed, 4 KiB within 8 MiB: rsync -a moves %d bytes, a sync %d, ratio %.2f (at most %.1f); a sync without changes %d", bare, ours, float64(ours)/float64(bare), mostWire, p.wire())
	return nil
}

// copyFirst is the first copy of large files.
func (b *bench) copyFirst(ctx context.Context) error {
	b.say("\nThe first copy of files beside rsync -a, both over ssh")
	for _, size := range []int{1 << 20, 16 << 20} {
		p, err := b.newCopyPair(ctx)
		if err != nil {
			return err
		}
		files := 512 << 20 / size
		var ours, bare time.Duration
		end, err := p.overSSH(ctx)
		if err != nil {
			p.stop()
			return err
		}
		if err = p.fill(files, size); err == nil {
			if bare, err = p.bare(ctx); err == nil {
				ours, err = p.ours(ctx)
			}
		}
		end()
		p.stop()
		if err != nil {
			return err
		}
		rate := func(d time.Duration) float64 { return float64(files) * float64(size) / 1e6 / d.Seconds() }
		b.say("%d files of %d MiB: rsync -a %.0f MB/s, a sync %.0f MB/s with its verification, ratio %.2f (at least %.1f)", files, size>>20, rate(bare), rate(ours), rate(ours)/rate(bare), leastRate)
	}
	return nil
}

// runCopyPipe stands for ssh, sshd and the forced command: the source's socket, a
// file to count in or -, the host, and what is asked.
func runCopyPipe(_ context.Context, args []string) error {
	socket, counter, words := args[0], args[1], args[2:]
	if words[0] == "--" {
		words = words[1:]
	}
	asked := strings.Join(words[1:], " ")
	in, out := &counted{r: os.Stdin}, &counted{w: os.Stdout}
	if asked == replicate.SessionCommand {
		err := remote.Relay(socket, "core2", in, out)
		return errors.Join(err, in.note(counter, out))
	}
	cmd := exec.Command(words[1], words[2:]...) // #nosec G204 -- what rsync's client asks for
	cmd.Stderr = os.Stderr
	if counter == "-" {
		path, err := exec.LookPath(words[1])
		if err != nil {
			return err
		}
		return syscall.Exec(path, words[1:], os.Environ()) // #nosec G204 -- the same
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _, _ = io.Copy(stdin, in); _ = stdin.Close() }()
	return errors.Join(cmd.Wait(), in.note(counter, out))
}

// counted counts what passes.
type counted struct {
	r io.Reader
	w io.Writer
	n atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n.Add(int64(n))
	return n, err
}

func (c *counted) note(file string, other *counted) error {
	if file == "-" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, c.n.Load()+other.n.Load())
	return errors.Join(err, f.Close())
}
