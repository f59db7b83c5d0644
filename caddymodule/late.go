package caddymodule

import (
	"context"
	"sync/atomic"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/register"
)

// lateRegister is the register of a state directory that is opened when the
// first configuration starts, not when one is only checked.
type lateRegister struct{ dir atomic.Pointer[register.Dir] }

// Load is the register's.
func (l *lateRegister) Load(ctx context.Context, group string) (ha.Traffic, error) {
	return l.dir.Load().Load(ctx, group)
}

// Save is the register's.
func (l *lateRegister) Save(ctx context.Context, was uint64, t ha.Traffic) error {
	return l.dir.Load().Save(ctx, was, t)
}

// Watch is the register's.
func (l *lateRegister) Watch(ctx context.Context, group string) (<-chan struct{}, error) {
	return l.dir.Load().Watch(ctx, group)
}

// History is the register's.
func (l *lateRegister) History(ctx context.Context, group string, limit int) ([]ha.Traffic, error) {
	return l.dir.Load().History(ctx, group, limit)
}
