package main

import (
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/notify"
	"github.com/understudy-ha/understudy/upgrade"
)

func TestPeopleAreToldOfTheFewThingsThatMatterInARun(t *testing.T) {
	t.Parallel()
	r := &upgrade.Record{Name: "r1", Plan: upgrade.Plan{Config: config.Upgrade{Kind: config.RunDocumented, Group: "mdm", To: "2.0"}}}
	for _, c := range []struct {
		e        upgrade.Event
		severity notify.Severity
		text     string
	}{
		{upgrade.Event{Kind: upgrade.Starts, Number: 1}, notify.Info, "the run r1 (documented to 2.0) has begun"},
		{upgrade.Event{Kind: upgrade.Waits, Step: "UpgradePrimary/Upgrade", Said: "The outage begins."}, notify.Warning, "waits before UpgradePrimary/Upgrade. The outage begins."},
		{upgrade.Event{Kind: upgrade.Fails, Step: "HoldTraffic", Said: "lb is not held"}, notify.Alarm, "has stopped at HoldTraffic: lb is not held; lock and hold are kept"},
		{upgrade.Event{Kind: upgrade.Ends, Said: "succeeded"}, notify.Info, "is over: succeeded"},
	} {
		m, worth := runMessage(r, c.e)
		if !worth || m.Severity != c.severity || !strings.Contains(m.Text, c.text) || m.Group != "mdm" {
			t.Errorf("%s: %v %+v", c.e.Kind, worth, m)
		}
	}
	for _, e := range []upgrade.Event{{Kind: upgrade.Starts, Number: 2}, {Kind: upgrade.Intends}, {Kind: upgrade.Is}, {Kind: "waiting"}} {
		if m, worth := runMessage(r, e); worth {
			t.Errorf("%s: people hear %q", e.Kind, m.Text)
		}
	}
}

func TestCommandsOfARunSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for line, want := range map[string]string{
		"upgrade apply": "it takes the file of one plan",
		"upgrade apply nothing.json --accept-risk no-such-thing": "there is no preflight item no-such-thing; there are: reachable",
		"upgrade apply nothing.json --accept-risk clock-skew":    "no reason was given",
		"upgrade apply nothing.json":                             "Make a plan first",
		"upgrade approve --state-dir " + dir:                     "no reason was given",
		"upgrade continue --state-dir " + dir:                    "no run in " + dir + " is open",
		"upgrade report --state-dir " + dir:                      "no run in " + dir + " is open",
		"upgrade status ../.. --state-dir " + dir:                "there is no run",
		"upgrade plan --config " + dir + "/none.yaml":            "no such file",
		"switchover plan --config ../../upgrade.yaml.example":    "is of kind documented",
		"upgrade unlock --reason x --state-dir " + dir:           "no run in " + dir + " is open",
		"upgrade abort --reason x --state-dir " + dir:            "no run in " + dir + " is open",
	} {
		r := runs(t, nil, strings.Fields(line)...)
		if r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit code %d, %q; want %q", line, r.code, r.err, want)
		}
	}
	if r := runs(t, nil, "upgrade", "history", "--state-dir", dir); r.code != 0 || r.out != "" {
		t.Errorf("an empty history: %d %q %q", r.code, r.out, r.err)
	}
	if r := runs(t, nil, "check", "--config", "../../upgrade.yaml.example"); r.code != 0 || !strings.Contains(r.out, "no fault") {
		t.Errorf("the example: %d %q", r.code, r.err)
	}
}

func TestWhatIsWaitedForIsOneLineNowAndThenWhereNobodyLooks(t *testing.T) {
	t.Parallel()
	out := new(strings.Builder)
	v := &viewer{u: &upgrader{session: &session{out: out, getenv: func(string) string { return "" }}}}
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 300 { // thirty seconds of looks
		v.hear(upgrade.Event{Kind: "waiting", Step: "HoldTraffic", Said: "lb is not held yet", At: began.Add(time.Duration(i) * 100 * time.Millisecond), Since: began, Deadline: began.Add(time.Minute)})
	}
	if n := strings.Count(out.String(), "\n"); n < 2 || n > 4 {
		t.Errorf("%d lines:\n%s", n, out)
	}
}
