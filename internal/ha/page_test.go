package ha_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/understudy-ha/understudy/internal/ha"
)

// A pageCase is one line of page.txt: which page, what it must read as, and
// the body in quotes.
type pageCase struct {
	at    string
	page  ha.Page
	state ha.State
	body  string
	words string
}

func parsePages(name, text string) (cases []pageCase, err error) {
	defer catch(&err)
	pages := map[string][]ha.Page{
		"status": {ha.StatusPage}, "hastatus": {ha.HAStatusPage}, "either": {ha.StatusPage, ha.HAStatusPage},
	}
	for i, line := range strings.Split(text, "\n") {
		at := fmt.Sprintf("%s:%d", name, i+1)
		if line == "" || line[0] == '#' {
			continue
		}
		page, rest, _ := strings.Cut(line, " ")
		state, rest, _ := strings.Cut(strings.TrimSpace(rest), " ")
		quoted, err := strconv.QuotedPrefix(strings.TrimSpace(rest))
		if err != nil {
			fail(at, "no body in quotes")
		}
		c := pageCase{at: at}
		c.body, _ = strconv.Unquote(quoted)
		if err := c.state.UnmarshalText([]byte(state)); err != nil {
			fail(at, "%v", err)
		}
		c.words, _ = strings.CutPrefix(strings.TrimSpace(strings.TrimSpace(rest)[len(quoted):]), "words ")
		if pages[page] == nil {
			fail(at, "unknown page %q", page)
		}
		for _, c.page = range pages[page] {
			cases = append(cases, c)
		}
	}
	return cases, nil
}

// pageFaults gives what profile reads otherwise than page.txt has it.
func pageFaults(cases []pageCase) (faults []string) {
	for _, c := range cases {
		state, words := readPage(c.page, c.body)
		if state != c.state || (c.words != "" && words != c.words) {
			faults = append(faults, fmt.Sprintf("%s: page %d %q\n got %v %q\nwant %v %q", c.at, c.page, c.body, state, words, c.state, c.words))
		}
	}
	return faults
}

func readPage(page ha.Page, body string) (state ha.State, words string) {
	defer func() {
		if r := recover(); r != nil {
			state, words = ha.State(99), fmt.Sprint("panic: ", r)
		}
	}()
	return ha.Profile{}.Read(page, body)
}

func pageCases(t testing.TB) []pageCase {
	t.Helper()
	text, err := os.ReadFile("testdata/page.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := parsePages("page.txt", string(text))
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestAPageSaysWhatTheGuideSays(t *testing.T) {
	t.Parallel()
	for _, fault := range pageFaults(pageCases(t)) {
		t.Error(fault)
	}
}

func TestAFaultInThePageTableIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"# x\nstatus Active body\n":   "x:2: no body in quotes",
		"status Aktiv \"\"\n":         `x:1: unknown state "Aktiv"`,
		"\nindex.html Active \"a\"\n": `x:2: unknown page "index.html"`,
	} {
		if _, err := parsePages("x", text); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestANodesAnswerReadsAsItsState(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		page   ha.Page
		state  ha.State
		status int
		body   string
	}{
		{ha.StatusPage, ha.Active, 200, "MOBILEIRON-STATUS: OK"},
		{ha.HAStatusPage, ha.Active, 200, "MOBILEIRON-STATUS: OK (Mode: Primary)"},
		{ha.HAStatusPage, ha.Standby, 200, "MOBILEIRON-STATUS: OK (Mode: Standby)"},
		{ha.StatusPage, ha.Standby, 503, "MOBILEIRON-STATUS: NOT OK"},
		{ha.StatusPage, ha.NotAvailable, 503, "MOBILEIRON-STATUS: NOT OK"},
		{ha.HAStatusPage, ha.NotAvailable, 503, "MOBILEIRON-STATUS: NOT OK"},
	} {
		status, body := ha.FormatPage(c.page, c.state)
		if status != c.status || body != c.body {
			t.Errorf("page %d of %v: got %d %q, want %d %q", c.page, c.state, status, body, c.status, c.body)
		}
		want := c.state
		if c.status != 200 {
			want = ha.NotAvailable
		}
		if got, _ := (ha.Profile{}).Read(c.page, body); got != want {
			t.Errorf("page %d %q reads %v, want %v", c.page, body, got, want)
		}
	}
}

// generic is a profile of one's own.
var generic = ha.Profile{
	PrimaryPath: "/live", PrimaryExpect: "alive",
	StandbyPath: "/part", StandbyExpect: "part=standby", ActingExpect: "part=acting",
}

func TestAGenericProfileLooksForItsOwnWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		page  ha.Page
		body  string
		state ha.State
		words string
	}{
		{ha.StatusPage, "I am alive!", ha.Active, "alive"},
		{ha.StatusPage, "Alive", ha.NotAvailable, "Alive"},
		{ha.StatusPage, "", ha.NotAvailable, ""},
		{ha.StatusPage, "MOBILEIRON-STATUS: OK", ha.NotAvailable, "MOBILEIRON-STATUS: OK"},
		{ha.HAStatusPage, "up, part=standby", ha.Standby, "part=standby"},
		{ha.HAStatusPage, "up, part=acting", ha.Active, "part=acting"},
		{ha.HAStatusPage, "part=acting part=standby", ha.NotAvailable, "part=acting part=standby"},
		{ha.HAStatusPage, "alive", ha.NotAvailable, "alive"},
		{ha.HAStatusPage, "\n\n one \ntwo", ha.NotAvailable, "one "},
	} {
		state, words := generic.Read(c.page, c.body)
		if state != c.state || words != c.words {
			t.Errorf("page %d %q: got %v %q, want %v %q", c.page, c.body, state, words, c.state, c.words)
		}
	}
	if generic.Path(ha.StatusPage) != "/live" || generic.Path(ha.HAStatusPage) != "/part" {
		t.Error("a generic profile has its own paths")
	}
	if p := (ha.Profile{}); p.Path(ha.StatusPage) != "/status/status.html" || p.Path(ha.HAStatusPage) != "/hastatus.html" {
		t.Error("the documented profile has the guide's paths")
	}
}

