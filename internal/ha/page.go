package ha

import (
	"fmt"
	"strings"
)

// Page is one of the two documents that tell a node's state.
type Page uint8

// The pages (EPMM guide, Load balancer setup, 1 and 2).
const (
	StatusPage   Page = iota // asked of the Primary
	HAStatusPage             // asked of every other node
)

// Profile says where the two pages are and what they must say. The zero value
// is the documented one: /status/status.html and /hastatus.html with the
// MOBILEIRON-STATUS marker. With any field set all paths and expectations are
// the profile's own, and an expectation is met where the body contains it, to
// the letter.
type Profile struct {
	PrimaryPath   string `json:"primary_path,omitempty"`
	PrimaryExpect string `json:"primary_expect,omitempty"`
	StandbyPath   string `json:"standby_path,omitempty"`
	StandbyExpect string `json:"standby_expect,omitempty"`
	ActingExpect  string `json:"acting_expect,omitempty"`
}

// Documented says whether p is the documented profile.
func (p Profile) Documented() bool { return p == Profile{} }

// Check names the expectation that a generic profile lacks, or nil.
func (p Profile) Check() error {
	if p.Documented() {
		return nil
	}
	for _, f := range []struct{ name, value string }{
		{"primary_path", p.PrimaryPath},
		{"primary_expect", p.PrimaryExpect},
		{"standby_path", p.StandbyPath},
		{"standby_expect", p.StandbyExpect},
		{"acting_expect", p.ActingExpect},
	} {
		if f.value == "" {
			return fmt.Errorf("profile generic needs %s", f.name)
		}
		if strings.HasSuffix(f.name, "_path") && f.value[0] != '/' {
			return fmt.Errorf("%s %q must begin with /", f.name, f.value)
		}
	}
	if strings.Contains(p.StandbyExpect, p.ActingExpect) || strings.Contains(p.ActingExpect, p.StandbyExpect) {
		return fmt.Errorf("standby_expect %q and acting_expect %q contain one another, so one page would say both", p.StandbyExpect, p.ActingExpect)
	}
	return nil
}

// Path gives the path at which a page is asked for.
func (p Profile) Path(page Page) string {
	switch {
	case p.Documented() && page == StatusPage:
		return "/status/status.html"
	case p.Documented():
		return "/hastatus.html"
	case page == StatusPage:
		return p.PrimaryPath
	}
	return p.StandbyPath
}

// Read gives the state that body tells, and the words that tell it. A body
// that does not say what its page must say, or says two things, is
// NotAvailable.
func (p Profile) Read(page Page, body string) (State, string) {
	if p.Documented() {
		return readMarker(page, body)
	}
	if page == StatusPage {
		if strings.Contains(body, p.PrimaryExpect) {
			return Active, p.PrimaryExpect
		}
		return NotAvailable, firstLine(body)
	}
	standby, acting := strings.Contains(body, p.StandbyExpect), strings.Contains(body, p.ActingExpect)
	switch {
	case standby && !acting:
		return Standby, p.StandbyExpect
	case acting && !standby:
		return Active, p.ActingExpect
	}
	return NotAvailable, firstLine(body)
}

const marker = "MOBILEIRON-STATUS:"

// FormatPage gives the documented answer of a node in a state: HTTP status and
// body. A node does not answer the status page with 200 unless it is Active.
func FormatPage(page Page, state State) (status int, body string) {
	switch {
	case state == Active && page == StatusPage:
		return 200, marker + " OK"
	case state == Active:
		return 200, marker + " OK (Mode: Primary)"
	case state == Standby && page == HAStatusPage:
		return 200, marker + " OK (Mode: Standby)"
	}
	return 503, marker + " NOT OK"
}

// readMarker reads the documented marker, which may stand anywhere in the body
// and more than once if it always says the same.
func readMarker(page Page, body string) (State, string) {
	var state State
	var words string
	rest := body
	for {
		i := strings.Index(rest, marker)
		if i < 0 {
			break
		}
		rest = rest[i:]
		s, w := readOne(page, rest[len(marker):])
		if s == NotAvailable || (words != "" && s != state) {
			return NotAvailable, firstLine(rest)
		}
		state, words, rest = s, w, rest[len(marker):]
	}
	if words == "" {
		return NotAvailable, firstLine(body)
	}
	return state, words
}

// readOne reads what follows one marker: exactly " OK", then at most blanks
// and one mode, up to a line end, a "<" or the end.
func readOne(page Page, rest string) (State, string) {
	after, ok := strings.CutPrefix(rest, " OK")
	if !ok {
		return NotAvailable, ""
	}
	state, words := Active, marker+" OK"
	blanks := strings.TrimLeft(after, " \t")
	if mode, found := strings.CutPrefix(blanks, "(Mode: "); found {
		if len(blanks) == len(after) || page == StatusPage {
			return NotAvailable, ""
		}
		switch {
		case strings.HasPrefix(mode, "Standby)"):
			state, words = Standby, words+" (Mode: Standby)"
			after = mode[len("Standby)"):]
		case strings.HasPrefix(mode, "Primary)"):
			words += " (Mode: Primary)"
			after = mode[len("Primary)"):]
		default:
			return NotAvailable, ""
		}
	} else if page == HAStatusPage {
		return NotAvailable, ""
	}
	after = strings.TrimLeft(after, " \t")
	if after != "" && !strings.ContainsRune("<\r\n", rune(after[0])) {
		return NotAvailable, ""
	}
	return state, words
}

// firstLine gives the first line of s that says something, at most 80 bytes,
// without what is not UTF-8.
func firstLine(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		s = s[:i]
	}
	return strings.ToValidUTF8(s[:min(len(s), 80)], "")
}
