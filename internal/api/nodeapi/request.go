package nodeapi

// Request is what is asked of a node; which fields count depends on the path.
// A field that is not known is refused.
type Request struct {
	Role     string            `json:"role,omitempty"`     // role: primary, secondary or backup
	Enable   *bool             `json:"enable,omitempty"`   // ha, client-connection, pause
	Mode     string            `json:"mode,omitempty"`     // ha: primary, secondary, empty: as before
	Host     string            `json:"host,omitempty"`     // sync
	Accept   bool              `json:"accept,omitempty"`   // sync: a person has looked at what the guards found
	Discard  bool              `json:"discard,omitempty"`  // sync: what only this node has is given up
	To       uint64            `json:"to,omitempty"`       // rollback: the generation; 0: the one before
	Settings map[string]string `json:"settings,omitempty"` // settings, by name
	Services map[string]bool   `json:"services,omitempty"` // services: true is enabled, by the dataset's name
	Reaches  string            `json:"reaches,omitempty"`  // agents/ID: the node that it reaches
	Reason   string            `json:"reason,omitempty"`   // for the history
	// DataSyncFirst makes a role a planned swap with the peer, or not only
	// failover mode; true: with a last sync while clients are kept out.
	DataSyncFirst *bool  `json:"data_sync_first,omitempty"`
	Force         bool   `json:"force,omitempty"`   // role secondary: even if the peer cannot be asked
	DryRun        bool   `json:"dry_run,omitempty"` // of a planned swap: only say what would be done
	Cut           bool   `json:"cut,omitempty"`     // client-connection: end the connections that are in
	Run           string `json:"run,omitempty"`     // of the run that asks: without the lock it is refused
	Number        uint64 `json:"number,omitempty"`  // of that run
}

// Answer is what came of it.
type Answer struct {
	Later    bool     `json:"later,omitempty"` // again by itself when the phase has changed
	Status   Status   `json:"status"`
	Warnings []string `json:"warnings,omitempty"` // of settings: legal but unwise
}

// Fault is the body of an answer that is no success.
type Fault struct {
	Why string `json:"why"`
	Do  string `json:"do,omitempty"`
}
