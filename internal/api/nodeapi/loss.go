package nodeapi

import (
	"fmt"
	"time"
)

// Loss is what a promotion of this node may cost: whatever its peer has taken
// since the moment that this node's copy shows.
type Loss struct {
	Datasets    int       `json:"datasets"`              // 0: nothing is copied
	At          time.Time `json:"at,omitzero"`           // the moment that the copy shows, zero: no copy has completed
	Generation  uint64    `json:"generation,omitempty"`  // its number
	Generations int       `json:"generations,omitempty"` // that are kept, with it
}

// NoDataset is what is said of every sync and every loss as long as nothing is
// replicated.
const NoDataset = "no dataset is configured"

// Words says it at a moment, for people.
func (l Loss) Words(now time.Time) string {
	switch {
	case l.Datasets == 0:
		return NoDataset
	case l.At.IsZero():
		return "everything: no sync has completed yet"
	}
	return fmt.Sprintf("what has changed since %s, %v ago (generation %d, %d kept)",
		l.At.UTC().Format("2006-01-02 15:04:05 UTC"), now.Sub(l.At).Round(time.Second), l.Generation, l.Generations)
}
