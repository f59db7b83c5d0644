package dnsgtm

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// inTurn moves traffic to and fro.
func inTurn(s *Server, times int) {
	for i := range times {
		s.Tell(serves("mdm", []string{"core2", "core1"}[i%2]))
	}
}

func TestASerialNeverGoesBackwards(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := example()
	c.StateDir = dir
	last := uint32(0)
	for round, end := range []string{"clean", "clean", "killed", "killed", "clean", "killed"} {
		s := running(t, c)
		if s.serial() < last {
			t.Fatalf("round %d: begins with %d after %d", round, s.serial(), last)
		}
		inTurn(s, 2+2*round)
		last = s.serial()
		if end == "killed" {
			s.mu.Lock()
			s.frozen = true // a process that is killed stores nothing
			s.mu.Unlock()
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := running(t, c)
	if s.serial() <= last {
		t.Errorf("after a kill: begins with %d after %d", s.serial(), last)
	}
}

func TestTheSameContentKeepsItsSerialOverARestart(t *testing.T) {
	t.Parallel()
	c := example()
	c.StateDir = t.TempDir()
	s := running(t, c)
	inTurn(s, 2)
	last := s.serial()
	_ = s.Close()
	s = running(t, c)
	if s.serial() != last {
		t.Errorf("got %d, want %d again", s.serial(), last)
	}
	_ = s.Close()
	c.Zones[0].Names[0].TTL = 7 * time.Second
	if s = running(t, c); s.serial() <= last {
		t.Errorf("with other content got %d after %d", s.serial(), last)
	}
	_ = s.Close()
	c.Zones[0].Text = []byte(strings.Replace(exampleZone, "2026010100", "3000000000", 1))
	if s = running(t, c); s.serial() != 3000000000 {
		t.Errorf("with a larger serial in the file got %d", s.serial())
	}
}

// The serials of a file that cannot be read are not guessed.
func TestADamagedSerialIsRefused(t *testing.T) {
	t.Parallel()
	c := example()
	c.StateDir = t.TempDir()
	write(t, c.StateDir, "zone-example.com..serial", "{}")
	s := told(t, c)
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "is damaged") || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("got %v", err)
	}
}

// While the disk is full answers change as ever, and serials as long as the
// stock lasts; then secondaries wait, and are told when there is room again.
func TestAFullDiskHoldsNoAnswerUp(t *testing.T) {
	t.Parallel()
	c := example()
	c.StateDir = t.TempDir()
	s := told(t, c)
	full := true
	write := s.serials.write
	s.serials.write = func(path string, data []byte, perm fs.FileMode) error {
		if full { // guarded by saving, but for the first, which is before Start returns
			return &fs.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
		}
		return write(path, data, perm)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	before := s.serial()
	s.Tell(serves("mdm", "core2"))
	if got := s.says(t, "mdm", dns.TypeA); got != "A 192.0.2.11" {
		t.Errorf("got %s", got)
	}
	if s.serial() != before {
		t.Errorf("a serial was used that is not stored: %d after %d", s.serial(), before)
	}
	if n := s.Figures(); n.Unstored == 0 || n.Unserialled == 0 {
		t.Errorf("it was not counted: %+v", n)
	}
	s.saving.Lock()
	full = false
	s.saving.Unlock()
	s.Tell(serves("mdm", "dr1"))
	await(t, "a serial for what secondaries have missed", func() bool { return s.serial() > before })
	if _, err := os.Stat(filepath.Join(c.StateDir, "zone-example.com..serial")); err != nil {
		t.Error(err)
	}
}

// The stock is filled up before it is used up.
func TestAThousandFailoversWaitForNoDisk(t *testing.T) {
	t.Parallel()
	c := example()
	c.StateDir = t.TempDir()
	s := running(t, c)
	before := s.serial()
	for i := range 3000 {
		inTurn(s, 1+i%2)
		if i%100 == 0 {
			await(t, "the stock", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return !later(s.table.Load().zones["example.com."].told.serial+stockLow, s.stocks["example.com."])
			})
		}
	}
	if s.Figures().Unserialled > 0 || !later(s.serial(), before+2000) {
		t.Errorf("%d changes had no serial; from %d to %d", s.Figures().Unserialled, before, s.serial())
	}
}

// A failover shows in answers within two milliseconds of the decision, in a
// signed zone of many names too.
func TestAFailoverShowsWithinTwoMilliseconds(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector is slower than the promise")
	}
	c := example()
	c.StateDir = t.TempDir()
	c.Zones[0].Sign = []string{newKey(t, t.TempDir(), "example.com.", 257, nil)}
	var text strings.Builder
	text.WriteString(exampleZone)
	for i := range 20000 {
		fmt.Fprintf(&text, "n%d IN A 192.0.2.1\n", i)
	}
	c.Zones[0].Text = []byte(text.String())
	s := running(t, c)
	var took []time.Duration
	for i := range 101 {
		node, want := "core2", "A 192.0.2.11"
		if i%2 == 1 {
			node, want = "core1", "A 192.0.2.10"
		}
		began := time.Now()
		s.Tell(serves("mdm", node))
		got := s.says(t, "mdm", dns.TypeA)
		took = append(took, time.Since(began))
		if got != want {
			t.Fatalf("right after the decision: got %s, want %s", got, want)
		}
	}
	slices.Sort(took)
	if quick := took[len(took)/4]; quick > 2*time.Millisecond { // a busy machine delays some, a slow server all
		t.Errorf("the quicker quarter of failovers was answered within %s", quick)
	}
}

// BenchmarkTell moves one of ten thousand groups whose names stand in one
// signed zone.
func BenchmarkTell(b *testing.B) {
	c := example()
	c.Zones[0].Sign = []string{newKey(b, b.TempDir(), "example.com.", 257, nil)}
	for i := range 10_000 {
		name := fmt.Sprintf("g%d", i)
		c.Groups = append(c.Groups, Group{Name: name, Nodes: c.Groups[0].Nodes[:2]})
		c.Zones[0].Names = append(c.Zones[0].Names, Name{Name: name, Group: name, TTL: 5 * time.Second})
	}
	s, err := New(c, discard)
	if err != nil {
		b.Fatal(err)
	}
	for _, g := range c.Groups {
		s.Tell(serves(g.Name, "core1"))
	}
	if err := s.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	i := 0
	for b.Loop() {
		i++
		s.Tell(serves("g7", []string{"core1", "core2"}[i%2]))
	}
}