func TestAProfileIsWholeOrDocumented(t *testing.T) {
	t.Parallel()
	without := func(change func(*ha.Profile)) ha.Profile {
		p := generic
		change(&p)
		return p
	}
	for _, c := range []struct {
		profile ha.Profile
		want    string
	}{
		{ha.Profile{}, "<nil>"},
		{generic, "<nil>"},
		{without(func(p *ha.Profile) { p.PrimaryPath = "" }), "profile generic needs primary_path"},
		{without(func(p *ha.Profile) { p.PrimaryExpect = "" }), "profile generic needs primary_expect"},
		{without(func(p *ha.Profile) { p.StandbyPath = "" }), "profile generic needs standby_path"},
		{without(func(p *ha.Profile) { p.StandbyExpect = "" }), "profile generic needs standby_expect"},
		{without(func(p *ha.Profile) { p.ActingExpect = "" }), "profile generic needs acting_expect"},
		{without(func(p *ha.Profile) { p.StandbyPath = "part" }), `standby_path "part" must begin with /`},
		{without(func(p *ha.Profile) { p.PrimaryExpect = "live" }), "<nil>"},
		{without(func(p *ha.Profile) { p.ActingExpect = "part" }), `standby_expect "part=standby" and acting_expect "part" contain one another, so one page would say both`},
		{without(func(p *ha.Profile) { p.StandbyExpect = "acting" }), `standby_expect "acting" and acting_expect "part=acting" contain one another, so one page would say both`},
	} {
		if got := fmt.Sprint(c.profile.Check()); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.profile, got, c.want)
		}
	}
	if !(ha.Profile{}).Documented() || generic.Documented() {
		t.Error("only the zero profile is the documented one")
	}
}

func TestWhatAPageSaidIsCutForPeople(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		strings.Repeat("x", 79) + "é and more", strings.Repeat("x", 80), strings.Repeat("x", 500),
		"\x1f\x8b\x08\x00\x00\x00\x00\x00", "caf\xe9", "\xff\xfe",
		"MOBILEIRON-STATUS: " + strings.Repeat("é", 60),
	} {
		_, words := ha.Profile{}.Read(ha.StatusPage, body)
		if len(words) > 80 || !utf8.ValidString(words) {
			t.Errorf("%q: words %q", body, words)
		}
	}
	if _, words := (ha.Profile{}).Read(ha.StatusPage, strings.Repeat("x", 500)); len(words) != 80 {
		t.Errorf("cut at %d bytes, want 80", len(words))
	}
}
