package upgrade

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheRoomOfAnApplianceIsReadFromDf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]map[string]uint64{
		"Filesystem     1024-blocks    Used Available Capacity Mounted on\n/dev/sda1  100 40  60  40% /\n/dev/sdb1 9 1 8 12% /mi data\n": {"/": 60 << 10, "/mi data": 8 << 10},
		"Filesystem 512-blocks Used Available Capacity Mounted on\n/dev/sda1 100 40 60 40% /\n":                                          {"/": 60 << 9},
		"":                             nil,
		"df: /mi: No such file":        nil,
		"a b c d e f\n1 2 3 4 5% /x\n": nil,
	} {
		if diff := cmp.Diff(want, room(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestTheEndOfALongOutputIsKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"short", "short"},
		{"0123456789\nlast line", "…last line"},
		{"one line that is far too long", "…ar too long"},
	} {
		if got := ending(c.text, 11); got != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}
