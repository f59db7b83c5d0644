package notify

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sony/gobreaker/v2"

	"github.com/understudy-ha/understudy/internal/statefile"
)

const (
	// poll is how often a lane looks for messages of other processes, and for
	// a lock that another one holds.
	poll = time.Second

	// An attempt ends after attemptTime, or grace after the lane was told to
	// end: a message that is on its way should not be sent again for nothing.
	attemptTime = 30 * time.Second
	grace       = 2 * time.Second

	// Between attempts: from firstWait, doubling, to longestWait, give or take
	// a half. After deadAfter failures in a row the receiver is left alone for
	// deadTime, then tried once.
	firstWait   = time.Second
	longestWait = 30 * time.Second
	deadAfter   = 5
	deadTime    = 5 * time.Minute

	// busyLimit is the longest that a receiver may ask us to wait.
	busyLimit = time.Hour
)

// lane delivers the messages of one queue to one sender. Its run goroutine
// owns everything but the queue and the kick.
type lane struct {
	sender  Sender
	queue   *queue
	kick    chan struct{} // holds one: something was put
	giveUp  time.Duration
	breaker *gobreaker.CircuitBreaker[struct{}]
	backoff *backoff.ExponentialBackOff
	ledger  ledger
	figures figures
	log     *slog.Logger
}

func newLane(s Sender, q *queue, giveUp time.Duration, f figures, log *slog.Logger) *lane {
	l := &lane{
		sender: s, queue: q, giveUp: giveUp, figures: f, log: log.With("sender", s.Name()),
		kick: make(chan struct{}, 1), ledger: emptyLedger(),
	}
	l.backoff = &backoff.ExponentialBackOff{
		InitialInterval: firstWait, Multiplier: 2, MaxInterval: longestWait, RandomizationFactor: 0.5,
	}
	l.backoff.Reset()
	l.breaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     deadTime,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= deadAfter },
		IsSuccessful: func(err error) bool { // one that rejects is alive
			var no *Rejected
			return err == nil || errors.As(err, &no)
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch {
			case from == gobreaker.StateClosed:
				l.log.Warn("receiver of notifications fails again and again and is left alone, but for a try now and then", "every", deadTime)
			case to == gobreaker.StateClosed:
				l.log.Info("receiver of notifications is back")
			}
		},
	})
	return l
}

// put files a message and wakes the lane. It may be called beside run.
func (l *lane) put(m Message) {
	left, err := l.queue.put(m)
	if err != nil {
		l.figures.count(unsaved)
		l.log.Error("notification could not be filed and is in memory only", "notification", m, "error", err)
	}
	for _, m := range left {
		l.figures.count(overflow)
		l.log.Error("notification dropped: the queue is full", "notification", m)
	}
	l.figures.queued.Set(float64(l.queue.size()))
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// run delivers until ctx is done, whenever no other process does.
func (l *lane) run(ctx context.Context) {
	unlock, err := l.lead(ctx)
	if err != nil {
		return
	}
	defer unlock()
	if err := statefile.Clean(l.queue.dir); err != nil {
		l.log.Warn("the queue's directory cannot be cleaned", "error", err)
	}
	if l.ledger, err = readLedger(l.queue.dir); err != nil {
		l.log.Warn("what was told before is not known, something may be told twice", "error", err)
	}
	for ctx.Err() == nil {
		l.queue.settle()
		l.pause(ctx, l.step(ctx))
		l.figures.queued.Set(float64(l.queue.size()))
	}
}

// lead waits until the queue is this lane's. Its error is that ctx is done.
func (l *lane) lead(ctx context.Context) (unlock func(), err error) {
	said := ""
	for ctx.Err() == nil {
		unlock, err := statefile.TryLock(filepath.Join(l.queue.dir, "lock"), 0o660)
		switch {
		case err == nil:
			return unlock, nil
		case !errors.Is(err, statefile.ErrLocked) && err.Error() != said:
			said = err.Error()
			l.log.Warn("the queue's lock cannot be taken, nothing is delivered from here", "error", err)
		}
		l.queue.settle()
		l.figures.queued.Set(float64(l.queue.size()))
		l.pause(ctx, rest{poll, false})
	}
	return nil, ctx.Err()
}

// rest is how long a lane does nothing, and whether a new message ends that.
type rest struct {
	time  time.Duration
	awake bool
}

func (l *lane) pause(ctx context.Context, r rest) {
	if r.time <= 0 {
		return
	}
	var kick chan struct{}
	if r.awake {
		kick = l.kick
	}
	timer := time.NewTimer(r.time)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-kick:
	case <-timer.C:
	}
}

// step does what there is to do with the oldest message.
func (l *lane) step(ctx context.Context) rest {
	m, found, err := l.queue.first()
	var broken *damagedFile
	switch {
	case errors.As(err, &broken):
		l.figures.count(damaged)
		l.log.Error("a queued notification cannot be read and was set aside", "error", err)
		return rest{}
	case err != nil:
		l.log.Warn("the queue of notifications cannot be read", "error", err)
		return rest{l.backoff.NextBackOff(), true}
	case !found:
		return rest{poll, true}
	}
	send, news := l.ledger.admit(m)
	if !news {
		l.log.Debug("notification not sent: told already", "notification", m)
		l.finish(m, repeated)
		return rest{}
	}
	return l.judge(ctx, send, l.attempt(ctx, send))
}

// attempt sends a message unless the receiver is taken for dead.
func (l *lane) attempt(ctx context.Context, m Message) error {
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	defer stop()
	_, err := l.breaker.Execute(func() (struct{}, error) { return struct{}{}, l.sender.Send(sending, m) })
	return err
}

// judge does what follows from an attempt, and gives the rest before the next.
func (l *lane) judge(ctx context.Context, m Message, err error) rest {
	var no *Rejected
	var busy *Busy
	switch {
	case err == nil:
		l.told(m)
		l.backoff.Reset()
		return rest{}
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return rest{l.backoff.NextBackOff(), false}
	case ctx.Err() != nil:
		return rest{}
	case errors.As(err, &no):
		l.log.Error("notification dropped: the receiver rejects it", "notification", m, "error", err)
		l.finish(m, rejected)
		l.backoff.Reset()
		return rest{}
	}
	l.figures.count(failed)
	wait := l.backoff.NextBackOff()
	if errors.As(err, &busy) {
		wait = max(wait, min(busy.After, busyLimit))
	}
	if at, _ := stamped(m.ID); time.Since(at) > l.giveUp {
		l.log.Error("notification dropped: it could not be delivered in time", "notification", m, "error", err)
		l.finish(m, expired)
	} else {
		l.log.Warn("notification not delivered, will be tried again", "notification", m, "error", err, "wait", wait)
	}
	return rest{wait, false}
}

// told enters a delivered message into the ledger, then takes it out: in this
// order, for what a crash between them repeats the ledger then stops.
func (l *lane) told(m Message) {
	l.ledger.note(m, time.Now())
	if err := l.ledger.write(l.queue.dir); err != nil {
		l.log.Warn("what was told cannot be written down, something may be told twice", "error", err)
	}
	l.log.Debug("notification delivered", "notification", m)
	l.finish(m, delivered)
}

func (l *lane) finish(m Message, r result) {
	l.figures.count(r)
	if err := l.queue.remove(m.ID); err != nil {
		l.log.Error("a finished notification cannot be removed and may be sent again after a restart", "notification", m, "error", err)
	}
}
