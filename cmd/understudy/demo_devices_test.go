package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// An application that starts when the demo is over brings no folder back.
func TestTheDemosApplicationMakesNoFolderOfANode(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "core1")
	if _, err := openDevices(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it opened its list in a folder that is gone: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is back: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the list may be there already
		d, err := openDevices(dir)
		if err != nil {
			t.Fatal(err)
		}
		_ = d.db.Close()
	}
}
