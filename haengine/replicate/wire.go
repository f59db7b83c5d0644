package replicate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// protocol is the version of what the two sides of a session say.
const protocol = 1

// alive is how often a source that works says so, and silence how long a sink
// waits for a word.
const (
	alive   = 2 * time.Second
	silence = time.Minute
)

// mostLine bounds one line of a session.
const mostLine = 8 << 20

// Facts are what a node tells of itself before anything is copied.
type Facts struct {
	Name    string `json:"name"`
	Release string `json:"release"` // of the application; empty: no command tells it
	Epoch   uint64 `json:"epoch"`   // at which it serves, or which its data is from
	Active  bool   `json:"active"`
	Standby bool   `json:"standby"`
}

// hello is what a source says to the question who it is.
type hello struct {
	Protocol int `json:"protocol"`
	Facts
	Boot     string    `json:"boot"` // of the machine
	Clock    time.Time `json:"clock"`
	Datasets []known   `json:"datasets"`
}

// known is a dataset that a source has.
type known struct {
	Name string `json:"name"`
	Type string `json:"type"`

	Exclude []string `json:"exclude,omitempty"`
	Base    string   `json:"base,omitempty"` // what was the same on both nodes for the last time
}

// request is one line of a sink.
type request struct {
	Do       string   `json:"do"`
	Datasets []string `json:"datasets,omitempty"` // begin
	Dataset  string   `json:"dataset,omitempty"`  // walk, digest
	Owners   bool     `json:"owners,omitempty"`   // walk
	Exclude  []string `json:"exclude,omitempty"`  // walk: the sink's own
	Scrub    scrub    `json:"scrub,omitzero"`     // digest
	Paths    [][]byte `json:"paths,omitempty"`    // digest; walk: that do not count
	Each     bool     `json:"each,omitempty"`     // digest: of each path, not of all
	Done     *Taken   `json:"done,omitempty"`     // end
}

// Taken is what a sink tells its source of a run that succeeded: the last time
// that the Secondary synchronised (EPMM guide, HA Status).
type Taken struct {
	By         string    `json:"by"` // set by the source from the proven key
	Generation uint64    `json:"generation"`
	At         time.Time `json:"at"`
	Root       string    `json:"root"`
}

// offered is what a source answers to begin, one for each dataset.
type offered struct {
	Dataset string `json:"dataset"`
	Offer
	Took   time.Duration `json:"took"`
	ID     string        `json:"id,omitempty"`     // of a tree's marker
	Volume string        `json:"volume,omitempty"` // that a tree is on
}

// walked is what a source answers to walk: the tree as far as it is as the walk
// before met it, and the paths where it is not.
type walked struct {
	Totals
	Holes   int64    `json:"holes,omitempty"` // files with holes
	New     [][]byte `json:"new,omitempty"`
	Changed [][]byte `json:"changed,omitempty"`
	Gone    [][]byte `json:"gone,omitempty"`
}

// digests is what a source answers to digest.
type digests struct {
	All     []byte   `json:"all,omitempty"`
	Each    [][]byte `json:"each,omitempty"`
	Missing int      `json:"missing,omitempty"`
	Files   int64    `json:"files"`
	Bytes   int64    `json:"bytes"`
}

// reply is one line of a source. A line that says only Alive is none.
type reply struct {
	Alive   bool            `json:"alive,omitempty"`
	Error   string          `json:"error,omitempty"`
	Refused *Refused        `json:"refused,omitempty"`
	Answer  json.RawMessage `json:"answer,omitempty"`
}

// line reads one line of JSON of known fields.
func line(r *bufio.Reader, to any) error {
	var whole []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(whole)+len(part) > mostLine {
			return errors.New("a line of the session is longer than any that is allowed")
		}
		whole = append(whole, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	d := json.NewDecoder(bytes.NewReader(whole))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("a line of the session is not understood: %w", err)
	}
	return nil
}
