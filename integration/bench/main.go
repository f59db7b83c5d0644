// Command bench measures the front beside its peers, all in one run on one
// machine, and prints tables of figures with their ratios.
//
//	go run ./integration/bench [flags] [crash] [hang] [throughput] [scale] [policy] [proxy] [dns] [copy] [growth] [first] [databases]
//
// Without a name it runs all. Peers are HAProxy and the reverse_proxy of the
// same binary without an understudy block; for the name server gdnsd, NSD and
// Knot; for replication rsync, pg_dump, mariadb-dump and sqlite3. Everything
// listens on loopback, nodes are processes of their own so that kill -9 and
// SIGSTOP are real ones, and nothing is left behind. The exit code tells whether
// everything could be run, not whether the figures please.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	binary   string
	runs     int
	rate     int
	posts    int
	pairs    int
	slice    time.Duration
	groups   string
	measure  time.Duration
	profiles string
}

// bench is one run of the program.
type bench struct {
	options
	out  io.Writer
	dir  string // temporary, removed at the end
	self string // this program, which is also the nodes
}

// scenario is one thing that is measured.
type scenario struct {
	name string
	run  func(*bench, context.Context) error
}

var scenarios = []scenario{
	{"crash", (*bench).crash},
	{"hang", (*bench).hang},
	{"throughput", (*bench).throughput},
	{"scale", (*bench).scale},
	{"policy", (*bench).policy},
	{"proxy", (*bench).proxy},
	{"dns", (*bench).dns},
	{"copy", (*bench).copy},
	{"growth", (*bench).copyGrow},
	{"first", (*bench).copyFirst},
	{"databases", (*bench).databases},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := runBench
	args := os.Args[1:]
	if len(args) > 0 {
		switch args[0] {
		case "node":
			run, args = runNode, args[1:]
		case "pages":
			run, args = runPages, args[1:]
		case "dns-server":
			run, args = runDNS, args[1:]
		case "proxy":
			run, args = runProxy, args[1:]
		case "copy-pipe":
			run, args = runCopyPipe, args[1:]
		case "copy-forced":
			run, args = runCopyForced, args[1:]
		}
	}
	switch err := run(ctx, args); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// runBench runs the scenarios that args name, all of them if it names none.
func runBench(ctx context.Context, args []string) (err error) {
	b := &bench{out: os.Stdout}
	names, err := b.parse(args)
	if err != nil {
		return err
	}
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if _, err := os.Stat(b.binary); err != nil {
		return fmt.Errorf("find the binary to measure (make build makes it): %w", err)
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "understudy-bench-"); err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, os.RemoveAll(b.dir)) }()
	began := time.Now()
	var errs []error
	for _, s := range scenarios {
		if len(names) > 0 && !slices.Contains(names, s.name) || ctx.Err() != nil {
			continue
		}
		if err := s.run(b, ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	b.say("took %s", time.Since(began).Round(time.Second))
	return errors.Join(append(errs, ctx.Err())...)
}

// parse reads the flags and gives the names of scenarios.
func (b *bench) parse(args []string) ([]string, error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&b.binary, "binary", "bin/understudy", "the binary to measure")
	flags.IntVar(&b.runs, "runs", 3, "runs of crash and hang for each front")
	flags.IntVar(&b.rate, "rate", 1000, "GETs a second in crash and hang")
	flags.IntVar(&b.posts, "posts", 100, "POSTs a second in crash and hang")
	flags.IntVar(&b.pairs, "pairs", 20, "rounds of throughput")
	flags.DurationVar(&b.slice, "slice", 2*time.Second, "how long the fronts are loaded at once in one round of throughput")
	flags.StringVar(&b.groups, "groups", "10,100,1000,10000", "sizes of scale")
	flags.DurationVar(&b.measure, "measure", 30*time.Second, "how long each size of scale is measured")
	flags.StringVar(&b.profiles, "profile", "", "folder for profiles of our process; taking them costs it some of what is measured")
	short := flags.Bool("short", false, "one run, 4 pairs, 10 and 100 groups for 10s: to see that everything works")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if *short {
		b.runs, b.pairs, b.groups, b.measure = 1, 4, "10,100", 10*time.Second
	}
	if b.runs < 1 || b.rate < 1 || b.posts < 1 || b.pairs < 1 || b.slice < time.Second || b.measure < time.Second {
		return nil, errors.New("the flags must be numbers from 1 and durations from 1s")
	}
	for _, name := range flags.Args() {
		if !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == name }) {
			return nil, fmt.Errorf("there is no scenario %q: %s", name, strings.Join(scenarioNames(), ", "))
		}
	}
	return flags.Args(), nil
}

func scenarioNames() (names []string) {
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// say prints one line.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

// room makes a folder for one set of processes.
func (b *bench) room() (string, error) { return os.MkdirTemp(b.dir, "") }
