package probes

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// answer is what a balancer is told over HTTP, ready to be sent.
type answer struct {
	status int
	body   []byte
	reason []byte // X-Understudy-Reason; empty: none
	epoch  []byte // X-Understudy-Epoch; empty: none
	hold   []byte // X-Understudy-Hold; empty: none
}

// answerNode is the answer to /{group}/{node}: 200 if the group's traffic
// belongs on the node. How the node itself fares does not matter, for the rule
// has looked at that: while nothing can take over from a serving node that is
// down, its answer stays 200.
func answerNode(s ha.Situation, node string) answer {
	word, status := "no", 503
	if node == s.Target {
		word, status = "yes", 200
	}
	a := about(s, status)
	a.body = fmt.Appendf(nil, "traffic: %s\ngroup: %s\nnode: %s\nreason: %s\nepoch: %s\n", word, s.Traffic.Group, node, a.reason, a.epoch)
	if s.Traffic.Hold != nil {
		a.body = fmt.Appendf(a.body, "hold: since %s\n", s.Traffic.Hold.Since.UTC().Format(time.RFC3339))
	}
	return a
}

// answerServing is the answer to /{group}/serving: the name of the node that
// traffic belongs on, or 503 and no body if there is none.
func answerServing(s ha.Situation) answer {
	if s.Target == "" {
		return about(s, 503)
	}
	a := about(s, 200)
	a.body = []byte(s.Target + "\n")
	return a
}

// answerRaw is the answer to /{group}/{node}/raw: the node's own last page,
// 503 if that did not say that the node is available. The reason is then why,
// and the epoch the node's own.
func answerRaw(seen ha.Sight) answer {
	a := answer{status: 503, body: []byte(seen.Last.Page), reason: []byte(seen.Last.Cause)}
	if len(a.body) > 0 {
		a.body = append(a.body, '\n')
	}
	switch {
	case !seen.Known():
		a.reason = []byte(ha.Starting)
	case seen.Available():
		a.status = 200
	}
	if seen.Last.Epoch > 0 {
		a.epoch = strconv.AppendUint(nil, seen.Last.Epoch, 10)
	}
	return a
}

// answerStale is the answer in place of a that has not been looked at for too
// long. It says that traffic does not belong where it was asked about, because
// nobody knows any more.
func answerStale(a answer) answer {
	a.status, a.reason = 503, []byte(Stale)
	a.body = []byte("traffic: no\nreason: " + Stale + "\n")
	return a
}

// about gives an answer without a body. A watcher that has not begun has decided
// nothing, not even that it starts.
func about(s ha.Situation, status int) answer {
	a := answer{status: status, reason: []byte(cmp.Or(s.Decision.Reason, ha.Starting)), epoch: strconv.AppendUint(nil, s.Traffic.Epoch, 10)}
	if s.Traffic.Hold != nil {
		a.hold = []byte("held")
	}
	return a
}

// alike says whether two Situations of a group are answered alike: they differ
// at most in how old their readings are.
func alike(a, b ha.Situation) bool {
	return a.Traffic.Epoch == b.Traffic.Epoch && a.Target == b.Target && a.Decision == b.Decision &&
		(a.Traffic.Hold == nil) == (b.Traffic.Hold == nil) &&
		slices.EqualFunc(a.View, b.View, func(a, b ha.Sight) bool {
			return a.Node == b.Node && a.Known() == b.Known() && a.Last.State == b.Last.State &&
				a.Last.Cause == b.Last.Cause && a.Last.Page == b.Last.Page && a.Last.Epoch == b.Last.Epoch
		})
}
