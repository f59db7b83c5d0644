package ha_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// sampled is how many source mutants are tried where it is not a soak.
const sampled = 12

// first are the tests that most mutants do not outlive: the tables. What
// outlives them meets every other test, with fewer draws than usual.
const (
	first = "^Test(TheRule|APersons|AGroup|APage|AStored|AProfile|AGeneric|ANodes|ASituation|AProbe|TheRight|TheDefaults|Words|TheZero|AFailover|WhatAPage|AHold|Learn|Evidence|Provide|ARefusal|WhatAGroup|NoRules|Watchers|Voices|Weighing|Grace|NoFailoverWithout)"
	skips = "Mutant|Catches|AllocatesNothing|Fuzz"
)

// TestNoMutantOfTheSourceLives puts every fault of mutator into the source,
// one at a time, and wants a test to notice. All of them are compiled into one
// binary; UNDERSTUDY_MUTANT says which one is in force.
func TestNoMutantOfTheSourceLives(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go tool")
	}
	bin, all := buildMutants(t)
	tried := all
	if !soak {
		tried = sample(all)
	}
	var mu sync.Mutex // guards caught and alive
	caught, alive, equal := map[string]int{}, []string{}, 0
	var work sync.WaitGroup
	queue := make(chan mutation)
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for m := range queue {
				by := runMutant(t, bin, m)
				mu.Lock()
				caught[by]++
				_, same := equivalent[m.String()]
				switch {
				case by == "" && same:
					equal++
				case by == "":
					alive = append(alive, m.String())
				case same:
					t.Errorf("%v is said to change nothing, but %s notices it", m, by)
				}
				mu.Unlock()
				if soak {
					t.Logf("%v: %s", m, by)
				}
			}
		})
	}
	for _, m := range tried {
		queue <- m
	}
	close(queue)
	work.Wait()
	slices.Sort(alive)
	for _, m := range alive {
		t.Errorf("alive: %s", m)
	}
	t.Logf("%d of %d mutants of the source tried: %d caught, %d change nothing, %d alive", len(tried), len(all), len(tried)-equal-len(alive), equal, len(alive))
	if soak {
		for m := range equivalent {
			if !slices.ContainsFunc(all, func(o mutation) bool { return o.String() == m }) {
				t.Errorf("there is no mutant %s any more", m)
			}
		}
	}
}

// sample draws mutants by the seed of the run, and by what they are: a change
// elsewhere in the source does not change the draw.
func sample(all []mutation) []mutation {
	seed := cmp.Or(os.Getenv("UNDERSTUDY_SEED"), "1")
	rank := func(m mutation) uint64 {
		h := fnv.New64a()
		fmt.Fprint(h, seed, m)
		return h.Sum64()
	}
	drawn := slices.Clone(all)
	slices.SortFunc(drawn, func(a, b mutation) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.id, b.id)) })
	return drawn[:min(sampled, len(drawn))]
}

// buildMutants compiles this package's tests over the source with all mutants
// in it, switched off.
func buildMutants(t *testing.T) (bin string, all []mutation) {
	t.Helper()
	dir := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	put := func(name string, text []byte) {
		at := filepath.Join(dir, name)
		if err := os.WriteFile(at, text, 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(here, name)] = at
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	m := newMutator(t, files)
	for _, name := range files {
		if !strings.HasSuffix(name, "_test.go") {
			put(name, m.mutate(name))
		}
	}
	put("mutants.go", []byte(mutantsSource))
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(at, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	bin = filepath.Join(dir, "ha.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", at, "-o", bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the mutants: %v\n%s", err, out)
	}
	if by := runMutant(t, bin, mutation{}); by != "" {
		t.Fatalf("with no mutant in force %s fails", by)
	}
	return bin, m.all
}

const mutantsSource = `package ha

import (
	"os"
	"strconv"
)

var mutantInForce, _ = strconv.Atoi(os.Getenv("UNDERSTUDY_MUTANT"))

func mutantOn(id int) bool { return id == mutantInForce }

func mutantPick[T any](id int, was, becomes T) T {
	if mutantOn(id) {
		return becomes
	}
	return was
}
`

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// runMutant gives the test that notices a mutant, or "".
func runMutant(t *testing.T, bin string, m mutation) string {
	t.Helper()
	for _, args := range [][]string{
		{"-test.run", first},
		{"-test.run", "^Test", "-test.skip", skips + "|" + first, "-rapid.checks", "1000"},
	} {
		cmd := exec.CommandContext(t.Context(), bin, append(args, "-test.timeout", "60s", "-test.failfast")...)
		cmd.Env = append(os.Environ(), fmt.Sprintf("UNDERSTUDY_MUTANT=%d", m.id), "UNDERSTUDY_SOAK=", "UNDERSTUDY_SEED=1")
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		switch {
		case err == nil:
			continue
		case !errors.As(err, &exit):
			t.Errorf("%v: %v", m, err)
			return "nothing"
		case bytes.Contains(out, []byte("panic: ")):
			return "a panic"
		}
		names := failed.FindAllSubmatch(out, -1)
		if len(names) == 0 {
			return "an exit"
		}
		longest := names[0][1]
		for _, n := range names {
			if bytes.HasPrefix(n[1], names[0][1]) && len(n[1]) > len(longest) {
				longest = n[1]
				break
			}
		}
		return string(longest)
	}
	return ""
}

// equivalent lists the mutants that change nothing anybody can see, and why.
var equivalent = map[string]string{
	"page.go firstLine: i >= 0 => >": "what is left after TrimSpace does not begin with a line end",
}
