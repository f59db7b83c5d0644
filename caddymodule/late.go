package caddymodule

import (
	"context"
	"sync/atomic"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/probes"
)

// lateRegister is the register of a place that is opened when the
// first configuration starts, not when one is only checked.
type lateRegister struct{ opened atomic.Pointer[openRegister] }

// Opened gives the register itself, nil before it is open.
func (l *lateRegister) Opened() probes.Register {
	if r := l.opened.Load(); r != nil {
		return r.shared
	}
	return nil
}

// Load is the register's.
func (l *lateRegister) Load(ctx context.Context, group string) (ha.Traffic, error) {
	return l.opened.Load().Load(ctx, group)
}

// Save is the register's.
func (l *lateRegister) Save(ctx context.Context, was uint64, t ha.Traffic) error {
	return l.opened.Load().Save(ctx, was, t)
}

// Watch is the register's.
func (l *lateRegister) Watch(ctx context.Context, group string) (<-chan struct{}, error) {
	return l.opened.Load().Watch(ctx, group)
}

// History is the register's.
func (l *lateRegister) History(ctx context.Context, group string, limit int) ([]ha.Traffic, error) {
	return l.opened.Load().History(ctx, group, limit)
}
