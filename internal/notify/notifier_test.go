package notify

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestMessagesArriveInTheOrderTheyWereTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chat, mail := &recorder{name: "chat"}, &recorder{name: "mail"}
		n := start(t, t.TempDir(), nil, chat, mail)
		for i := range 50 {
			n.Tell(say(i))
		}
		synctest.Wait()
		same(t, "chat", chat.texts(), saying(0, 49))
		same(t, "mail", mail.texts(), saying(0, 49))
		if got := n.count(delivered); got != 50 {
			t.Errorf("counted %d deliveries, want 50", got)
		}
	})
}

func TestAMessageIsDeliveredAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chat := &recorder{name: "chat"}
		n := start(t, t.TempDir(), nil, chat)
		time.Sleep(10 * time.Minute) // of the bubble
		before := time.Now()
		n.Tell(say(1))
		synctest.Wait()
		if took := time.Since(before); took != 0 || len(chat.texts()) != 1 {
			t.Errorf("delivered %v after %s, want at once", chat.texts(), took)
		}
	})
}

func TestAnOutageDelaysButLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		chat, mail := &recorder{name: "chat"}, &recorder{name: "mail"}
		chat.dead()
		n := start(t, dir, nil, chat, mail)
		for i := range 10 {
			n.Tell(say(i))
			time.Sleep(20 * time.Minute)
		}
		same(t, "mail, which has no outage", mail.texts(), saying(0, 9))
		if got := len(files(t, dir, "chat", "*.json")); got != 10 {
			t.Errorf("%d messages on disk during the outage, want 10", got)
		}
		chat.answers(nil)
		time.Sleep(deadTime + 2*longestWait)
		same(t, "chat after its outage", chat.texts(), saying(0, 9))
		if got := len(files(t, dir, "chat", "*.json")); got != 0 {
			t.Errorf("%d messages on disk after the outage, want 0", got)
		}
	})
}

func TestAShortFailureIsTriedAgainSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chat := &recorder{name: "chat"}
		chat.dead()
		n := start(t, t.TempDir(), nil, chat)
		n.Tell(say(1))
		synctest.Wait()
		chat.answers(nil)
		time.Sleep(3 * firstWait / 2)
		same(t, "chat", chat.texts(), saying(1, 1))
	})
}

func TestADeadReceiverIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chat := &recorder{name: "chat"}
		chat.dead()
		n := start(t, t.TempDir(), nil, chat)
		for i := range 20 {
			n.Tell(say(i))
		}
		time.Sleep(10 * time.Minute)
		start := len(chat.attempts())
		for i := range 20 { // new messages are no reason to try sooner
			n.Tell(say(i))
			time.Sleep(3 * time.Minute)
		}
		tries := len(chat.attempts()) - start
		if hour := int(time.Hour / deadTime); tries < hour/2 || tries > hour {
			t.Errorf("tried %d times in an hour, want %d at most and at least half of it", tries, hour)
		}
		if got := strings.Count(n.log.String(), "left alone"); got != 1 {
			t.Errorf("the log says %d times that the receiver is left alone, want once", got)
		}
		chat.answers(nil)
		time.Sleep(deadTime + 2*longestWait)
		if got := strings.Count(n.log.String(), "is back"); got != 1 {
			t.Errorf("the log says %d times that the receiver is back, want once", got)
		}
	})
}

func TestWaitsGrowAndAreSpread(t *testing.T) {
	t.Parallel()
	waits := map[time.Duration]bool{}
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			chat := &recorder{name: "chat"}
			chat.dead()
			n := start(t, t.TempDir(), nil, chat)
			n.Tell(say(1))
			time.Sleep(time.Minute)
			tries := chat.attempts()
			if len(tries) != deadAfter {
				t.Fatalf("tried %d times in a minute, want %d", len(tries), deadAfter)
			}
			least := firstWait / 2
			for i := range tries[1:] {
				wait := tries[i+1].Sub(tries[i])
				if wait < least || wait > 3*least {
					t.Errorf("wait %d is %s, want between %s and %s", i, wait, least, 3*least)
				}
				waits[wait] = true
				least *= 2
			}
		})
	}
	if len(waits) < 10 {
		t.Errorf("12 waits have only %d lengths", len(waits))
	}
}

func TestQueuedMessagesSurviveARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, chat := t.TempDir(), &recorder{name: "chat"}
		chat.dead()
		first := start(t, dir, nil, chat)
		for i := range 5 {
			first.Tell(say(i))
		}
		synctest.Wait()
		first.Tell(say(5)) // told at the last moment
		if err := first.stop(); err != nil {
			t.Fatal(err)
		}
		chat.answers(nil)
		second := start(t, dir, nil, chat)
		second.Tell(say(6))
		synctest.Wait()
		same(t, "chat", chat.texts(), saying(0, 6))
	})
}

func TestAClockThatGoesBackDoesNotChangeTheOrder(t *testing.T) {
	t.Parallel()
	dir, chat := t.TempDir(), &recorder{name: "chat"}
	chat.dead()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		n := start(t, dir, nil, chat)
		n.Tell(say(1))
		synctest.Wait()
		n.stop()
	})
	chat.answers(nil)
	synctest.Test(t, func(t *testing.T) { // its clock starts a day earlier
		n := start(t, dir, nil, chat)
		n.Tell(say(2))
		synctest.Wait()
		same(t, "chat", chat.texts(), saying(1, 2))
	})
}

func TestAMessageIsGivenUpAfterADayAndNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chat := &recorder{name: "chat"}
		chat.dead()
		n := start(t, t.TempDir(), nil, chat)
		n.Tell(say(1))
		time.Sleep(24*time.Hour - time.Minute)
		if got := n.count(expired); got != 0 {
			t.Errorf("%d given up before a day", got)
		}
		time.Sleep(time.Minute + deadTime + 2*longestWait) // the longest between two tries
		if got := n.count(expired); got != 1 {
			t.Errorf("%d given up after a day, want 1", got)
		}
		if !strings.Contains(n.log.String(), `level=ERROR msg="notification dropped: it could not be delivered in time"`) {
			t.Errorf("the log does not tell: %s", n.log)
		}
	})
}

func TestEveryMessageIsTriedOnceHoweverOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, chat := t.TempDir(), &recorder{name: "chat"}
		chat.dead()
		n := start(t, dir, nil, chat)
		for i := range 3 {
			n.Tell(say(i))
		}
		synctest.Wait()
		n.stop()
		time.Sleep(72 * time.Hour) // the machine was off
		chat.answers(nil)
		start(t, dir, nil, chat)
		synctest.Wait()
		same(t, "chat", chat.texts(), saying(0, 2))
	})
}

func TestARejectedMessageDoesNotHoldUpTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chat := &recorder{name: "chat"}
		chat.answers(func(m Message) error {
			if m.Text != say(9).Text {
				return &Rejected{"it is not for us"}
			}
			return nil
		})
		n := start(t, t.TempDir(), nil, chat)
		for i := range 10 { // more in a row than would open the breaker
			n.Tell(say(i))
		}
		synctest.Wait()
		same(t, "chat", chat.texts(), saying(9, 9))
		if got := n.count(rejected); got != 9 {
			t.Errorf("counted %d rejections, want 9", got)
		}
		if got := strings.Count(n.log.String(), `level=ERROR msg="notification dropped: the receiver rejects it"`); got != 9 {
			t.Errorf("logged %d rejections, want 9", got)
		}
	})
}

func TestABusyReceiverIsNotTriedBeforeItsTime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ asks, want time.Duration }{
		{10 * time.Minute, 10 * time.Minute},
		{30 * 24 * time.Hour, busyLimit},
	} {
		synctest.Test(t, func(t *testing.T) {
			chat := &recorder{name: "chat"}
			chat.answers(func(Message) error {
				if len(chat.tries) > 1 {
					return nil
				}
				return &Busy{"not now", tt.asks}
			})
			n := start(t, t.TempDir(), nil, chat)
			n.Tell(say(1))
			time.Sleep(tt.want + 2*longestWait)
			tries := chat.attempts()
			if len(tries) != 2 || tries[1].Sub(tries[0]) != tt.want {
				t.Errorf("asked for %s: tried at %v, want two tries %s apart", tt.asks, tries, tt.want)
			}
		})
	}
}

