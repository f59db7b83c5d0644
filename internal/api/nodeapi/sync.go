package nodeapi

import "time"

// SyncTask is one step of a sync.
type SyncTask struct {
	Name     string    `json:"name"`              // connect, begin, compare, transfer, verify, …
	Dataset  string    `json:"dataset,omitempty"` // empty: of all
	Result   string    `json:"result"`
	Started  time.Time `json:"started"`
	Duration Span      `json:"duration"`
	Detail   string    `json:"detail,omitempty"`
}

// Span is a duration that is written as people read it.
type Span time.Duration

func (s Span) String() string { return time.Duration(s).Round(time.Millisecond).String() }

// MarshalText gives 1.234s.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = Span(d)
	return err
}

// SyncNow is how far the sync is that runs.
type SyncNow struct {
	Phase   string    `json:"phase"`
	Dataset string    `json:"dataset,omitempty"`
	Since   time.Time `json:"since,omitzero"` // of the phase
	Files   int64     `json:"files,omitempty"`
	Bytes   int64     `json:"bytes,omitempty"`
	Total   int64     `json:"total,omitempty"` // bytes, as far as known
	Rate    int64     `json:"rate,omitempty"`  // bytes a second
	ETA     Span      `json:"eta,omitempty"`   // until the phase ends; 0: not known
}

// SyncTaken is the last time that another node has synchronised from this one
// (EPMM guide, HA Status).
type SyncTaken struct {
	By         string    `json:"by"`
	At         time.Time `json:"at"`
	Generation uint64    `json:"generation,omitempty"` // 0: it was the same already
}

// Schedule tells when syncs run (EPMM guide, StartTime and Run Every).
type Schedule struct {
	Next []time.Time `json:"next"`           // empty: none by itself
	Idle float64     `json:"idle,omitempty"` // the part of Run Every in which the last sync did not run
}

// Rolled says what is in force after a rollback.
type Rolled struct {
	Generation uint64    `json:"generation"` // 0: what was there before the first that is kept
	AsOf       time.Time `json:"as_of,omitzero"`
}

// Verified are the device counts of a stand-by whose application was started to
// be looked at, and of its peer.
type Verified struct {
	Here  string `json:"here"`
	There string `json:"there"`
}
