package ha_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/understudy-ha/understudy/internal/ha"
)

func FuzzPage(f *testing.F) {
	for _, c := range pageCases(f) {
		f.Add(uint8(c.page), c.body)
	}
	f.Fuzz(func(t *testing.T, p uint8, body string) {
		page := ha.Page(p % 2)
		for _, profile := range []ha.Profile{{}, generic} {
			state, words := profile.Read(page, body)
			if again, same := profile.Read(page, words); state.Available() && (again != state || same != words) {
				t.Fatalf("%q reads %v %q, which reads %v %q", body, state, words, again, same)
			}
			if len(words) > 80 || !utf8.ValidString(words) || strings.ContainsAny(words, "\r\n") {
				t.Fatalf("%q is told as %q", body, words)
			}
			if state == ha.Standby && page == ha.StatusPage {
				t.Fatalf("%q on the status page reads Standby", body)
			}
			if state.Available() && !strings.Contains(body, words[:17]) && profile.Documented() {
				t.Fatalf("%q has no marker and reads %v", body, state)
			}
		}
		// What is around a node's answer does not change how it reads.
		if strings.Contains(body, "MOBILEIRON-STATUS:") {
			return
		}
		for _, state := range []ha.State{ha.NotAvailable, ha.Standby, ha.Active} {
			status, answer := ha.FormatPage(page, state)
			if got, _ := (ha.Profile{}).Read(page, body+answer+"<"+body); (status == 200) != (got == state && got.Available()) {
				t.Fatalf("%v answers %d %q, which reads %v within %q", state, status, answer, got, body)
			}
		}
	})
}

func FuzzTraffic(f *testing.F) {
	s := sceneOf(f, "core1 down, epoch 4 | core2 Standby, manual", "hold: by alice, until 5m", "seen epoch: core1 4", "every request waits for: 5s")
	w := ha.Wish{To: "core2", Actor: "alice", Claimed: true, Reason: "why", Force: true}
	full, err := ha.Switch(s.traffic, s.view, s.rules, w, now)
	if err != nil {
		f.Fatal(err)
	}
	for _, t := range []ha.Traffic{full, s.traffic, ha.Lost("core", []string{"core1"}, 3, "why", now), {}} {
		text, err := json.Marshal(t)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"group":"core","epoch":18446744073709551615,"order":["a"],"serving":"a","since":"2026-11-22T12:00:00+01:00"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var read ha.Traffic
		if json.Unmarshal(text, &read) != nil {
			return
		}
		again, err := json.Marshal(read)
		if err != nil {
			return // a time that JSON cannot say
		}
		var same ha.Traffic
		if err := json.Unmarshal(again, &same); err != nil {
			t.Fatalf("%s is written as %s: %v", text, again, err)
		}
		if diff := cmp.Diff(read, same, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s is written as %s (-read +read again):\n%s", text, again, diff)
		}
		if read.Check() != nil {
			return
		}
		view := ha.NewView(read.Order) // what passes Check can be worked with
		d := ha.Next(read, view, ha.DefaultRules(), now)
		if target := ha.Target(read, view); target != read.Serving || d.Verb == ha.FailOver {
			t.Fatalf("%s: requests go to %q, %+v", text, target, d)
		}
	})
}

func TestATrafficIsStoredAndReadBackWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr, v, rules := drawGroup(t)
		at := rapid.SampledFrom([]time.Time{now, now.In(time.FixedZone("", 3600)), now.Add(1)}).Draw(t, "at")
		for _, verb := range []string{"hold", "switch", "reorder"} {
			act, _ := ha.Acts(verb)
			if next, err := act(tr, v, rules, drawWish(t, tr), at); err == nil {
				tr = next
			}
		}
		tr.Provisional = "" // never stored
		text, err := json.Marshal(tr)
		if err != nil {
			t.Fatal(err)
		}
		var read ha.Traffic
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(tr, read, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("stored as %s (-was +read):\n%s", text, diff)
		}
		if err := read.Check(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	})
}

func TestAStoredTrafficSaysWhatAPersonCanRead(t *testing.T) {
	t.Parallel()
	s := sceneOf(t, "core1 down | core2 Standby")
	s.traffic.Provisional = "core2"
	next := ha.Apply(s.traffic, ha.Next(s.traffic, s.view, s.rules, now), s.view, now)
	next.Evidence = next.Evidence[1:]
	got, err := json.Marshal(next)
	want := `{"group":"core","epoch":8,"order":["core1","core2"],"serving":"core2","since":"2026-11-22T12:00:00Z","at":"2026-11-22T12:00:00Z","cause":"failed_over",` +
		`"evidence":[{"node":"core2","state":"Standby","at":"2026-11-22T11:59:59.98Z","took":20000000}],"left":"core1"}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}
