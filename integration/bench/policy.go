package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

var benchLine = regexp.MustCompile(`(?m)^(Benchmark\S+)\s+\d+\s+([\d.]+) ns/op(?:.*?\s(\d+) allocs/op)?`)

// policy runs the Go benchmarks of the selection policy.
func (b *bench) policy(ctx context.Context) error {
	b.title("policy", "what it takes to choose a node, go test -bench Policy, 5 runs: minimum / median / maximum")
	text, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "Policy", "-benchmem", "-count", "5",
		"github.com/understudy-ha/understudy/caddymodule").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test: %w: %s", err, text)
	}
	took, allocs := map[string]series{}, map[string]string{}
	var names []string
	for _, m := range benchLine.FindAllSubmatch(text, -1) {
		name := string(m[1])
		ns, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return err
		}
		if len(took[name]) == 0 {
			names = append(names, name)
		}
		took[name], allocs[name] = append(took[name], ns), string(m[3])
	}
	if len(names) == 0 {
		b.say("caddymodule has no benchmark of that name\n")
		return nil
	}
	t := newTable(b.out, "benchmark", "ns a choice", "allocations")
	for _, name := range names {
		t.row(name, took[name].three(2), allocs[name])
	}
	t.Flush()
	b.say("")
	return nil
}
