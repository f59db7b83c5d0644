//go:build linux

package haengine

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowly is an application that answers every byte with one, after a while.
func slowly(t *testing.T, takes time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for b := make([]byte, 1); ; {
					if _, err := c.Read(b); err != nil {
						return
					}
					time.Sleep(takes)
					if _, err := c.Write(b); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// freeAddress gives an address at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	return free.Addr().String()
}

// A door that is cut lets every request that is on its way be answered, and ends
// the connection in the pause after it.
func TestADoorThatIsCutEndsConnectionsBetweenTwoRequests(t *testing.T) {
	t.Parallel()
	at := freeAddress(t)
	g := NewGate(at, slowly(t, 150*time.Millisecond), "", nil, slog.New(slog.DiscardHandler))
	g.Open()
	defer g.Close()
	var answered, lost atomic.Int64
	var clients sync.WaitGroup
	for i := range 20 {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		clients.Go(func() {
			defer c.Close()
			time.Sleep(time.Duration(i) * 15 * time.Millisecond)
			for b := make([]byte, 1); ; {
				if _, err := c.Write(b); err != nil {
					lost.Add(1)
					return
				}
				_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
				if _, err := io.ReadFull(c, b); err != nil {
					lost.Add(1)
					return
				}
				answered.Add(1)
				_ = c.SetReadDeadline(time.Now().Add(400 * time.Millisecond)) // the pause
				if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
					return // ended while nothing was out
				}
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	g.Close()
	began := time.Now()
	g.Cut()
	took := time.Since(began)
	clients.Wait()
	if lost.Load() > 0 || answered.Load() < 20 || took > cutTime {
		t.Errorf("%d answers, %d requests lost; the cut took %v", answered.Load(), lost.Load(), took)
	}
	if now, _ := g.Clients(); now > 0 {
		g.guests.Wait()
	}
}

// A client that is never quiet is in nobody's way for ever.
func TestADoorThatIsCutDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	at := freeAddress(t)
	g := NewGate(at, slowly(t, time.Hour), "", nil, slog.New(slog.DiscardHandler))
	g.Open()
	defer g.Close()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("x")) // it waits for its answer
	for now, _ := g.Clients(); now == 0; now, _ = g.Clients() {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	g.Cut()
	if took := time.Since(began); took < cutTime || took > 3*cutTime {
		t.Errorf("the cut took %v", took)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the client is still in")
	}
}
