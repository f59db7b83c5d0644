package portal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/statefile"
)

// draft is what somebody has saved and not applied. It is one for the node, for
// the next one who looks must see it.
type draft struct {
	Version int       `json:"version"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Tag     string    `json:"tag"` // of the settings that it was made from
	Values  values    `json:"values"`
	Enabled bool      `json:"high_availability"`
	Mode    string    `json:"mode"`        // Primary or Secondary
	Node    string    `json:"node_status"` // Active or Passive; it counts in Mode Secondary
	Host    string    `json:"host"`        // Hostname/IP of the Primary
}

const (
	draftFile    = "ha-draft.json"
	draftVersion = 1
	mostDraft    = 64 << 10
)

// draft gives what was saved, nil if there is nothing.
func (p *Portal) draft() (*draft, error) {
	text, err := statefile.Read(p.path(draftFile), mostDraft)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	d := new(draft)
	if err == nil {
		err = json.Unmarshal(text, d)
	}
	if err == nil && d.Version != draftVersion {
		err = errors.New("it is of another version")
	}
	if err != nil {
		return nil, fmt.Errorf("what was saved and not applied cannot be read: %w", err)
	}
	return d, nil
}

func (p *Portal) keep(d *draft) error {
	d.Version = draftVersion
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	if err := statefile.Write(p.path(draftFile), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("it cannot be saved: %w", err)
	}
	return nil
}

func (p *Portal) drop() error {
	if err := os.Remove(p.path(draftFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// change is one line of what applying a draft would change.
type change struct{ Name, From, To string }

// settings gives the settings that a draft changes, in the window's order.
func (d *draft) settings(now []nodeapi.Setting) (all []change) {
	for _, s := range now {
		if to, given := d.Values[s.Name]; given && to != s.Value {
			all = append(all, change{s.Name, s.Value, to})
		}
	}
	return all
}

// Words of the window.
const (
	enable, disable = "Enable", "Disable"
	primary, second = "Primary", "Secondary"
	active, passive = "Active", "Passive"
)

func able(on bool) string {
	if on {
		return enable
	}
	return disable
}

// nodeStatus gives the guide's word for a Secondary's state.
func nodeStatus(s nodeapi.Status) string {
	if s.State == ha.Active {
		return active
	}
	return passive
}

// cast gives the Mode that is shown.
func cast(s nodeapi.Status) string {
	mode := s.Mode
	if !s.Enabled && s.Shown != ha.Uncast {
		mode = s.Shown
	}
	if mode == ha.Uncast {
		return ""
	}
	return mode.String()
}

// switches gives what a draft changes beside the settings.
func (d *draft) switches(s nodeapi.Status) (all []change) {
	if d.Enabled != s.Enabled {
		all = append(all, change{"High Availability", able(s.Enabled), able(d.Enabled)})
	}
	if was := cast(s); d.Mode != "" && d.Mode != was {
		if was == "" {
			was = "not set"
		}
		all = append(all, change{"Mode", was, d.Mode})
	}
	if d.Mode == second && d.Enabled && s.Enabled && cast(s) == second && d.Node != "" && d.Node != nodeStatus(s) {
		all = append(all, change{"Node Status", nodeStatus(s), d.Node})
	}
	return all
}
