package config

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEveryFaultOfAnUpgradeIsToldAtItsPlace(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/upgrade_faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range strings.Split(string(text), "\n----\n")[1:] {
		about, rest, _ := strings.Cut(one, "\n")
		input, want, _ := strings.Cut("\n"+rest+"\n", "\n=>\n")
		t.Run(strings.TrimPrefix(about, "# "), func(t *testing.T) {
			t.Parallel()
			d, root := parse("u.yaml", []byte(strings.TrimPrefix(input, "\n")))
			upgrade(d, root)
			if diff := cmp.Diff(strings.TrimRight(want, "\n"), strings.TrimRight(told(d), "\n")); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", input, diff)
			}
		})
	}
}

func TestTheExampleOfAnUpgradeIsReadWhole(t *testing.T) {
	t.Parallel()
	u, d, err := ReadUpgrade("../../upgrade.yaml.example")
	if err != nil || len(d.Faults()) > 0 {
		t.Fatal(err, d.Faults())
	}
	if u.Kind != RunDocumented || u.To != "11.12.0.1" || len(u.Nodes) != 2 || len(u.Routers) != 4 || u.Timeouts.Person != 4*time.Hour || u.Schedule.RunEvery != "4 hours" || u.NoDataSync {
		t.Errorf("got %+v", u)
	}
	if KindOf("../../upgrade.yaml.example") != KindUpgrade {
		t.Error("it is taken for another kind of file")
	}
}

func TestAWindowIsOpenFromItsBeginningToItsEnd(t *testing.T) {
	t.Parallel()
	night := RunWindow{From: "22:00", Until: "05:00", Zone: "Europe/Berlin", Days: []string{"fri", "sat"}}
	day := RunWindow{From: "09:00", Until: "17:00", Zone: "UTC"}
	for _, c := range []struct {
		w    RunWindow
		at   string // UTC
		want bool
	}{
		{RunWindow{}, "2026-01-02T12:00:00Z", true},
		{night, "2026-01-02T20:59:59Z", false}, // Friday, 21:59 in Berlin
		{night, "2026-01-02T21:00:00Z", true},
		{night, "2026-01-04T03:59:59Z", true}, // it began on Saturday
		{night, "2026-01-04T04:00:00Z", false},
		{night, "2026-01-04T21:30:00Z", false}, // Sunday
		{night, "2026-07-03T20:30:00Z", true},  // summer time
		{day, "2026-01-02T08:59:00Z", false},
		{day, "2026-01-02T09:00:00Z", true},
		{day, "2026-01-02T17:00:00Z", false},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.w.Open(at); got != c.want {
			t.Errorf("%v at %s: open %v", c.w, c.at, got)
		}
	}
}