func TestTellNeverWaits(t *testing.T) {
	t.Parallel()
	log := &journal{}
	n, err := New(Config{Dir: t.TempDir(), Buffer: 3}, []Sender{&recorder{name: "chat"}}, nil, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 { // nobody files: Run was not called
		n.Tell(say(i))
	}
	if got := n.lanes[0].figures.by[unfiled].Get(); got != 7 {
		t.Errorf("counted %d dropped, want 7", got)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Run(over); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "told faster than they could be filed\" count=7") {
		t.Errorf("the log does not tell what was dropped: %s", log)
	}
}

func TestTellFillsWhatIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chat := &recorder{name: "chat"}
		n := start(t, t.TempDir(), nil, chat)
		n.Tell(Message{Group: "mdm", Text: "x"})
		synctest.Wait()
		m := chat.taken[0]
		if at, ok := stamped(m.ID); !ok || !m.At.Equal(at) || m.Severity != Warning {
			t.Errorf("got %+v, want an ID, its time, and a warning", m)
		}
	})
}

func TestAFaultyConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	chat := func(name string) Sender { return &recorder{name: name} }
	for _, tt := range []struct {
		cfg     Config
		senders []Sender
		want    string
	}{
		{Config{Dir: "relative"}, nil, `dir "relative" must be an absolute path`},
		{Config{Dir: "/x", Limit: -1}, nil, "limit -1 must not be negative"},
		{Config{Dir: "/x", GiveUp: -1}, nil, "give_up -1ns must not be negative"},
		{Config{Dir: "/x", Buffer: -1}, nil, "buffer -1 must not be negative"},
		{Default(t.TempDir()), []Sender{chat("a"), chat("a")}, "sender a is configured twice"},
		{Default(t.TempDir()), []Sender{chat("")}, `sender name ""`},
		{Default(t.TempDir()), []Sender{chat("../x")}, `sender name "../x"`},
		{Default(t.TempDir()), []Sender{chat("..")}, `sender name ".."`},
		{Default(t.TempDir()), []Sender{chat(`a"b`)}, `sender name "a\"b"`},
	} {
		_, err := New(tt.cfg, tt.senders, nil, (&journal{}).logger())
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %s", tt.cfg, err, tt.want)
		}
	}
}

func TestStoppingWaitsAMomentForADelivery(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		takes time.Duration
		want  int
	}{{grace / 2, 1}, {10 * grace, 0}} {
		synctest.Test(t, func(t *testing.T) {
			slow := &slowSender{takes: tt.takes}
			dir := t.TempDir()
			n := start(t, dir, nil, slow)
			n.Tell(say(1))
			synctest.Wait()
			before := time.Now()
			n.stop()
			if took := time.Since(before); slow.done != tt.want || took > grace {
				t.Errorf("a delivery of %s: %d done after %s, want %d within %s", tt.takes, slow.done, took, tt.want, grace)
			}
			if got := len(files(t, dir, "slow", "*.json")); got != 1-tt.want {
				t.Errorf("%d messages left, want %d", got, 1-tt.want)
			}
		})
	}
}

// slowSender takes its time, and gives up when it is told to.
type slowSender struct {
	takes time.Duration
	done  int
}

func (s *slowSender) Name() string { return "slow" }

func (s *slowSender) Send(ctx context.Context, _ Message) error {
	select {
	case <-time.After(s.takes):
		s.done++
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestASenderThatHangsIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil, &slowSender{takes: 1000 * time.Hour})
		n.Tell(say(1))
		time.Sleep(attemptTime + time.Second)
		if got := n.count(failed); got != 1 {
			t.Errorf("%d failed attempts after %s, want 1", got, attemptTime)
		}
	})
}

