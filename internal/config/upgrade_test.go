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
