package notify

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestTwoNotifiersOfOneDirectoryDeliverEachMessageOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, chat := t.TempDir(), &recorder{name: "chat"}
		front, sidecar := start(t, dir, nil, chat), start(t, dir, nil, chat)
		for i := range 40 {
			if i%2 == 0 {
				front.Tell(say(i))
			} else {
				sidecar.Tell(say(i))
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2 * poll)
		got := chat.texts()
		slices.Sort(got)
		want := saying(0, 39)
		slices.Sort(want)
		same(t, "chat", got, want)
	})
}

func TestWhatTwoProcessesSeeIsToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, chat := t.TempDir(), &recorder{name: "chat"}
		front, sidecar := start(t, dir, nil, chat), start(t, dir, nil, chat)
		change := changeOf("mdm", time.Now(), ha.Stranded)
		for _, n := range []*running{front, sidecar} {
			n.Tell(alarmOf(ha.Stranded, time.Now()))
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(2 * poll)
		for _, n := range []*running{front, sidecar} {
			n.Tell(change)
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(2 * poll)
		same(t, "chat", chat.texts(), []string{"stranded", "switched"})
	})
}

func TestTheOtherNotifierTakesOverWithinAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, chat := t.TempDir(), &recorder{name: "chat"}
		old := start(t, dir, nil, chat)
		synctest.Wait() // old holds the lock
		young := start(t, dir, nil, chat)
		old.Tell(say(1))
		synctest.Wait()
		young.Tell(say(2)) // delivered by old, at its next look
		time.Sleep(poll + time.Millisecond)
		same(t, "chat", chat.texts(), saying(1, 2))
		chat.dead()
		old.Tell(say(3))
		synctest.Wait()
		old.stop()
		chat.answers(nil)
		time.Sleep(time.Millisecond)
		young.Tell(say(4))
		time.Sleep(2 * poll)
		same(t, "chat", chat.texts(), saying(1, 4))
	})
}

// childVariable makes the test binary a process that tells and dies.
const childVariable = "NOTIFY_TEST_CHILD"

// TestMain runs the tests, or the child: it tells three messages to a webhook
// that takes nothing, says so when they are on disk, and waits to be killed.
func TestMain(m *testing.M) {
	dir, url, child := strings.Cut(os.Getenv(childVariable), " ")
	if !child {
		os.Exit(m.Run())
	}
	log := (&journal{}).logger()
	hook, err := NewWebhook(WebhookConfig{URL: url}, log)
	if err != nil {
		panic(err)
	}
	n, err := New(Default(dir), []Sender{hook}, nil, log)
	if err != nil {
		panic(err)
	}
	for i := range 3 {
		n.Tell(say(i))
	}
	go func() { _ = n.Run(context.Background()) }()
	for n.lanes[0].queue.size() < 3 || n.lanes[0].figures.by[failed].Get() == 0 {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("told")
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // a child never outlives its parent
}

func TestWhatAKilledProcessToldIsDeliveredByTheNext(t *testing.T) {
	t.Parallel()
	var up atomic.Bool
	took := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		took <- decoded(t, r).Text
	}))
	t.Cleanup(receiver.Close)
	dir := t.TempDir()

	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+dir+" "+receiver.URL)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "told\n" {
		t.Errorf("the child said %q", line)
	}
	_ = child.Process.Kill()
	_ = child.Wait()

	up.Store(true)
	hook, err := NewWebhook(WebhookConfig{URL: receiver.URL}, (&journal{}).logger())
	if err != nil {
		t.Fatal(err)
	}
	start(t, dir, nil, hook)
	var got []string
	for range 3 {
		got = append(got, await(t, took))
	}
	same(t, "receiver", got, saying(0, 2))
}

// await receives, or fails after a time that only a fault needs.
func await[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
