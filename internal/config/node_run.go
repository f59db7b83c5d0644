package config

import "time"

// NodeLists are the argument lists that a run of an upgrade may have the node
// start: these, and nothing else. ${VERSION} and ${DIGEST} in them are replaced.
type NodeLists struct {
	Download, Upgrade, Validate []string
	Timeout                     time.Duration // of each
}

// defaultJobTimeout is how long a list may take.
const defaultJobTimeout = 2 * time.Hour
