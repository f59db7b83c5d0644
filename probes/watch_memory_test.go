package probes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// memory is a Register in memory whose troubles a test makes. It keeps what it
// is given as a file would: times lose their monotonic part, Provisional is
// lost.
type memory struct {
	mu     sync.Mutex // guards the fields below
	stored []byte     // empty: nothing
	past   []ha.Traffic
	ears   []chan struct{}
	tape   []string // what was stored and told, in that order
	saves  int      // that were tried
	loads  int

	damaged *ha.Damaged
	unread  error         // why it cannot be read
	full    error         // why it cannot be written
	deaf    error         // why it cannot be watched
	slow    time.Duration // of every Load and Save
	looked  func()        // is called after a Load has looked, with mu held
}

var (
	errDisk = errors.New("no space left on device")
	errLost = errors.New("input/output error")
)

// Load gives the stored Traffic.
func (m *memory) Load(ctx context.Context, _ string) (t ha.Traffic, err error) {
	if err := m.think(ctx); err != nil {
		return t, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loads++
	if m.looked != nil {
		defer m.looked()
	}
	return m.load()
}

func (m *memory) load() (t ha.Traffic, err error) {
	switch {
	case m.unread != nil:
		return t, m.unread
	case m.damaged != nil:
		return t, m.damaged
	case len(m.stored) == 0:
		return t, ha.ErrNone
	}
	return t, json.Unmarshal(m.stored, &t)
}

// Save stores t as a register on a disk does.
func (m *memory) Save(ctx context.Context, was uint64, t ha.Traffic) error {
	if err := m.think(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saves++
	stored, err := m.load()
	var adrift *ha.Adrift
	switch {
	case errors.As(err, &adrift) && t.Forced && t.Epoch > adrift.Last.Epoch:
		m.unread = nil
	case t.Epoch <= was:
		return fmt.Errorf("epoch %d is not above %d", t.Epoch, was)
	case t.Check() != nil:
		return t.Check()
	case m.full != nil:
		return m.full
	case m.damaged != nil && !t.Forced:
		return m.damaged
	case m.damaged != nil && t.Epoch <= m.damaged.Floor:
		return ha.ErrStale
	case m.damaged != nil:
		m.damaged = nil
	case errors.Is(err, ha.ErrNone) && was == 0:
	case errors.Is(err, ha.ErrNone):
		return ha.ErrStale
	case err != nil:
		return err
	case stored.Epoch != was:
		return ha.ErrStale
	}
	m.put(t)
	return nil
}

// think takes its time, but not longer than the caller gives it.
func (m *memory) think(ctx context.Context) error {
	m.mu.Lock()
	slow := m.slow
	m.mu.Unlock()
	if slow == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(slow)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// put is called with mu held.
func (m *memory) put(t ha.Traffic) {
	m.stored, _ = json.Marshal(t)
	m.past = append(m.past, t)
	m.tape = append(m.tape, fmt.Sprintf("stored %d %s", t.Epoch, t.Serving))
	m.signal()
}

func (m *memory) signal() {
	for _, ear := range m.ears {
		select {
		case ear <- struct{}{}:
		default:
		}
	}
}

// Watch hears of changes until ctx ends.
func (m *memory) Watch(ctx context.Context, _ string) (<-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deaf != nil {
		return nil, m.deaf
	}
	ear := make(chan struct{}, 1)
	m.ears = append(m.ears, ear)
	context.AfterFunc(ctx, func() { m.deafen(ear) })
	return ear, nil
}

func (m *memory) deafen(ear chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.ears, ear); i >= 0 {
		m.ears = slices.Delete(m.ears, i, i+1)
		close(ear)
	}
}

// hush ends every watch, as a register does that is closed.
func (m *memory) hush(why error) {
	m.mu.Lock()
	ears := slices.Clone(m.ears)
	m.deaf = why
	m.mu.Unlock()
	for _, ear := range ears {
		m.deafen(ear)
	}
}

// History gives the newest Traffics.
func (m *memory) History(_ context.Context, _ string, limit int) ([]ha.Traffic, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.past[max(0, len(m.past)-limit):]), nil
}

// trouble changes what is wrong with the register; those who watch are told.
func (m *memory) trouble(change func(m *memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
	m.signal()
}

// other stores t as another process would, whatever is stored.
func (m *memory) other(t ha.Traffic) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(t)
}

// quietly changes what is wrong with the register; nobody is told.
func (m *memory) quietly(change func(m *memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// tells says at which place of the tape a line stands, -1 if it does not.
func (m *memory) tells(line string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Index(m.tape, line)
}

func (m *memory) write(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tape = append(m.tape, line)
}

// history gives every Traffic that was ever stored, as text "EPOCH SERVING CAUSE".
func (m *memory) history() (lines []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.past {
		lines = append(lines, fmt.Sprintf("%d %s %s", t.Epoch, t.Serving, t.Cause))
	}
	return lines
}

// last gives what is stored.
func (m *memory) last() (ha.Traffic, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.load()
}

// tries gives how often a Save was tried.
func (m *memory) tries() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saves
}

// stored gives a Traffic of the nodes, as an earlier process left it.
func traffic(epoch uint64, serving string, order ...string) ha.Traffic {
	at := time.Now().Add(-time.Hour)
	return ha.Traffic{Group: "core", Epoch: epoch, Order: order, Serving: serving, Since: at, At: at, Cause: ha.Started}
}
