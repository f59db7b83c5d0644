package statefile

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// ErrTooLarge is what Read answers for a file that has more than it may.
var ErrTooLarge = errors.New("the file is larger than it may be")

// Read gives the bytes of the regular file at path, at most the given number.
// Of a larger one it gives as many with ErrTooLarge.
func Read(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not block us
	if err != nil {
		return nil, fail("open", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fail("read", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fail("read", path, errors.New("not a regular file"))
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fail("read", path, err)
	}
	if int64(len(data)) > most {
		return data[:most], fail("read", path, ErrTooLarge)
	}
	return data, nil
}
