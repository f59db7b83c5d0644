package register

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/statefile"
)

// copies keeps the last Traffic that this host has known of each group, for a
// start without etcd, and to see that etcd went back. Processes of one host may
// share the directory. A copy never goes back.
type copies struct {
	dir string

	mu     sync.Mutex // guards the field below, held while a file is written
	epochs map[string]uint64
}

const copyFile = ".copy"

func (c *copies) file(group, kind string) string { return filepath.Join(c.dir, group+kind) }

// load gives the copy of a group, with epoch 0 if there is none. A copy that
// cannot be read is an error: it is not known what was decided.
func (c *copies) load(group string) (ha.Traffic, error) {
	data, err := statefile.Read(c.file(group, copyFile), mostTraffic)
	if errors.Is(err, fs.ErrNotExist) {
		return ha.Traffic{}, nil
	}
	if err != nil {
		return ha.Traffic{}, err
	}
	t, err := decode(group, data)
	if err != nil {
		return ha.Traffic{}, errors.New(c.file(group, copyFile) + " " + err.Error() + "; if etcd is known to be whole, remove this file")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epochs[group] = max(c.epochs[group], t.Epoch)
	return t, nil
}

// above says whether this process knows of a later epoch than was.
func (c *copies) above(group string, was uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epochs[group] > was
}

// save makes t the copy, unless a later one is there.
func (c *copies) save(t ha.Traffic) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epochs[t.Group] >= t.Epoch {
		return nil
	}
	wait, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	unlock, err := statefile.Lock(wait, c.file(t.Group, lockFile), fileMode)
	if err != nil {
		return err
	}
	defer unlock()
	if data, err := statefile.Read(c.file(t.Group, copyFile), mostTraffic); err == nil {
		if there, err := decode(t.Group, data); err == nil && there.Epoch >= t.Epoch {
			c.epochs[t.Group] = there.Epoch
			return nil
		}
	}
	line, err := encode(t)
	if err != nil {
		return err
	}
	if err := statefile.Write(c.file(t.Group, copyFile), readable(line), fileMode); err != nil {
		return err
	}
	c.epochs[t.Group] = t.Epoch
	return nil
}
