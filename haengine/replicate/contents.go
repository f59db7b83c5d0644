package replicate

import (
	"bytes"
	"context"
)

// contents compares the contents of files on both sides, many at a time.
type contents struct {
	*part
	paths [][]byte
	size  int64
	files int64
	bytes int64
	wrong map[string]bool
	gone  map[string]bool // not on the source any more
}

// A batch is asked about at once.
const (
	mostBatch  = 2000
	bytesBatch = 512 << 20
)

// meet takes an entry of what is staged.
func (c *contents) meet(ctx context.Context, e entry, before *against) error {
	if before != nil {
		was, err := before.find(e.path)
		if err != nil {
			return err
		}
		if was != nil && was.kind == e.kind && was.inode == e.inode {
			return nil
		}
	}
	if e.kind != file {
		return nil
	}
	c.paths = append(c.paths, []byte(e.path))
	if c.size += e.size; len(c.paths) < mostBatch && c.size < bytesBatch {
		return nil
	}
	return c.flush(ctx)
}

func (c *contents) flush(ctx context.Context) error {
	if len(c.paths) == 0 {
		return nil
	}
	here, there, err := c.ask(ctx, false)
	if err == nil && !bytes.Equal(here.All, there.All) {
		here, there, err = c.ask(ctx, true)
		c.differ(here, there)
	}
	c.files += here.Files
	c.bytes += here.Bytes
	c.advance(c.files, c.bytes, 0)
	c.paths, c.size = nil, 0
	return err
}

// differ notes which files of a batch are not the same. What has gone from the
// source since it was walked does no harm.
func (c *contents) differ(here, there digests) {
	for i, path := range c.paths {
		switch {
		case i < len(there.Each) && there.Each[i] == nil:
			c.gone[string(path)] = true
		case i >= len(here.Each) || i >= len(there.Each) || !bytes.Equal(here.Each[i], there.Each[i]):
			c.wrong[string(path)] = true
		}
	}
}

func (c *contents) ask(ctx context.Context, each bool) (here, there digests, err error) {
	return c.readBoth(ctx, request{Do: "digest", Dataset: c.Name, Paths: c.paths, Each: each}, func(ctx context.Context, r *reader) (digests, error) {
		return r.named(ctx, c.paths, each)
	})
}
