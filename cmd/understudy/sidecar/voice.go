package sidecar

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/understudy-ha/understudy/internal/notify"
)

// voice takes messages to the receivers of the configuration in force. Its
// zero value tells nobody.
type voice struct {
	now atomic.Pointer[speaker]
}

// speaker is the receivers of one configuration.
type speaker struct {
	notifier *notify.Notifier
	cancel   context.CancelFunc
	ended    chan struct{}
}

// tell passes a message on and returns at once.
func (v *voice) tell(m notify.Message) {
	if s := v.now.Load(); s != nil {
		s.notifier.Tell(m)
	}
}

// prepare gives how to put senders into force.
func (v *voice) prepare(dir string, senders []notify.Sender, log *slog.Logger) (commit func(), err error) {
	var next *speaker
	if len(senders) > 0 {
		n, err := notify.New(notify.Default(dir), senders, notifyMetrics(), log)
		if err != nil {
			return nil, fmt.Errorf("notify: %w", err)
		}
		next = &speaker{notifier: n, ended: make(chan struct{})}
	}
	return func() {
		if next != nil {
			next.run(log)
		}
		v.now.Swap(next).stop()
	}, nil
}

func (s *speaker) run(log *slog.Logger) {
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(s.ended)
		if err := s.notifier.Run(ctx); err != nil {
			log.Error("notifications have stopped", "error", err)
		}
	}()
}

// stop files what was told and waits for the end. A nil speaker has ended.
func (s *speaker) stop() {
	if s != nil {
		s.cancel()
		<-s.ended
	}
}
