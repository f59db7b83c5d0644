package register

import (
	"context"
	"errors"
	"fmt"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Keeper is a register as Migrate needs it.
type Keeper interface {
	Load(ctx context.Context, group string) (ha.Traffic, error)
	Save(ctx context.Context, was uint64, t ha.Traffic) error
	History(ctx context.Context, group string, limit int) ([]ha.Traffic, error)
}

// Migrate brings what from keeps of a group, with the newest part of its
// history, into to, and gives the epoch that stands there then. Traffic does
// not move. Where to knows something later, or what is not the past of it, or
// either is not whole, nothing is done and the error says so. It may be run
// again.
func Migrate(ctx context.Context, from, to Keeper, group string) (uint64, error) {
	t, err := from.Load(ctx, group)
	if errors.Is(err, ha.ErrNone) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("migrate group %s: %w", group, err)
	}
	there, err := to.Load(ctx, group)
	switch {
	case errors.Is(err, ha.ErrNone):
		there = ha.Traffic{}
	case err != nil:
		return 0, fmt.Errorf("migrate group %s: %w", group, err)
	case there.Epoch > t.Epoch:
		return 0, fmt.Errorf("migrate group %s: epoch %d is there already, later than %d here: it was migrated and went on there", group, there.Epoch, t.Epoch)
	case there.Epoch == t.Epoch && there.Serving != t.Serving:
		return 0, fmt.Errorf("migrate group %s: of epoch %d %s serves there and %s here: two registers have decided; find out which is right and switch by force there", group, t.Epoch, there.Serving, t.Serving)
	}
	past, err := from.History(ctx, group, mostKept)
	if err != nil {
		return 0, fmt.Errorf("migrate group %s: %w", group, err)
	}
	was := there.Epoch
	for _, p := range append(past, t) {
		if p.Epoch <= was {
			continue
		}
		if err := to.Save(ctx, was, p); err != nil {
			return 0, fmt.Errorf("migrate group %s: %w", group, err)
		}
		was = p.Epoch
	}
	if now, err := from.Load(ctx, group); err != nil || now.Epoch != t.Epoch {
		return 0, fmt.Errorf("migrate group %s: it has changed meanwhile; hold it, then run this again", group)
	}
	return was, nil
}
