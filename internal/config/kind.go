package config

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// Kind is what a YAML file configures.
type Kind int

// The kinds. A file that shows nothing of the others is a sidecar's.
const (
	KindSidecar Kind = iota
	KindNode
	KindUpgrade
	KindRegister
)

// marks are the keys that only files of one kind have at their top, the surest
// kind first.
var marks = []struct {
	kind Kind
	keys []string
}{
	{KindUpgrade, []string{"routers", "nodes"}},
	{KindRegister, []string{"members", "join", "heartbeat"}},
	{KindNode, []string{"app", "status", "client_connection", "data_dir"}},
}

// KindOf says what a file configures, by the keys at its top.
func KindOf(file string) Kind {
	_, root, err := load(file)
	if err != nil || root.node == nil || root.node.Kind != yaml.MappingNode {
		return KindSidecar
	}
	for _, m := range marks {
		for i := 0; i < len(root.node.Content); i += 2 {
			if slices.Contains(m.keys, root.node.Content[i].Value) {
				return m.kind
			}
		}
	}
	return KindSidecar
}
