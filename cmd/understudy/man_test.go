package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestThereIsAManualPageForEveryCommand(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man1")
	if got := runs(t, nil, "man", "--dir", dir); got.code != exitDone || got.out+got.err != "" {
		t.Fatalf("got %+v", got)
	}
	for _, page := range []string{"understudy.1", "understudy-status.1", "understudy-switch.1", "understudy-failover-status.1", "failover.1", "failover-status.1", "failover-mode.1"} {
		text, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, want := range []string{".TH", "SYNOPSIS"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s has no %s", page, want)
			}
		}
		if strings.Contains(string(text), "Auto generated") {
			t.Errorf("%s says when it was made", page)
		}
	}
	if got := runs(t, nil, "man"); got.code != exitDone || !strings.Contains(got.out, ".TH") {
		t.Errorf("to stdout: %+v", got)
	}
	if got := runs(t, nil, "man", "--dir", filepath.Join(dir, "understudy.1")); got.code != exitUnreachable || !strings.Contains(got.err, "not written") {
		t.Errorf("into a file: %+v", got)
	}
}
