package caddymodule

import (
	"context"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/notify"
)

// town is the process's one crier; it runs from the first group on. Its tellers
// are the heralds of the configurations that run.
var town = notify.NewCrier()

var townRuns sync.Once

// hear hands the crier one Situation. It is what a Watcher's loop calls.
func hear(s ha.Situation) {
	townRuns.Do(func() { go town.Run(context.Background()) })
	town.Hear(s)
}

// caddyEvents is how a herald emits Caddy events.
type caddyEvents interface {
	Emit(ctx caddy.Context, name string, data map[string]any) caddy.Event
}
