package haengine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Commands is how an application is handled: argument lists, no shell.
type Commands struct {
	Start, Stop, Kill []string // without Kill, Stop once more
	Health            string   // URL that answers 200 as long as it is well
	HealthCommand     []string // or a command that ends with 0
	Interval          time.Duration
	Timeout           time.Duration // of one check
	StartTimeout      time.Duration // from the start to the first good check

	// Before is called before it starts, and where it is found running: from then
	// on it writes to its data. nil: nothing.
	Before func(context.Context) error
}

// between is how long the next try to stop an application waits.
const between = time.Second

// Application is an App that is handled by commands.
type Application struct {
	Commands
	log    *slog.Logger
	client *http.Client
	well   atomic.Bool
	wished chan struct{} // a wish is there

	mu   sync.Mutex // guards wish
	wish wish

	// Owned by Run.
	runs  bool // it was started, as far as is known, and is checked
	known bool // the last thing that was done to it has ended
}

// wish is what is to become of an application.
type wish struct {
	verb  verb
	epoch uint64
}

type verb uint8

const (
	noVerb verb = iota
	toRun
	toStop
	toDie
)

// NewApplication gives an application that nothing is wished of yet.
func NewApplication(c Commands, log *slog.Logger) *Application {
	return &Application{
		Commands: c, log: log, wished: make(chan struct{}, 1), known: true,
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// Start wishes that it runs. The command has the epoch in UNDERSTUDY_EPOCH.
func (a *Application) Start(epoch uint64) { a.want(wish{toRun, epoch}) }

// Stop wishes that it does not run.
func (a *Application) Stop() { a.want(wish{verb: toStop}) }

// Kill wishes that it does not run, whatever that costs it.
func (a *Application) Kill() { a.want(wish{verb: toDie}) }

// Well says what the last check said.
func (a *Application) Well() bool { return a.well.Load() }

func (a *Application) want(w wish) {
	a.mu.Lock()
	a.wish = w
	a.mu.Unlock()
	if w.verb != toRun {
		a.well.Store(false)
	}
	select {
	case a.wished <- struct{}{}:
	default:
	}
}

func (a *Application) take() wish {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.wish
	a.wish = wish{}
	return w
}

// deed is something that is being done to the application.
type deed struct {
	wish
	cancel context.CancelCauseFunc
	ended  chan ha.On // nothing comes of one that was broken off
}

// Run does what is wished, one thing at a time, and checks what runs.
func (a *Application) Run(ctx context.Context, tell func(ha.On)) {
	check := time.NewTimer(a.Interval)
	defer check.Stop()
	var now *deed
	for {
		var ended chan ha.On
		if now != nil {
			ended = now.ended
		}
		select {
		case <-ctx.Done():
			if now != nil {
				now.cancel(errors.New("the engine ends"))
				<-now.ended
			}
			return
		case <-a.wished:
			now = a.follow(ctx, now)
		case on := <-ended:
			now.cancel(nil)
			a.runs, a.known, now = on == ha.OnAppUp, true, nil
			a.well.Store(a.runs)
			tell(on)
			check.Reset(a.Interval)
		case <-check.C:
			if now == nil && a.runs {
				a.look(ctx, tell)
			}
			check.Reset(a.Interval)
		}
	}
}

// follow begins what is wished, after breaking off what is against it.
func (a *Application) follow(ctx context.Context, now *deed) *deed {
	w := a.take()
	switch {
	case w.verb == noVerb, now != nil && now.verb == w.verb:
		return now
	case now != nil:
		now.cancel(errors.New("something else is wished"))
		<-now.ended
		a.known = false
	}
	ctx, cancel := context.WithCancelCause(ctx)
	d := &deed{w, cancel, make(chan ha.On, 1)}
	fresh := a.known
	go func() {
		if w.verb == toRun {
			d.ended <- a.start(ctx, w.epoch, fresh)
			return
		}
		d.ended <- a.stop(ctx, w.verb == toDie)
	}()
	return d
}

// start starts the application unless it runs and is well. What may be stopping
// is started in any case.
func (a *Application) start(ctx context.Context, epoch uint64, fresh bool) ha.On {
	if a.Before != nil {
		if err := a.Before(ctx); err != nil {
			a.log.Error("the application is not started, for what precedes it fails", "error", err)
			return ha.OnAppStartFailed
		}
	}
	if fresh && a.check(ctx) == nil {
		return ha.OnAppUp
	}
	ctx, cancel := context.WithTimeoutCause(ctx, a.StartTimeout, fmt.Errorf("the application is not well %v after its start began", a.StartTimeout))
	defer cancel()
	if _, err := execute(ctx, a.Commands.Start, fmt.Sprintf("UNDERSTUDY_EPOCH=%d", epoch)); err != nil {
		a.log.Error("the application cannot be started", "error", err)
		return ha.OnAppStartFailed
	}
	for {
		err := a.check(ctx)
		if err == nil {
			return ha.OnAppUp
		}
		select {
		case <-ctx.Done():
			a.log.Error("the application does not become well", "error", err)
			return ha.OnAppStartFailed
		case <-time.After(min(a.Interval, 100*time.Millisecond)):
		}
	}
}

// stop stops the application, as often as it takes.
func (a *Application) stop(ctx context.Context, hard bool) ha.On {
	line := a.Commands.Stop
	if hard && len(a.Commands.Kill) > 0 {
		line = a.Commands.Kill
	}
	for {
		_, err := execute(ctx, line)
		if err == nil && a.check(ctx) == nil {
			err = errors.New("its health still passes")
		}
		if err == nil || ctx.Err() != nil {
			return ha.OnAppStopped
		}
		a.log.Error("the application cannot be stopped", "error", err)
		select {
		case <-ctx.Done():
			return ha.OnAppStopped
		case <-time.After(between):
		}
	}
}

// look tells when the health of what runs has changed.
func (a *Application) look(ctx context.Context, tell func(ha.On)) {
	err := a.check(ctx)
	if ctx.Err() != nil || a.well.Swap(err == nil) == (err == nil) {
		return
	}
	if err == nil {
		tell(ha.OnAppGood)
		return
	}
	a.log.Error("the application is not well", "error", err)
	tell(ha.OnAppBad)
}

// check gives nil if the application is well.
func (a *Application) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, a.Timeout, fmt.Errorf("no answer within %v", a.Timeout))
	defer cancel()
	if len(a.HealthCommand) > 0 {
		_, err := execute(ctx, a.HealthCommand)
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.Health, nil)
	if err != nil {
		return err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("health answers %d: %.100q", resp.StatusCode, body)
	}
	return nil
}
