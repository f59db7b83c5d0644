package ha_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/ha"
)

// A cell is one phase and one event.
type cell struct {
	in ha.Phase
	on ha.On
}

func (c cell) String() string { return fmt.Sprintf("%v, %v", c.in, c.on) }

// cellsOf gives the rows of every cell, by phase and event.
func cellsOf(table ha.Table) map[cell][]ha.Row {
	cells := map[cell][]ha.Row{}
	for _, in := range ha.Phases() {
		for _, on := range ha.Events() {
			cells[cell{in, on}] = nil
		}
	}
	for _, row := range table.Rows {
		for _, in := range row.In {
			for _, on := range row.On {
				cells[cell{in, on}] = append(cells[cell{in, on}], row)
			}
		}
	}
	return cells
}

// faultsOf tries every combination of the conditions that a cell's rows name,
// possible or not, and gives those for which not exactly one row fits.
func faultsOf(c cell, rows []ha.Row) []string {
	var names []ha.Cond
	for _, row := range rows {
		for _, cond := range row.If {
			names = append(names, cond&^ha.Not)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	var faults []string
	for bits := range 1 << len(names) {
		var fit []string
		for _, row := range rows {
			if !slices.ContainsFunc(row.If, func(cond ha.Cond) bool {
				holds := bits>>slices.Index(names, cond&^ha.Not)&1 == 1
				return holds == (cond&ha.Not != 0)
			}) {
				fit = append(fit, row.Why)
			}
		}
		if len(fit) != 1 {
			var facts []string
			for i, n := range names {
				facts = append(facts, fmt.Sprint(map[bool]ha.Cond{true: n, false: n | ha.Not}[bits>>i&1 == 1]))
			}
			faults = append(faults, fmt.Sprintf("%v (%s): %d rows fit: %q", c, strings.Join(facts, ", "), len(fit), fit))
		}
	}
	return faults
}

func TestEveryPhaseHasExactlyOneRowForEveryEvent(t *testing.T) {
	t.Parallel()
	cells := cellsOf(ha.MemberTable())
	for c, rows := range cells {
		for _, fault := range faultsOf(c, rows) {
			t.Error(fault)
		}
	}
	t.Logf("%d rows fill %d cells", len(ha.MemberTable().Rows), len(cells))
}

func TestAHoleAndAnOverlapInTheTableAreFound(t *testing.T) {
	t.Parallel()
	table := ha.MemberTable()
	for i, row := range table.Rows {
		holed := ha.Table{Rows: slices.Delete(slices.Clone(table.Rows), i, i+1), Entry: table.Entry}
		c := cell{row.In[0], row.On[0]}
		if len(faultsOf(c, cellsOf(holed)[c])) == 0 {
			t.Errorf("row %d (%v: %s) can be left out and nobody notices", i, c, row.Why)
		}
		double := ha.Table{Rows: append(slices.Clone(table.Rows), row), Entry: table.Entry}
		if len(faultsOf(c, cellsOf(double)[c])) == 0 {
			t.Errorf("row %d (%v: %s) can stand twice and nobody notices", i, c, row.Why)
		}
	}
}

func TestEveryRowSaysWhy(t *testing.T) {
	t.Parallel()
	for i, row := range ha.MemberTable().Rows {
		if len(row.In) == 0 || len(row.On) == 0 || row.Why == "" {
			t.Errorf("row %d is not whole: %+v", i, row)
		}
	}
}

// update writes what is printed into testdata instead of comparing.
var update = flag.Bool("update", false, "write the golden files of testdata anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	at := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(at, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (write it anew with -update, then read what changed):\n%s", at, diff)
	}
}

func TestTheTableIsPrintedForPeople(t *testing.T) {
	t.Parallel()
	for _, profile := range []ha.Safety{ha.Documented, ha.Safe} {
		golden(t, fmt.Sprintf("member_%v.txt", profile), ha.MemberTable().Text(profile))
		golden(t, fmt.Sprintf("member_%v.mmd", profile), ha.MemberTable().Mermaid(profile))
	}
}
