package register

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/statefile"
)

// The bounds of a history. One that reaches either is cut to its newer half.
const (
	mostEntries = 10_000
	mostHistory = 8 << 20
	countFrom   = 2 << 20 // bytes that mostEntries exceed, for no line has less than 210
	mostRead    = 2 * mostHistory
	mostTail    = 64 << 10 // enough for the newest line of nearly every history
)

// History gives the newest limit Traffics of a group that were ever stored,
// oldest first; none, and no error, for a group of which nothing was. Lines
// that cannot be read are left out.
func (d *Dir) History(ctx context.Context, group string, limit int) ([]ha.Traffic, error) {
	if err := begin(ctx, group); err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	if limit <= 0 {
		return nil, nil
	}
	stored, storedErr := statefile.Read(d.file(group, trafficFile), mostTraffic) // first: see inspect
	data, _, err := readEnd(d.file(group, historyFile), mostRead)
	if err != nil {
		return nil, fmt.Errorf("read history of %s: %w", group, d.advise(err))
	}
	past := lastLines(data, group, limit)
	if storedErr == nil {
		past = completed(past, group, stored)
	}
	slices.Reverse(past)
	return past[max(0, len(past)-limit):], nil
}

// completed adds the stored Traffic to a past, newest first, that a crash has
// left without it.
func completed(past []ha.Traffic, group string, stored []byte) []ha.Traffic {
	t, err := decode(group, stored)
	if err != nil || (len(past) > 0 && t.Epoch <= past[0].Epoch) {
		return past
	}
	return slices.Insert(past, 0, t)
}

// newest gives the epoch of the newest line of a history that can be read, 0
// if none can; and whether the file is empty, as one is that does not exist.
func newest(path, group string) (last uint64, empty bool, err error) {
	for _, most := range []int64{mostTail, mostRead} {
		data, whole, err := readEnd(path, most)
		if err != nil {
			return 0, false, err
		}
		if found := lastLines(data, group, 1); len(found) > 0 {
			return found[0].Epoch, false, nil
		}
		if whole {
			return 0, len(data) == 0, nil
		}
	}
	return 0, false, nil
}

// lastLines gives the Traffics of the last lines that can be read, newest
// first. What follows the last line end is torn, or is just being written.
func lastLines(data []byte, group string, limit int) []ha.Traffic {
	var found []ha.Traffic
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	for len(data) > 0 && len(found) < limit {
		data = data[:len(data)-1]
		start := bytes.LastIndexByte(data, '\n') + 1
		if t, err := decode(group, data[start:]); err == nil {
			found = append(found, t)
		}
		data = data[:start]
	}
	return found
}

// readEnd gives at most the given number of bytes from the end of a file, and
// whether they are all; none of a file that does not exist.
func readEnd(path string, most int64) (data []byte, whole bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	size, err := sizeOf(f)
	if err != nil {
		return nil, false, err
	}
	from := max(0, size-most)
	data, err = io.ReadAll(io.NewSectionReader(f, from, most))
	return data, from == 0, err
}

func sizeOf(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, &fs.PathError{Op: "read", Path: f.Name(), Err: errors.New("not a regular file")}
	}
	return info.Size(), nil
}

// history is a group's history file, open to be written. Only who holds the
// group's lock may have one.
type history struct {
	file *os.File
	size int64 // of the whole lines
}

// openHistory opens or makes a history and takes a torn last line away.
func openHistory(path string) (*history, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, fileMode)
	if err != nil {
		return nil, err
	}
	h := &history{file: f}
	if err := h.settle(); err != nil {
		f.Close()
		return nil, err
	}
	return h, nil
}

// settle finds the end of the last whole line, and cuts off what follows.
func (h *history) settle() error {
	for {
		size, err := sizeOf(h.file)
		if err != nil {
			return err
		}
		if size == 0 {
			_ = h.file.Chmod(fileMode) // only its maker can, and its maker does
			return nil                 // the Traffic that is written next makes its name durable, too
		}
		if h.size, err = h.lastEnd(size); err != nil || h.size == size {
			return err
		}
		if err := h.file.Truncate(h.size); err != nil {
			return err
		}
	}
}

// lastEnd gives the place after the last line end; if none is near the end of
// the file, a place before which it must be.
func (h *history) lastEnd(size int64) (int64, error) {
	from := max(0, size-2*mostTraffic) // no line of ours is longer
	end := make([]byte, size-from)
	_, err := h.file.ReadAt(end, from)
	return from + int64(bytes.LastIndexByte(end, '\n')) + 1, err
}

func (h *history) add(t ha.Traffic) error {
	line, err := encode(t)
	if err != nil {
		return err
	}
	return h.addLine(line)
}

// addLine adds a line durably, or nothing.
func (h *history) addLine(line []byte) error {
	n, err := h.file.Write(append(bytes.Clone(line), '\n'))
	if err == nil {
		err = h.file.Sync()
	}
	if err != nil {
		_ = h.file.Truncate(h.size) // else the next to open it does
		return err
	}
	h.size += int64(n)
	return nil
}

// trim cuts a history that has reached its bounds to its newer half. Where it
// fails the next Save tries again.
func (h *history) trim() {
	if h.size < countFrom {
		return
	}
	data, _, err := readEnd(h.file.Name(), mostRead)
	if err != nil {
		return
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	lines = lines[:len(lines)-1] // what follows the last line end: nothing
	if h.size <= mostHistory && len(lines) <= mostEntries {
		return
	}
	keep, size := len(lines), 0
	for keep > 0 && len(lines)-keep < mostEntries/2 && size+len(lines[keep-1]) <= mostHistory/2 {
		keep--
		size += len(lines[keep])
	}
	_ = statefile.Write(h.file.Name(), bytes.Join(lines[keep:], nil), fileMode)
}

func (h *history) close() { _ = h.file.Close() }
