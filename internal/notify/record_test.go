package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// recorder is a Sender that keeps what it was sent, and answers as told.
type recorder struct {
	name string

	mu     sync.Mutex // guards the fields below
	answer func(m Message) error
	taken  []Message
	tries  []time.Time
}

func (r *recorder) Name() string { return r.name }

func (r *recorder) Send(_ context.Context, m Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries = append(r.tries, time.Now())
	if r.answer != nil {
		if err := r.answer(m); err != nil {
			return err
		}
	}
	r.taken = append(r.taken, m)
	return nil
}

func (r *recorder) answers(f func(m Message) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func (r *recorder) dead() { r.answers(func(Message) error { return errors.New("nobody there") }) }

// texts gives what was taken so far, in order.
func (r *recorder) texts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var texts []string
	for _, m := range r.taken {
		texts = append(texts, m.Text)
	}
	return texts
}

func (r *recorder) attempts() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.tries)
}

// journal is a log that a test can read.
type journal struct {
	mu sync.Mutex // guards the field below
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// running is a Notifier that runs until stop, or the test's end.
type running struct {
	*Notifier
	log  *journal
	stop func() error
}

// start runs a Notifier; edit may change its Config.
func start(t *testing.T, dir string, edit func(*Config), senders ...Sender) *running {
	t.Helper()
	cfg := Default(dir)
	if edit != nil {
		edit(&cfg)
	}
	log := &journal{}
	n, err := New(cfg, senders, nil, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return &running{n, log, stop}
}

// count gives a figure of the first sender.
func (r *running) count(which result) int { return int(r.lanes[0].figures.by[which].Get()) }

func say(i int) Message {
	return Message{Group: "mdm", Event: "test", Severity: Info, Text: fmt.Sprint("message ", i)}
}

func saying(from, to int) []string {
	var texts []string
	for i := from; i <= to; i++ {
		texts = append(texts, say(i).Text)
	}
	return texts
}

func alarmOf(reason ha.Reason, at time.Time) Message {
	return Message{Key: alarmKey("mdm", reason), Group: "mdm", Event: reason, Severity: Alarm, At: at, Text: string(reason)}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// files gives the names in a sender's queue.
func files(t *testing.T, dir, sender, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "queue", sender, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return names
}
