package sidecar

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestACommandThatHangsIsKilledWithItsChildren(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "mark")
	begun := time.Now()
	err := execute(t.Context(), []string{"sh", "-c", "(sleep 4; touch " + mark + ") & echo stuck; wait"}, time.Second)
	if err == nil || !strings.Contains(err.Error(), "did not end within 1s") || !strings.Contains(err.Error(), `"stuck"`) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > 3500*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	<-time.After(time.Until(begun.Add(4500 * time.Millisecond)))
	if _, err := os.Stat(mark); err == nil {
		t.Error("the child went on")
	}
}

func TestWhatACommandSaysIsCutAndQuoted(t *testing.T) {
	t.Parallel()
	err := execute(t.Context(), []string{"sh", "-c", "yes 'a\x1b[2Jb' | head -c 10000000; exit 3"}, 20*time.Second)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || len(err.Error()) > 3*mostSaid || strings.ContainsRune(err.Error(), '\x1b') {
		t.Errorf("got %.200v", err)
	}
	if err := execute(t.Context(), []string{"/nowhere/at/all"}, time.Second); err == nil {
		t.Error("a program that is not there has run")
	}
}

func TestThereIsNoShell(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := execute(t.Context(), []string{"touch", filepath.Join(dir, "$(id);a b")}, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "$(id);a b")); err != nil {
		t.Error(err)
	}
}
