package statefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestReadGivesAtMostWhatIsAsked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		most int64
		want string
		err  error
	}{
		{6, "12345", nil},
		{5, "12345", nil},
		{4, "1234", ErrTooLarge},
		{0, "", ErrTooLarge},
	} {
		got, err := Read(path, tt.most)
		if string(got) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("at most %d: got %q, %v; want %q, %v", tt.most, got, err, tt.want, tt.err)
		}
	}
}

func TestReadRefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := Read(filepath.Join(dir, "missing"), 10)
	names(t, err, "open", filepath.Join(dir, "missing"), fs.ErrNotExist)
	_, err = Read(dir, 10)
	names(t, err, "read", dir, nil)
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	within(t, "reading a pipe", func() {
		_, err := Read(pipe, 10)
		names(t, err, "read", pipe, nil)
	})
}

func TestAnUnreadableFileIsAnError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "value")
	if err := Write(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, filepath.Dir(path), func() {
		_, err := Read(path, 10)
		names(t, err, "open", path, fs.ErrPermission)
	})
}
