package lean

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// fromFile gives how much of this process's memory is pages of files, in KB.
func fromFile(t *testing.T) (kb int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatal(err)
	}
	return kb
}

func TestThePagesOfTheProgramAreGivenBackAndItGoesOn(t *testing.T) {
	before := fromFile(t)
	if err := giveBack(); err != nil {
		t.Fatal(err)
	}
	if after := fromFile(t); after >= before {
		t.Errorf("%d KB of the program are in memory, %d before", after, before)
	}
}
