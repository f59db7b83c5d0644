package ha_test

import (
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestANewNodeRisesAsLongAsItsPageAnswers(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		last ha.Reading
		want bool
	}{
		{ha.Reading{}, false},
		{ha.Reading{At: at, State: ha.Active}, true},
		{ha.Reading{At: at, State: ha.Standby}, true},
		{ha.Reading{At: at, Cause: ha.Status}, true},
		{ha.Reading{At: at, Cause: ha.Refused}, false},
		{ha.Reading{At: at, Cause: ha.Timeout}, false},
	} {
		if got := (ha.Sight{Last: c.last}).Rising(); got != c.want {
			t.Errorf("%v %s: rising %t", c.last.State, c.last.Cause, got)
		}
	}
}
