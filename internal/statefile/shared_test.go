package statefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestWritersAtTheSameTimeShareASyncThatBeginsAfterTheyHaveRenamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	begun, goOn := make(chan int), make(chan error)
	var syncs int
	s := Shared{do: func(*os.File, string) error {
		syncs++ // never two at once: the race detector would tell
		begun <- syncs
		return <-goOn
	}}
	const late = 20
	var written atomic.Int32
	errs := make(chan error, late+1)
	write := func(i int) {
		errs <- s.Write(filepath.Join(dir, fmt.Sprint(i)), value(i), 0o640)
		written.Add(1)
	}
	go write(0)
	<-begun
	for i := range late {
		go write(i + 1)
	}
	waitFor(t, "every name to be there", func() bool {
		names, _ := filepath.Glob(filepath.Join(dir, "[0-9]*"))
		return len(names) == late+1
	})
	if n := written.Load(); n != 0 {
		t.Errorf("%d returned before a sync ended", n)
	}
	goOn <- nil
	if err := <-errs; err != nil {
		t.Error(err)
	}
	for ended := 0; ended < late; { // as a rule one sync; a caller that was slow to ask may need one more
		select {
		case <-begun:
			goOn <- syscall.EIO
		case err := <-errs:
			ended++
			if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "sync directory of "+dir+"/") {
				t.Errorf("a writer whose sync failed got %v", err)
			}
		}
	}
	if syncs > late/2 {
		t.Errorf("%d syncs for %d writers", syncs, late+1)
	}
}

func TestManyWriteSharedAtOnceAndAllIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var s Shared
	var writers sync.WaitGroup
	for w := range 16 {
		writers.Go(func() {
			for n := range 20 {
				if err := s.Write(filepath.Join(dir, fmt.Sprint(w)), value(n), 0o640); err != nil {
					t.Error(err)
				}
			}
		})
	}
	within(t, "writing", writers.Wait)
	for w := range 16 {
		data, err := Read(filepath.Join(dir, fmt.Sprint(w)), 1<<20)
		if err != nil || string(data) != string(value(19)) {
			t.Errorf("file %d has %.20q, %v", w, data, err)
		}
	}
}

// waitFor waits until what holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatal("waited a minute for " + what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal("ended")
		case <-time.After(time.Millisecond):
		}
	}
}
