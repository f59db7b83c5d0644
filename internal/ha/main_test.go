package ha_test

import (
	"flag"
	"os"
	"testing"
)

// soak says that every property is tried with its full count.
var soak = os.Getenv("UNDERSTUDY_SOAK") != ""

// TestMain gives rapid its count and the seed of the run, unless a flag does.
func TestMain(m *testing.M) {
	flag.Parse()
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	set := func(name, value string) {
		if value != "" && !given[name] {
			_ = flag.Set(name, value)
		}
	}
	set("rapid.nofailfile", "true") // the seed brings it back
	set("rapid.seed", os.Getenv("UNDERSTUDY_SEED"))
	if soak {
		set("rapid.checks", "50000")
	} else {
		set("rapid.checks", "3000")
	}
	os.Exit(m.Run())
}
