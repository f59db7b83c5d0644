package haengine

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/remote"
)

// recent is how long what a front has said, after it was asked to look again,
// is said now.
const recent = 2 * time.Second

// fronts is what the fronts say of traffic. Nothing of it is stored: a call that
// is only remembered does not count. Owned by Run.
type fronts struct {
	words map[string]word            // by front: what it is to look again with
	says  map[string]nodeapi.Opinion // by front: its newest call, for people
	sure  map[string]sure            // by front: what it has said when asked again
}

type word struct {
	text string
	at   ha.Instant
}

type sure struct {
	epoch uint64 // of the peer, when the front left it
	at    ha.Instant
}

// TrafficDecided takes what a front tells. The first call of a front has it look
// again at once: the answer is the word for that. When every owner of traffic
// has looked again and says the same, the machine is told.
func (d Desk) TrafficDecided(ctx context.Context, front string, t remote.TrafficDecided) (again string, err error) {
	e := d.engine
	if t.Node != e.Name || t.Left != e.PeerName {
		return "", nil // about other nodes of the order
	}
	_, err = e.by(ctx, "front "+front, func() (out Outcome) {
		out, again = e.trafficDecided(front, t)
		return out
	})
	return again, err
}

func (e *Engine) trafficDecided(front string, t remote.TrafficDecided) (out Outcome, again string) {
	f, now := &e.fronts, e.Clock()
	f.says[front] = nodeapi.Opinion{Front: front, Group: t.Group, Serving: t.Node, Epoch: t.Epoch, At: time.Now().UTC()}
	asked := f.words[front]
	delete(f.words, front)
	if t.Again == "" || t.Again != asked.text || now-asked.at > ha.Instant(recent) {
		e.note(fmt.Sprintf("%s calls: it has sent %s to this node, away from %s (epoch %d)", front, t.Group, t.Left, t.LeftEpoch))
		out = e.step(ha.Event{On: ha.OnTrafficCall})
		return out, f.words[front].text
	}
	f.sure[front] = sure{t.LeftEpoch, now}
	epoch, all := e.decided(now)
	if !all {
		e.note(front + " has looked again and says the same; others have not yet")
		return out, ""
	}
	e.note(fmt.Sprintf("%s has looked again: every owner of traffic has left %s (epoch %d)", front, e.PeerName, epoch))
	return e.step(ha.Event{On: ha.OnTrafficDecided, Epoch: epoch}), ""
}

// askFronts has every owner of traffic look again when it calls next; the one
// that calls now does so at once.
func (e *Engine) askFronts() {
	for _, front := range e.owners() {
		e.fronts.words[front] = word{rand.Text(), e.Clock()}
	}
}

// decided says whether every owner of traffic has just said that it has left
// the peer, and the lowest epoch that one of them has left.
func (e *Engine) decided(now ha.Instant) (epoch uint64, all bool) {
	owners := e.owners()
	for i, front := range owners {
		s, ok := e.fronts.sure[front]
		if !ok || now-s.at > ha.Instant(recent) {
			return 0, false
		}
		if i == 0 || s.epoch < epoch {
			epoch = s.epoch
		}
	}
	return epoch, len(owners) > 0
}

// owners gives the fronts whose decision counts.
func (e *Engine) owners() []string {
	if e.Owners == nil {
		return nil
	}
	return e.Owners()
}

// opinions gives what the fronts have said, by name; it shares nothing.
func (f *fronts) opinions() []nodeapi.Opinion {
	list := make([]nodeapi.Opinion, 0, len(f.says))
	for _, one := range f.says {
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b nodeapi.Opinion) int { return cmp.Compare(a.Front, b.Front) })
	return list
}
