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
	Generations int       `json:"generations,omitempty"` // that are kept, with it; 0: none can be gone back to, for the application has run on the copy
}

// NoDataset is what is said of every sync and every loss as long as nothing is
// replicated.
const NoDataset = "no dataset is configured"

// GivenUp says what can no longer be gone back to once the application has
// started on the copy, empty if that is nothing.
func (l Loss) GivenUp() string {
	if l.Generations == 0 {
		return ""
	}
	return fmt.Sprintf("once the application starts on the copy its older generations (%d kept) can no longer be gone back to; if one of them is the right one: failover rollback first", l.Generations)
}

// Words says it at a moment, for people.
func (l Loss) Words(now time.Time) string {
	switch {
	case l.Datasets == 0:
		return NoDataset
	case l.At.IsZero():
		return "everything: no sync has completed yet"
	}
	kept := fmt.Sprintf("%d kept", l.Generations)
	if l.Generations == 0 {
		kept = "no older one can be gone back to"
	}
	return fmt.Sprintf("what has changed since %s, %v ago (generation %d, %s)",
		l.At.UTC().Format("2006-01-02 15:04:05 UTC"), now.Sub(l.At).Round(time.Second), l.Generation, kept)
}
