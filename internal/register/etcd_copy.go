package register

import (
	"context"
	"errors"
	"fmt"
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

	mu   sync.Mutex // guards the field below, held while a file is read or written
	last map[string]ha.Traffic
}

const copyFile = ".copy"

func (c *copies) file(group, kind string) string { return filepath.Join(c.dir, group+kind) }

// load gives the last known Traffic of a group, with epoch 0 if there is none.
// A copy that cannot be read is an error: it is not known what was decided.
func (c *copies) load(group string) (ha.Traffic, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.know(group)
}

// know is load, with mu held: what this process knows, else what the file has.
func (c *copies) know(group string) (ha.Traffic, error) {
	if t, known := c.last[group]; known {
		return t, nil
	}
	t, err := c.read(group)
	if err == nil {
		c.last[group] = t
	}
	return t, err
}

func (c *copies) read(group string) (ha.Traffic, error) {
	data, err := statefile.Read(c.file(group, copyFile), mostTraffic)
	if errors.Is(err, fs.ErrNotExist) {
		return ha.Traffic{}, nil
	}
	if err != nil {
		return ha.Traffic{}, err
	}
	t, err := decode(group, data)
	if err != nil {
		return ha.Traffic{}, fmt.Errorf("%s %w; if etcd is known to be whole, remove this file", c.file(group, copyFile), err)
	}
	return t, nil
}

// above says whether this host knows of a later epoch than was, or cannot tell.
func (c *copies) above(group string, was uint64) bool {
	t, err := c.load(group)
	return err != nil || t.Epoch > was
}

// save makes t the last known Traffic, unless a later one is known. The error
// is that of the file.
func (c *copies) save(t ha.Traffic) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, err := c.know(t.Group); err != nil || last.Epoch >= t.Epoch {
		return err
	}
	c.last[t.Group] = plain(t)
	return c.write(t)
}

// write copies t to its file, unless another process has copied a later one.
func (c *copies) write(t ha.Traffic) error {
	wait, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	unlock, err := statefile.Lock(wait, c.file(t.Group, lockFile), fileMode)
	if err != nil {
		return err
	}
	defer unlock()
	if there, err := c.read(t.Group); err == nil && there.Epoch >= t.Epoch {
		return nil
	}
	line, err := encode(t)
	if err != nil {
		return err
	}
	return statefile.Write(c.file(t.Group, copyFile), readable(line), fileMode)
}
