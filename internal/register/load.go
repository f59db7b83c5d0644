package register

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/statefile"
)

// Load gives the stored Traffic of a group: ha.ErrNone if none is stored,
// *ha.Damaged if it is not what was once stored. Any other error says that it
// could not be looked at, and what to do.
//
// Missing, or older than the newest line of the history, is damaged too: a
// lost file or an old copy must never send clients to a stale Primary.
func (d *Dir) Load(ctx context.Context, group string) (ha.Traffic, error) {
	if err := begin(ctx, group); err != nil {
		return ha.Traffic{}, fmt.Errorf("load traffic: %w", err)
	}
	t, last, err := d.inspect(group)
	if err != nil {
		return ha.Traffic{}, err
	}
	if last < t.Epoch {
		d.heal(group)
	}
	return t, nil
}

// inspect gives the stored Traffic of a group and the epoch of the newest
// whole line of its history, 0 if there is none or it cannot be read.
//
// The history is read first: it never runs ahead of the traffic, so that a
// traffic read later is behind it only if somebody has put an old one back.
func (d *Dir) inspect(group string) (t ha.Traffic, last uint64, err error) {
	last, empty, unread := newest(d.file(group, historyFile), group)
	data, err := statefile.Read(d.file(group, trafficFile), mostTraffic)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t, last, d.missing(group, empty, unread)
	case errors.Is(err, statefile.ErrTooLarge):
		return t, last, d.damaged(group, fmt.Sprintf("has more than %d bytes", mostTraffic), data)
	case err != nil:
		return t, last, fmt.Errorf("load traffic of %s: %w", group, d.advise(err))
	}
	t, err = decode(group, data)
	if err != nil {
		return ha.Traffic{}, last, d.damaged(group, err.Error(), data)
	}
	if t.Epoch < last {
		why := fmt.Sprintf("has epoch %d, but %s%s knows of %d: it is an old copy", t.Epoch, group, historyFile, last)
		return ha.Traffic{}, last, d.damaged(group, why, data)
	}
	return t, last, nil
}

// missing gives the error of a group without a traffic file.
func (d *Dir) missing(group string, empty bool, unread error) error {
	_, gone := os.Stat(d.path)
	switch {
	case gone != nil:
		return fmt.Errorf("load traffic of %s: %w", group, d.advise(gone))
	case unread != nil:
		return fmt.Errorf("load traffic of %s: %w", group, d.advise(unread))
	case empty:
		return ha.ErrNone
	}
	return d.damaged(group, fmt.Sprintf("is missing, but %s%s is not: remove that too if the group shall start anew", group, historyFile), nil)
}

// damaged gives the error of a traffic file; why goes on from its name, and
// data is what could be read of it.
func (d *Dir) damaged(group, why string, data []byte) error {
	past, _, _ := readEnd(d.file(group, historyFile), mostRead)
	return &ha.Damaged{
		Why:   d.file(group, trafficFile) + " " + why,
		Floor: max(highest(data), highest(past)),
	}
}

// heal adds the stored Traffic to a history that lacks it, unless somebody
// holds the lock, who does so himself. Where it fails the next one tries.
func (d *Dir) heal(group string) {
	unlock, err := statefile.TryLock(d.file(group, lockFile), fileMode)
	if err != nil {
		return
	}
	defer unlock()
	t, last, err := d.inspect(group)
	if err != nil || t.Epoch == last {
		return
	}
	if h, err := openHistory(d.file(group, historyFile)); err == nil {
		defer h.close()
		_ = h.add(t)
	}
}

// keep keeps a damaged traffic file beside, under the first free name.
func (d *Dir) keep(group string) error {
	from := d.file(group, trafficFile)
	damaged, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		to := fmt.Sprintf("%s%d", d.file(group, damagedFile), n)
		err := os.Link(from, to) // never without a traffic file: that would read as a first start
		if errors.Is(err, fs.ErrExist) {
			if kept, err := os.Lstat(to); err == nil && os.SameFile(kept, damaged) {
				return nil // by a Save that failed afterwards
			}
			continue
		}
		if err == nil {
			return nil
		}
		data, err := statefile.Read(from, mostTraffic) // a file system without links
		if err != nil && !errors.Is(err, statefile.ErrTooLarge) {
			return err
		}
		return statefile.Write(to, data, fileMode)
	}
}
