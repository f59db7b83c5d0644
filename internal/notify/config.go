package notify

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Config is what a Notifier is made from. Its zero values are Default's, but
// for Dir.
type Config struct {
	Dir    string        // holds queue/SENDER/ID.json
	Limit  int           // messages kept for one sender
	GiveUp time.Duration // age at which an undelivered message is dropped
	Buffer int           // messages told but not yet filed
}

// Default is 1,000 messages a sender, 24 hours, and 256 unfiled messages.
func Default(dir string) Config {
	return Config{Dir: dir, Limit: 1000, GiveUp: 24 * time.Hour, Buffer: 256}
}

// Check gives every fault of c, each in a sentence that begins with its key,
// or nil.
func (c Config) Check() error {
	var faults []error
	if !filepath.IsAbs(c.Dir) {
		faults = append(faults, fmt.Errorf("dir %q must be an absolute path", c.Dir))
	}
	if c.Limit < 0 {
		faults = append(faults, fmt.Errorf("limit %d must not be negative", c.Limit))
	}
	if c.GiveUp < 0 {
		faults = append(faults, fmt.Errorf("give_up %s must not be negative", c.GiveUp))
	}
	if c.Buffer < 0 {
		faults = append(faults, fmt.Errorf("buffer %d must not be negative", c.Buffer))
	}
	return errors.Join(faults...)
}

// filled gives c with Default's values where its own are zero.
func (c Config) filled() Config {
	d := Default(c.Dir)
	if c.Limit == 0 {
		c.Limit = d.Limit
	}
	if c.GiveUp == 0 {
		c.GiveUp = d.GiveUp
	}
	if c.Buffer == 0 {
		c.Buffer = d.Buffer
	}
	return c
}
