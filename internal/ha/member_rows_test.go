package ha_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

const instant = ha.Instant(1000 * time.Second)

// An occasion is a member and an event at which some row fits.
type occasion struct {
	settings ha.Settings
	member   ha.Member
	event    ha.Event
}

// drawFor makes up a member in a phase and an event: small numbers, so that equal
// and neighbouring ones are frequent.
func drawFor(r *rand.Rand, row ha.Row) occasion {
	s := occasion{settings: ha.DefaultSettings()}
	s.settings.Place = 1 + r.IntN(2)
	s.settings.Profile = ha.Safety(r.IntN(2))
	s.settings.Failures, s.settings.StartTries = 2, 1
	fillAny(r, reflect.ValueOf(&s.member).Elem())
	fillAny(r, reflect.ValueOf(&s.event).Elem())
	for _, f := range []*bool{&s.settings.KeepInStandby, &s.settings.Fence, &s.settings.Continue, &s.settings.Resume} {
		*f = r.IntN(2) == 0
	}
	s.member.Phase = row.In[r.IntN(len(row.In))]
	s.member.Out = []ha.Phase{ha.InStarting, ha.OutSuperseded, ha.OutYielded}[r.IntN(3)]
	s.member.Back = []ha.Phase{ha.InHeld, ha.OutIsolated, ha.OutAppFailed}[r.IntN(3)]
	s.member.After = []ha.Phase{ha.InStandby, ha.InGate, ha.OutIsolated}[r.IntN(3)]
	s.event.On = row.On[r.IntN(len(row.On))]
	s.event.Sent = instant - ha.Instant(r.IntN(60))*ha.Instant(time.Second)
	for i := range s.member.Timers {
		if r.IntN(3) == 0 {
			s.member.Timers[i] = instant.After(time.Duration(1+r.IntN(50)) * time.Second)
		} else {
			s.member.Timers[i] = 0
		}
	}
	s.member.TiltUntil = ha.Instant(r.IntN(2)) * instant.After(time.Second)
	return s
}

func fillAny(r *rand.Rand, v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Bool:
			f.SetBool(r.IntN(2) == 0)
		case reflect.Uint8:
			f.SetUint(uint64(r.IntN(3)))
		case reflect.Int:
			f.SetInt(int64(r.IntN(3)))
		case reflect.Uint64:
			f.SetUint(uint64(r.IntN(6)))
		case reflect.Struct:
			fillAny(r, f)
		}
	}
}

// changesOf gives the fields that differ, one word each.
func changesOf(was, is reflect.Value, name string) []string {
	var all []string
	for i := range was.NumField() {
		n, a, b := was.Type().Field(i).Name, was.Field(i), is.Field(i)
		switch {
		case a.Kind() == reflect.Struct:
			all = append(all, changesOf(a, b, name+n+".")...)
		case a.Kind() == reflect.Array:
			for k := range a.Len() {
				if !a.Index(k).Equal(b.Index(k)) {
					all = append(all, fmt.Sprintf("%s[%d] %s", n, k, instantOf(b.Index(k).Interface().(ha.Instant))))
				}
			}
		case !a.Equal(b) && n == "TiltUntil":
			all = append(all, n+" "+instantOf(b.Interface().(ha.Instant)))
		case !a.Equal(b):
			all = append(all, fmt.Sprintf("%s %v>%v", n, a, b))
		}
	}
	return all
}

func instantOf(i ha.Instant) string {
	if i == 0 {
		return "off"
	}
	return "in " + time.Duration(i-instant).String()
}

// sameRow says whether the row that fits is the one that is looked for.
func sameRow(a, b ha.Row) bool { return a.Why == b.Why && slices.Equal(a.If, b.If) && a.To == b.To }

// TestEachRowDoesWhatItSays draws members and events until each row of the
// table has fitted a few times, and writes down what changed and what is to be
// done.
func TestEachRowDoesWhatItSays(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var out strings.Builder
	table := ha.MemberTable()
	for i, row := range table.Rows {
		found := 0
		for try := 0; try < 40_000 && found < 4; try++ {
			s := drawFor(r, row)
			mc := ha.NewMachine(s.settings, table)
			if fits, ok := mc.Look(s.member, s.event, instant); !ok || !sameRow(fits, row) {
				continue
			}
			found++
			after, acts := mc.Step(s.member, s.event, instant, nil)
			fmt.Fprintf(&out, "%3d %v, %v, %v [%v]: %s", i, s.settings.Profile, s.member.Phase, s.event.On, condWords(row.If), strings.Join(changesOf(reflect.ValueOf(s.member), reflect.ValueOf(after), ""), ", "))
			for _, a := range acts {
				fmt.Fprintf(&out, "; %v", a.Do)
				if a.Number != 0 {
					fmt.Fprintf(&out, " %d", a.Number)
				}
			}
			fmt.Fprintln(&out)
			if slices.ContainsFunc(acts, func(a ha.MemberAct) bool { return a.Do == ha.DoPersist }) && acts[0].Do != ha.DoPersist {
				t.Errorf("row %d: something is done before what is kept is stored: %v", i, acts)
			}
			if (after.Kept != s.member.Kept) && (len(acts) == 0 || acts[0].Do != ha.DoPersist) {
				t.Errorf("row %d: what is kept changed and is not stored", i)
			}
		}
		if found == 0 {
			t.Errorf("row %d never fits: %v %v %v (%s)", i, row.In, row.On, row.If, row.Why)
		}
	}
	golden(t, "member_rows.txt", out.String())
}

func condWords(conds []ha.Cond) string {
	var all []string
	for _, c := range conds {
		all = append(all, c.String())
	}
	return strings.Join(all, ", ")
}
