package haengine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/notify"
)

// Guards says whether the application is this engine's to stop, should it die,
// and how long that may take: in profile safe nobody renews the lease then.
// While High Availability is disabled it is left alone, and by an engine that
// ended before it had decided anything too, or has stopped it itself.
func (e *Engine) Guards() (yes bool, stop time.Duration) {
	s := e.now.Load()
	untouched := s.Broken != "" && s.Member.Phase == ha.InStarting
	return s.Member.Enabled && !untouched && s.Member.Phase != ha.InEnded, s.Settings.StopTimeout
}

// Unguarded has people told that nobody would have stopped the application, for
// a moment, if this engine had died: its supervisor was gone.
func (e *Engine) Unguarded(ctx context.Context, why string) {
	_, _ = e.run(ctx, func() Outcome {
		e.note("the supervisor of the application is gone, another one starts: " + why)
		e.post(notify.Message{
			Event: eventGuard, Severity: notify.Warning,
			Text: e.Name + ": the process that stops the application if the engine dies is gone: " + why + ". Another one has been started",
			Do:   "If this happens again, see what ends or stops processes on this machine",
		}, e.settings.NotifyFailure)
		return Outcome{}
	})
}

// Changes gives a channel that receives when the Snapshot is another one, until
// leave is called.
func (e *Engine) Changes() (changed <-chan struct{}, leave func()) {
	c := e.watch.join()
	return c, func() { e.watch.leave(c) }
}

// StopNow stops an application without an engine: within a time, then without
// mercy, until its check fails. What a start that was under way brings up after
// that is stopped too.
func StopNow(c Commands, within time.Duration) error {
	a := NewApplication(c, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(context.Background(), within)
	a.stop(ctx, false)
	cancel()
	var err error
	for calm := 0; calm < 3; {
		last, end := context.WithTimeout(context.Background(), time.Minute)
		if err = a.check(last); err == nil {
			calm = 0
			a.stop(last, true)
		} else {
			calm++
		}
		ended := last.Err() != nil
		end()
		if ended {
			return errors.New("the application cannot be stopped")
		}
		time.Sleep(min(a.Interval, 300*time.Millisecond))
	}
	return nil
}
