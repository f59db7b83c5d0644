package caddymodule

import (
	"encoding/json"
	"fmt"
)

// Check gives the faults and warnings of the understudy app in a Caddy
// configuration in JSON; none if it has no such app.
func Check(config []byte) (faults, warnings []string) {
	var c struct {
		Apps struct {
			Understudy *App `json:"understudy"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return []string{err.Error()}, nil
	}
	a := c.Apps.Understudy
	if a == nil {
		return nil, []string{"the configuration has no understudy app: nothing is watched"}
	}
	for _, f := range a.check() {
		faults = append(faults, fmt.Sprintf("%s: %s", f.path, f.text))
	}
	if len(faults) > 0 {
		return faults, nil
	}
	for _, w := range a.warnings() {
		warnings = append(warnings, fmt.Sprintf("%s: %s", w.path, w.text))
	}
	return nil, warnings
}
