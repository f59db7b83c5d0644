package dnsgtm

import (
	"fmt"
	"strings"
)

// Fault is one thing that is wrong with a Config.
type Fault struct {
	File string // of a zone, key or certificate; empty: the configuration itself
	Line int    // 0: the whole file
	Zone string // the configured zone that it is about, or empty
	Name string // the dynamic name in that zone that it is about, or empty
	What string // one sentence that says what to do
}

func (f Fault) String() string {
	var place string
	switch {
	case f.File != "" && f.Line > 0:
		place = fmt.Sprintf("%s:%d: ", f.File, f.Line)
	case f.File != "":
		place = f.File + ": "
	case f.Zone != "" && f.Name != "":
		place = fmt.Sprintf("zone %s: name %s: ", f.Zone, f.Name)
	case f.Zone != "":
		place = fmt.Sprintf("zone %s: ", f.Zone)
	}
	return place + f.What
}

// Faults are all things that are wrong with a Config.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// err gives f as an error, nil if there is no fault.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}