func TestWhileTheDiskTakesNothingMessagesAreDeliveredFromMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, chat := t.TempDir(), &recorder{name: "chat"}
		n := start(t, dir, nil, chat)
		n.Tell(say(0))
		synctest.Wait()
		mend := breakDisk(t, filepath.Join(dir, "queue"))
		chat.dead()
		n.Tell(say(1))
		n.Tell(say(2))
		synctest.Wait()
		if got := n.count(unsaved); got != 2 {
			t.Errorf("counted %d unsaved, want 2", got)
		}
		chat.answers(nil)
		time.Sleep(2 * firstWait)
		same(t, "chat", chat.texts(), saying(0, 2))
		mend()
		n.Tell(say(3))
		synctest.Wait()
		same(t, "chat", chat.texts(), saying(0, 3))
	})
}

func TestWhatCouldNotBeWrittenIsWrittenWhenTheDiskIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, chat := t.TempDir(), &recorder{name: "chat"}
		n := start(t, dir, nil, chat)
		chat.dead()
		mend := breakDisk(t, filepath.Join(dir, "queue"))
		n.Tell(say(1))
		synctest.Wait()
		mend()
		time.Sleep(2 * longestWait)
		if got := len(files(t, dir, "chat", "*.json")); got != 1 {
			t.Errorf("%d messages on disk, want 1", got)
		}
		mend = breakDisk(t, filepath.Join(dir, "queue"))
		n.Tell(say(2))
		synctest.Wait()
		mend()
		if err := n.stop(); err != nil { // even in the last moment
			t.Fatal(err)
		}
		if got := len(files(t, dir, "chat", "*.json")); got != 2 {
			t.Errorf("%d messages on disk, want 2", got)
		}
	})
}

func TestMessagesThatDieWithTheProcessAreAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, chat := t.TempDir(), &recorder{name: "chat"}
		chat.dead()
		log := &journal{}
		n, err := New(Default(dir), []Sender{chat}, nil, log.logger())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		synctest.Wait()
		breakDisk(t, filepath.Join(dir, "queue"))
		n.Tell(say(1))
		synctest.Wait()
		cancel()
		if err := <-done; err == nil || !strings.Contains(err.Error(), "1 notifications for chat are lost") {
			t.Errorf("got %v, want that one is lost", err)
		}
	})
}

// breakDisk puts a file in a directory's place, so that nothing can be written
// below it, until mend is called.
func breakDisk(t *testing.T, dir string) (mend func()) {
	t.Helper()
	if err := errors.Join(os.Rename(dir, dir+".away"), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.Remove(dir), os.Rename(dir+".away", dir)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheFiguresAreNamedBySenderAndResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chat := &recorder{name: "chat"}
		chat.dead()
		figures := NewMetrics(nil)
		n, err := New(Default(t.TempDir()), []Sender{chat}, figures, (&journal{}).logger())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		n.Tell(say(1))
		n.Tell(say(2))
		synctest.Wait()
		var text strings.Builder
		figures.set.WritePrometheus(&text)
		for _, line := range []string{
			`understudy_notifications_queued{sender="chat"} 2`,
			`understudy_notifications_total{sender="chat",result="failed"} 1`,
			`understudy_notifications_total{sender="chat",result="delivered"} 0`,
		} {
			if !strings.Contains(text.String(), line+"\n") {
				t.Errorf("no %s in\n%s", line, text.String())
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestTheQueueIsForTheGroupWhateverTheUmask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "notify")
		chat := &recorder{name: "chat"}
		chat.dead()
		n := start(t, dir, nil, chat)
		n.Tell(alarmOf(ha.Stranded, time.Now()))
		synctest.Wait()
		for _, d := range []string{dir, filepath.Join(dir, "queue"), filepath.Join(dir, "queue", "chat")} {
			if info, err := os.Stat(d); err != nil || info.Mode() != fs.ModeDir|fs.ModeSetgid|0o770 {
				t.Errorf("%s: %v %v, want mode 2770", d, info.Mode(), err)
			}
		}
		for _, f := range append(files(t, dir, "chat", "*.json"), files(t, dir, "chat", "lock")...) {
			if info, err := os.Stat(f); err != nil || info.Mode() != 0o660 {
				t.Errorf("%s: %v %v, want mode 0660", f, info.Mode(), err)
			}
		}
	})
}
