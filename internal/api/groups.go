package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Groups is what the API shows and asks. All methods may be called at any time
// from any goroutine.
type Groups interface {
	// Names gives the groups in the order in which people are shown them.
	Names() []string
	// Situation gives what is known and decided of a group now; false if
	// there is no such group.
	Situation(group string) (ha.Situation, bool)
	// Act does what a person or a run wishes; verb is one of ha.Acts. With
	// dryRun it only gives the Traffic that would be stored. The error is a
	// *ha.Refusal, or says why the new Traffic could not be stored.
	Act(ctx context.Context, group, verb string, w ha.Wish, dryRun bool) (ha.Traffic, error)
	// History gives the newest limit Traffics of a group, oldest first.
	History(ctx context.Context, group string, limit int) ([]ha.Traffic, error)
	// Subscribe gives a channel that receives a Situation after each change
	// of a group's traffic, decision or a node's state, and is closed after
	// ctx has ended.
	Subscribe(ctx context.Context) <-chan ha.Situation
}

// Ring is what a Groups may have besides: the last readings of every node,
// oldest first. They appear in the opinion.
type Ring interface {
	Readings(group string) map[string][]ha.Reading
}

// Patient is what a Groups may have besides: how long a request of a group may
// wait for a decision, by the least patient of the doors in this process. false:
// no client's request goes through here.
type Patient interface {
	QueueTimeout(group string) (time.Duration, bool)
}

// Meter is what a Groups may have besides: figures of its own, in the
// Prometheus text format. They must not repeat those of WriteFigures.
type Meter interface {
	WriteMetrics(w io.Writer)
}

// Config is what an API needs.
type Config struct {
	Groups Groups
	// Identify gives the name of who asks, and whether it is proven (peer
	// credentials, a token) or only given. Nil: nobody is known.
	Identify func(*http.Request) (actor string, proven bool)
	// Watcher is the name of this process in its opinions.
	Watcher string
	// Heartbeat is the time between two comments of a silent event stream.
	// Zero: 15 s.
	Heartbeat time.Duration
}

// Route is one path of the API, in the pattern syntax of http.ServeMux. The
// handler checks the method itself.
type Route struct {
	Pattern string
	Handler http.Handler
}
