package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// Keeping is a NodeHand that keeps copies of a run where they survive the machine
// that the run's process works on.
type Keeping interface {
	// Keep gives the node a copy and hears what people have answered there. The
	// error is *TakenOver if this process has to end, *Refused if the node does not
	// know the run yet.
	Keep(ctx context.Context, q nodeapi.RunCopy) (nodeapi.RunKept, error)
}

// TakenOver is the error of a process whose run has been given up, or is gone on
// with by another process, under a higher number.
type TakenOver struct{ Why string }

func (t *TakenOver) Error() string { return t.Why }

// Keeper tells the engines of a run's nodes that its process lives, where it
// stands, and the lines of its journal. What a node does not take never stops a
// run, but for one thing: that another process has taken it over.
type Keeper struct {
	Host   string          // where this process works
	Dir    string          // and keeps the run
	Plan   json.RawMessage // as it stands in the run's folder
	Before json.RawMessage // the first snapshot
	Every  time.Duration   // between two signs of life; 0: 2 s

	mu     sync.Mutex // guards the fields below
	now    nodeapi.RunCopy
	places map[string]*place
	said   []Answer
	over   *TakenOver
}

// place is what is known of a node that keeps copies.
type place struct {
	hand  Keeping
	have  int      // lines that it has; 0: it gets all of them
	down  bool     // it did not answer last time: only the next sign of life asks it again
	heard []uint64 // answers that stand in the journal
}

// keepWithin is how long a deed waits for the copy of its intent.
const keepWithin = 2 * time.Second

// start lets signs of life go out until stop is called.
func (k *Keeper) start(ctx context.Context, h Hands) (stop func()) {
	if k == nil {
		return func() {}
	}
	k.mu.Lock()
	k.places = map[string]*place{}
	for name, n := range h.Nodes {
		if hand, ok := n.(Keeping); ok {
			k.places[name] = &place{hand: hand}
		}
	}
	k.mu.Unlock()
	every := k.Every
	if every == 0 {
		every = 2 * time.Second
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for t := time.NewTicker(every); ; {
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-t.C:
				_ = k.send(ctx, true) // what it says is kept for the run
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// tell says what the next copies are of.
func (k *Keeper) tell(c *Course, p Plan, lines []string) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = nodeapi.RunCopy{Run: c.Run, Number: c.Number, Lines: lines, Course: c.tells(p, k.Host, k.Dir)}
	for name, at := range k.places {
		for id := range c.Answered {
			if number, ok := strings.CutPrefix(id, name+"/"); ok && !slices.Contains(at.heard, parseNumber(number)) {
				at.heard = append(at.heard, parseNumber(number))
			}
		}
	}
}

// send gives every place what it lacks, and waits for it at most keepWithin. The
// error is a *TakenOver. One that is down is only asked if again.
func (k *Keeper) send(ctx context.Context, again bool) error {
	if k == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, keepWithin)
	defer cancel()
	k.mu.Lock()
	var all sync.WaitGroup
	for name, at := range k.places {
		if k.now.Number == 0 || at.down && !again {
			continue
		}
		q := k.now
		q.From, q.Lines, q.Heard = at.have+1, k.now.Lines[min(at.have, len(k.now.Lines)):], slices.Clone(at.heard)
		if at.have == 0 {
			q.Plan, q.Before = k.Plan, k.Before
		}
		all.Go(func() {
			kept, err := at.hand.Keep(ctx, q)
			k.took(name, at, kept, err)
		})
	}
	k.mu.Unlock()
	all.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over != nil {
		return k.over
	}
	return nil
}

// took notes what a place has said.
func (k *Keeper) took(name string, at *place, kept nodeapi.RunKept, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var over *TakenOver
	var refused *Refused
	switch {
	case err == nil:
		at.have, at.down = kept.Have, false
		for _, a := range kept.Answers {
			id := fmt.Sprintf("%s/%d", name, a.Number)
			if !slices.Contains(at.heard, a.Number) && !slices.ContainsFunc(k.said, func(b Answer) bool { return b.ID == id }) {
				k.said = append(k.said, Answer{ID: id, Step: a.Step, Abort: a.Abort, By: a.By + " on " + name, Reason: a.Reason})
			}
		}
	case errors.As(err, &over):
		k.over = &TakenOver{name + ": " + over.Why}
	case errors.As(err, &refused):
		at.have, at.down = 0, false // it does not have our lock yet
	default:
		at.have, at.down = 0, true
	}
}

// answers gives what people have said at the nodes since.
func (k *Keeper) answers() (said []Answer) {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	said, k.said = k.said, nil
	return said
}

// ended gives why this process has to end, nil if it has not.
func (k *Keeper) ended() error {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over != nil {
		return k.over
	}
	return nil
}

// tells puts a course into the words that nodes keep.
func (c *Course) tells(p Plan, host, dir string) *nodeapi.Course {
	steps := p.Steps()
	d := &nodeapi.Course{
		Kind: string(p.Config.Kind), Group: p.Config.Group, To: p.Config.To, State: string(c.State), By: c.By, Host: host, Dir: dir,
		Says: (&Record{Plan: p, Course: c}).Sentence(c.State == Running), Began: c.Began, At: c.At, Asks: c.asks(), NoReturn: c.Committed(steps), Back: []string{},
	}
	if l := c.Steps[c.At]; l != nil {
		d.Since = l.Begun
	}
	if d.NoReturn == "" {
		for _, s := range c.Back(steps) {
			d.Back = append(d.Back, s.Name)
		}
	}
	for _, s := range steps {
		one := nodeapi.RunStep{Name: s.Name, Guide: s.Guide, Title: s.Title}
		if l := c.Steps[s.Name]; l != nil {
			one.State, one.Said = strings.Trim(l.word(), " -"), cut(l.words(), 400)
			if !l.Over.IsZero() {
				one.TookMS = l.Over.Sub(l.Begun).Milliseconds()
			}
		}
		d.Steps = append(d.Steps, one)
	}
	return d
}

// asks gives what a person is asked now, before the step that the run is at or
// in it; empty: nothing.
func (c *Course) asks() string {
	l := c.Steps[c.At]
	switch {
	case c.State == Waiting:
		return c.Why
	case c.State == Running && l != nil && l.Started && !l.Done && l.Confirmed == "":
		return l.ByHand
	}
	return ""
}
