package register

import (
	"context"
	"errors"
	"fmt"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/statefile"
)

// Save stores t durably, if the stored epoch is was (0: none is stored), and
// adds it to the history. Otherwise it gives ha.ErrStale. t.Epoch must be above
// was.
//
// A damaged Traffic is replaced, whatever was is, only by one that is Forced
// and has an epoch above the Floor (ha.ErrStale if not), and is kept beside;
// for any other t Save gives the *ha.Damaged.
//
// After any other error the old Traffic stands, and the error says what to do;
// only if it names "sync directory of" the new one may be in place: Load tells.
// If t is stored and the disk fills up before the history has it, Save gives
// nil, and the next Load or Save makes up for it.
func (d *Dir) Save(ctx context.Context, was uint64, t ha.Traffic) error {
	if err := begin(ctx, t.Group); err != nil {
		return fmt.Errorf("save traffic: %w", err)
	}
	line, err := prepare(was, t)
	if err != nil {
		return fmt.Errorf("save traffic of %s: %w", t.Group, err)
	}
	select {
	case d.turns <- struct{}{}:
		defer func() { <-d.turns }()
	case <-ctx.Done():
		return fmt.Errorf("save traffic of %s: the %d before it have not ended: %w; see whether the disk of %s is overloaded", t.Group, mostSaves, ctx.Err(), d.path)
	}
	wait, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	unlock, err := statefile.Lock(wait, d.file(t.Group, lockFile), fileMode)
	if err != nil {
		return fmt.Errorf("save traffic of %s: %w", t.Group, d.advise(err))
	}
	defer unlock()
	missing, err := d.compare(was, t)
	if err != nil {
		return err
	}
	if err := d.store(t.Group, missing, line); err != nil {
		return fmt.Errorf("save traffic of %s: %w", t.Group, d.advise(err))
	}
	return nil
}

// prepare gives t as it will be stored, if Load will be able to give it back.
func prepare(was uint64, t ha.Traffic) ([]byte, error) {
	if t.Epoch <= was {
		return nil, fmt.Errorf("its epoch %d is not above %d", t.Epoch, was)
	}
	if err := t.Check(); err != nil {
		return nil, err
	}
	line, err := encode(t)
	if err != nil {
		return nil, err
	}
	if len(readable(line)) > mostTraffic {
		return nil, fmt.Errorf("it has more than %d bytes", mostTraffic)
	}
	return line, nil
}

// compare says under the lock why t may not replace what is stored, or nil. It
// gives the stored Traffic if the history lacks it, else an empty one.
func (d *Dir) compare(was uint64, t ha.Traffic) (missing ha.Traffic, err error) {
	stored, last, err := d.inspect(t.Group)
	var damaged *ha.Damaged
	switch {
	case errors.As(err, &damaged):
		return ha.Traffic{}, d.override(t, damaged)
	case errors.Is(err, ha.ErrNone) && was == 0:
		return ha.Traffic{}, nil
	case errors.Is(err, ha.ErrNone):
		return ha.Traffic{}, ha.ErrStale
	case err != nil:
		return ha.Traffic{}, err
	case stored.Epoch != was:
		return ha.Traffic{}, ha.ErrStale
	case last < stored.Epoch:
		return stored, nil
	}
	return ha.Traffic{}, nil
}

// override lets only a person replace a damaged Traffic.
func (d *Dir) override(t ha.Traffic, damaged *ha.Damaged) error {
	switch {
	case !t.Forced:
		return damaged
	case t.Epoch <= damaged.Floor:
		return ha.ErrStale
	}
	if err := d.keep(t.Group); err != nil {
		return fmt.Errorf("save traffic of %s: keep the damaged one: %w", t.Group, d.advise(err))
	}
	return nil
}

// store makes line the stored Traffic of a group and its newest history. What
// can fail is tried before, so that the history never lacks two in a row.
func (d *Dir) store(group string, missing ha.Traffic, line []byte) error {
	h, err := openHistory(d.file(group, historyFile))
	if err != nil {
		return err
	}
	defer h.close()
	if missing.Epoch > 0 {
		if err := h.add(missing); err != nil {
			return err
		}
	}
	if err := d.files.Write(d.file(group, trafficFile), readable(line), fileMode); err != nil {
		return err
	}
	if h.addLine(line) == nil { // what is missing now is added by the next Load or Save
		h.trim()
	}
	return nil
}
