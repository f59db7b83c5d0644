package haengine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Third is the node for disaster recovery, as the nodes of its main site know
// it: once a person has brought it online it is the one that serves, and who
// returns beside it waits for a person too (EPMM guide, three servers).
type Third struct {
	Name  string
	Pages *Pages

	mu   sync.Mutex // guards the fields below
	last Sight      // of the last look, if it was Active then
	at   time.Time
}

// serves gives what the third node tells if it serves at a higher epoch than any
// that is given, and that can be true; known is the highest that this node
// knows. One that does not answer serves nobody, as far as can be seen.
func (t *Third) serves(ctx context.Context, known, above uint64) (Sight, bool) {
	if t == nil {
		return Sight{}, false
	}
	s, err := t.Pages.Look(ctx)
	serves := err == nil && s.Report.State == ha.Active && believable(s.Report, known)
	t.mu.Lock()
	t.last = Sight{}
	if serves {
		t.last, t.at = s, time.Now()
	}
	t.mu.Unlock()
	return s, serves && s.Report.Served > above
}

// beside has a look at the peer and at the third node at the same time. If the
// third serves at an epoch above the peer's and this node's own, it is the one
// whose heartbeat counts: somebody serves, and who served before is superseded.
func (e *Engine) beside(look func(context.Context) (Sight, error), then func(Sight, error)) {
	if e.Third == nil {
		e.ask(look, then)
		return
	}
	var third Sight
	serves := false
	known, own := max(e.member.Epoch, e.member.Seen), e.member.Served
	e.ask(func(ctx context.Context) (Sight, error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			third, serves = e.Third.serves(ctx, known, own)
		}()
		s, err := look(ctx)
		<-done
		serves = serves && (err != nil || third.Report.Served > s.Report.Served)
		return s, err
	}, func(s Sight, err error) {
		if serves {
			e.note(fmt.Sprintf("%s, for disaster recovery, serves: %s", e.Third.Name, third.words(nil)))
			third.Well, s, err = true, third, nil
		}
		then(s, err)
	})
}

// read reads the register. That the third node serves counts as if it stood
// there, for it has no part in the lease of the main site.
func (e *Engine) read() func(context.Context) (ha.Event, error) {
	if e.Third == nil {
		return e.Register.Read
	}
	known, own := max(e.member.Epoch, e.member.Seen), e.member.Served
	return func(ctx context.Context) (ha.Event, error) {
		looks, cancel := context.WithTimeout(ctx, e.now.Load().Settings.AttemptTimeout)
		defer cancel()
		third, serves := e.Third.serves(looks, known, own)
		event, err := e.Register.Read(ctx)
		if err == nil && serves {
			event.PeerServed = max(event.PeerServed, third.Report.Served)
		}
		return event, err
	}
}

// says tells people that the third node serves; empty while it does not.
func (t *Third) says() string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last.Report.State != ha.Active {
		return ""
	}
	return fmt.Sprintf("%s, for disaster recovery, was Active at epoch %d when it was last looked at (%s UTC): no node of the main site becomes Active by itself. The way back: bring its data here, failover mode secondary on %s, then failover mode primary here.",
		t.Name, t.last.Report.Served, t.at.UTC().Format(time.TimeOnly), t.Name)
}
