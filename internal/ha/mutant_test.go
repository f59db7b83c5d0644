package ha_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// A mutant is a rule that is wrong in one row. The truth table must catch it.
type mutant struct {
	row  int
	what string
	next func(ha.Traffic, ha.View, ha.Rules, time.Time) ha.Decision
}

// given gives the real rule over facts that are bent first.
func given(bend func(t *ha.Traffic, v ha.View, r *ha.Rules)) func(ha.Traffic, ha.View, ha.Rules, time.Time) ha.Decision {
	return func(t ha.Traffic, v ha.View, r ha.Rules, now time.Time) ha.Decision {
		t, v = copyOf(t), slices.Clone(v)
		bend(&t, v, &r)
		return ha.Next(t, v, r, now)
	}
}

// bent gives the real rule whose decision is bent afterwards.
func bent(bend func(d ha.Decision, t ha.Traffic, v ha.View, r ha.Rules) ha.Decision) func(ha.Traffic, ha.View, ha.Rules, time.Time) ha.Decision {
	return func(t ha.Traffic, v ha.View, r ha.Rules, now time.Time) ha.Decision {
		return bend(ha.Next(t, v, r, now), t, v, r)
	}
}

// others gives the facts in which every node but the serving one is bent.
func others(bend func(s *ha.Sight)) func(ha.Traffic, ha.View, ha.Rules, time.Time) ha.Decision {
	return given(func(t *ha.Traffic, v ha.View, _ *ha.Rules) {
		for i := range v {
			if v[i].Node != t.Serving {
				bend(&v[i])
			}
		}
	})
}

// serving gives the facts in which the serving node is bent.
func serving(bend func(s *ha.Sight, r ha.Rules)) func(ha.Traffic, ha.View, ha.Rules, time.Time) ha.Decision {
	return given(func(t *ha.Traffic, v ha.View, r *ha.Rules) {
		for i := range v {
			if v[i].Node == t.Serving {
				bend(&v[i], *r)
			}
		}
	})
}

// without gives the facts in which nodes of a kind, other than the serving
// one, do not stand in the order.
func without(is func(s ha.Sight, r ha.Rules) bool) func(ha.Traffic, ha.View, ha.Rules, time.Time) ha.Decision {
	return given(func(t *ha.Traffic, v ha.View, r *ha.Rules) {
		t.Order = slices.DeleteFunc(t.Order, func(n string) bool { return n != t.Serving && is(v.Of(n), *r) })
	})
}

// fails gives a failover to the first other node that fits where the real rule
// gives the row.
func fails(row int, order func(t ha.Traffic) []string, fits func(s ha.Sight) bool) func(ha.Traffic, ha.View, ha.Rules, time.Time) ha.Decision {
	return bent(func(d ha.Decision, t ha.Traffic, v ha.View, _ ha.Rules) ha.Decision {
		if d.Row != row {
			return d
		}
		for _, n := range order(t) {
			if n != t.Serving && fits(v.Of(n)) {
				return ha.Decision{Verb: ha.FailOver, Reason: ha.FailedOver, Row: row, To: n, Alarm: ha.Notify}
			}
		}
		return d
	})
}

func inOrder(t ha.Traffic) []string { return t.Order }

func after(t ha.Traffic) []string { return t.Order[slices.Index(t.Order, t.Serving)+1:] }

func standby(s ha.Sight) bool { return s.Known() && s.Last.State == ha.Standby }

func active(s ha.Sight) bool { return s.Known() && s.Last.State == ha.Active }

func manual(s ha.Sight, r ha.Rules) bool { return slices.Contains(r.Manual, s.Node) }

var mutants = []mutant{
	{0, "while it is unknown who serves the first in order is taken to", given(func(t *ha.Traffic, _ ha.View, _ *ha.Rules) {
		if t.Serving == "" {
			t.Serving = t.Order[0]
		}
	})},
	{0, "a group that starts is taken for unknown", given(func(t *ha.Traffic, _ ha.View, _ *ha.Rules) {
		if t.Serving == "" {
			t.Hold = &ha.Hold{}
		}
	})},
	{1, "another Active node is overlooked", bent(func(d ha.Decision, _ ha.Traffic, _ ha.View, _ ha.Rules) ha.Decision {
		if d.Row == 1 {
			return ha.Decision{Verb: ha.Stay, Reason: ha.Serving, Row: 3}
		}
		return d
	})},
	{1, "an Active node before the serving one is overlooked", bent(func(d ha.Decision, t ha.Traffic, _ ha.View, _ ha.Rules) ha.Decision {
		if d.Row == 1 && slices.Index(t.Order, d.About) < slices.Index(t.Order, t.Serving) {
			return ha.Decision{Verb: ha.Stay, Reason: ha.Serving, Row: 3}
		}
		return d
	})},
	{1, "two Active nodes make traffic move to the other", fails(1, inOrder, active)},
	{2, "a serving node may read Standby for ever", given(func(_ *ha.Traffic, _ ha.View, r *ha.Rules) { r.PromotionTime = 1 << 60 })},
	{2, "a serving node may not read Standby at all", given(func(_ *ha.Traffic, _ ha.View, r *ha.Rules) { r.PromotionTime = 0 })},
	{2, "promotion_time is one instant shorter", given(func(_ *ha.Traffic, _ ha.View, r *ha.Rules) { r.PromotionTime-- })},
	{2, "promotion_time counts from before traffic came", given(func(t *ha.Traffic, _ ha.View, _ *ha.Rules) { t.Since = time.Time{} })},
	{2, "promotion_time counts from when traffic came only", serving(func(s *ha.Sight, _ ha.Rules) { s.Since = time.Time{} })},
	{2, "a node that is not promoted in time is left", fails(2, after, standby)},
	{3, "traffic goes back as soon as the first in order is Active", bent(func(d ha.Decision, t ha.Traffic, v ha.View, _ ha.Rules) ha.Decision {
		if first := v.Of(t.Order[0]); t.Serving != "" && t.Serving != first.Node && active(first) {
			return ha.Decision{Verb: ha.FailOver, Reason: ha.Resumed, Row: d.Row, To: first.Node}
		}
		return d
	})},
	{3, "traffic goes back as soon as the first in order stands by", fails(3, func(t ha.Traffic) []string { return t.Order[:1] }, standby)},
	{3, "live traffic that fails makes a node down", serving(func(s *ha.Sight, r ha.Rules) {
		if !s.Suspect.IsZero() {
			s.Misses, s.DownAt, s.Last.State = r.Fall, s.Suspect, ha.NotAvailable
		}
	})},
	{4, "a node is down one miss too early", serving(func(s *ha.Sight, r ha.Rules) {
		if s.Misses == r.Fall-1 && s.Misses > 0 {
			s.DownAt = s.Last.At
		}
	})},
	{4, "a node is down one miss too late", serving(func(s *ha.Sight, r ha.Rules) {
		if s.Misses <= r.Fall+1 {
			s.DownAt = time.Time{}
		}
	})},
	{4, "a node that was never read is down", serving(func(s *ha.Sight, _ ha.Rules) {
		if !s.Known() {
			s.DownAt = time.Unix(0, 0)
		}
	})},
	{5, "a hold is overlooked", given(func(t *ha.Traffic, _ ha.View, _ *ha.Rules) {
		if t.Serving != "" {
			t.Hold = nil
		}
	})},
	{5, "a hold ends by itself", given(func(t *ha.Traffic, _ ha.View, _ *ha.Rules) {
		if t.Hold.Overdue(now) {
			t.Hold = nil
		}
	})},
	{5, "an announced outage is silent for ever", given(func(t *ha.Traffic, _ ha.View, _ *ha.Rules) {
		if t.Hold != nil && !t.Hold.OutageUntil.IsZero() {
			t.Hold.OutageUntil = now.Add(time.Minute)
		}
	})},
	{5, "every hold is an announced outage", given(func(t *ha.Traffic, _ ha.View, _ *ha.Rules) {
		if t.Hold != nil {
			t.Hold.OutageUntil = now.Add(time.Minute)
		}
	})},
	{5, "an announced outage alarms all the same", given(func(t *ha.Traffic, _ ha.View, _ *ha.Rules) {
		if t.Hold != nil {
			t.Hold.OutageUntil, t.QueueUntil = time.Time{}, time.Time{}
		}
	})},
	{6, "after the last in order comes the first", fails(6, inOrder, standby)},
	{6, "after the last in order comes an Active one", fails(6, inOrder, active)},
	{7, "an old reading counts", serving(func(s *ha.Sight, _ ha.Rules) {
		if s.Down() {
			s.DownAt = time.Unix(0, 0)
		}
	})},
	{7, "a reading at the very instant does not count", serving(func(s *ha.Sight, _ ha.Rules) {
		if s.Down() {
			s.DownAt = s.DownAt.Add(1)
		}
	})},
	{7, "traffic never moves", bent(func(d ha.Decision, _ ha.Traffic, _ ha.View, _ ha.Rules) ha.Decision {
		if d.Row == 7 {
			return ha.Decision{Verb: ha.Wait, Reason: ha.NoStandby, Row: 13, Alarm: ha.Alarmed}
		}
		return d
	})},
	{7, "the last ready one goes first", fails(7, func(t ha.Traffic) []string {
		order := slices.Clone(after(t))
		slices.Reverse(order)
		return order
	}, standby)},
	{7, "any ready one may go, also one before", fails(7, inOrder, standby)},
	{8, "a node for a person only is taken", given(func(_ *ha.Traffic, _ ha.View, r *ha.Rules) { r.Manual = nil })},
	{8, "a node for a person only is skipped", without(manual)},
	{9, "a promoted node is always followed", others(func(s *ha.Sight) {
		if active(*s) {
			s.Last.State = ha.Standby
		}
	})},
	{9, "follow does not ask what the node was at the first miss", others(func(s *ha.Sight) { s.AtMiss = ha.Standby })},
	{9, "follow never follows", others(func(s *ha.Sight) { s.AtMiss = ha.Active })},
	{9, "follow forgets whose first miss it was", serving(func(s *ha.Sight, _ ha.Rules) { s.Noted = !s.Noted })},
	{9, "epoch follows the same epoch", others(func(s *ha.Sight) { s.Last.Epoch++ })},
	{9, "epoch does not compare with what was seen before", given(func(t *ha.Traffic, _ ha.View, _ *ha.Rules) { t.NodeEpochs = nil })},
	{9, "epoch does not compare with the last page", serving(func(s *ha.Sight, _ ha.Rules) { s.Last.Epoch = 0 })},
	{9, "wait does what follow does", given(func(_ *ha.Traffic, _ ha.View, r *ha.Rules) {
		if r.OnPromoted != ha.PromotedEpoch {
			r.OnPromoted = ha.PromotedFollow
		}
	})},
	{9, "wait does what epoch does", given(func(_ *ha.Traffic, _ ha.View, r *ha.Rules) {
		if r.OnPromoted != ha.PromotedFollow {
			r.OnPromoted = ha.PromotedEpoch
		}
	})},
	{10, "an Active node is skipped", without(func(s ha.Sight, _ ha.Rules) bool { return active(s) })},
	{10, "traffic goes to a later Active node", fails(10, after, active)},
	{10, "an Active node is taken for one that is down", others(func(s *ha.Sight) {
		if active(*s) {
			s.Last.State, s.DownAt = ha.NotAvailable, now
		}
	})},
	{11, "only the next in order counts", given(func(t *ha.Traffic, _ ha.View, _ *ha.Rules) {
		if i := slices.Index(t.Order, t.Serving); i+2 < len(t.Order) && i >= 0 {
			t.Order = t.Order[:i+2]
		}
	})},
	{11, "a node between that has missed a reading is taken for down", others(func(s *ha.Sight) {
		if s.Misses > 0 {
			s.DownAt = now
		}
	})},
	{11, "a node between that is down stops the search", others(func(s *ha.Sight) { s.DownAt = time.Time{} })},
	{11, "a node between that was never read is skipped", without(func(s ha.Sight, _ ha.Rules) bool { return !s.Known() })},
	{12, "a later node for a person only is taken", given(func(t *ha.Traffic, _ ha.View, r *ha.Rules) {
		if i := slices.Index(t.Order, t.Serving); i >= 0 && i+1 < len(t.Order) {
			r.Manual = slices.DeleteFunc(slices.Clone(r.Manual), func(n string) bool { return n != t.Order[i+1] })
		}
	})},
	{12, "a later node for a person only is skipped", given(func(t *ha.Traffic, v ha.View, r *ha.Rules) {
		i := slices.Index(t.Order, t.Serving)
		t.Order = slices.DeleteFunc(t.Order, func(n string) bool { return slices.Index(t.Order, n) > i+1 && manual(v.Of(n), *r) })
	})},
	{7, "one watcher decides for all", given(func(_ *ha.Traffic, _ ha.View, r *ha.Rules) { r.Watchers = 1 })},
	{7, "half of the watchers is enough", given(func(_ *ha.Traffic, _ ha.View, r *ha.Rules) { r.Watchers = max(0, r.Watchers-2) })},
	{7, "a watcher that is there is taken for one that reads down", serving(func(s *ha.Sight, _ ha.Rules) { s.Seconded = s.Watching })},
	{7, "the others' votes do not count", serving(func(s *ha.Sight, _ ha.Rules) { s.Seconded = 0 })},
	{7, "the others' votes make a node down", serving(func(s *ha.Sight, r ha.Rules) {
		if s.Seconded >= 2 && !s.Down() {
			s.Misses, s.DownAt, s.Last.State = r.Fall, now.Add(-time.Minute), ha.NotAvailable
		}
	})},
	{9, "follow needs no majority", given(func(_ *ha.Traffic, _ ha.View, r *ha.Rules) {
		if r.OnPromoted == ha.PromotedFollow {
			r.Watchers = 0
		}
	})},
	{9, "epoch needs no majority wherever the lease is", given(func(_ *ha.Traffic, _ ha.View, r *ha.Rules) { r.LeaseShared = true })},
	{9, "epoch needs a majority wherever the lease is", given(func(_ *ha.Traffic, _ ha.View, r *ha.Rules) { r.LeaseShared = false })},
	{11, "a later node needs no majority", bent(func(d ha.Decision, _ ha.Traffic, _ ha.View, _ ha.Rules) ha.Decision {
		if d.Row == 11 && d.Verb == ha.Wait {
			return ha.Decision{Verb: ha.FailOver, Reason: ha.FailedOver, Row: 11, To: d.About, Alarm: ha.Notify}
		}
		return d
	})},
	{7, "requests wait for the others for ever", bent(func(d ha.Decision, _ ha.Traffic, _ ha.View, _ ha.Rules) ha.Decision {
		if d.Reason == ha.NoQuorum {
			d.Reason, d.Alarm = ha.Confirming, ha.Silent
		}
		return d
	})},
	{13, "with nobody ready the next in order is taken", fails(13, after, func(ha.Sight) bool { return true })},
	{13, "with nobody ready nobody is told", bent(func(d ha.Decision, _ ha.Traffic, _ ha.View, _ ha.Rules) ha.Decision {
		if d.Reason == ha.NoStandby {
			d.Alarm = ha.Silent
		}
		return d
	})},
	{13, "what is on its way alarms already", bent(func(d ha.Decision, _ ha.Traffic, _ ha.View, _ ha.Rules) ha.Decision {
		if d.Reason == ha.Confirming {
			d.Reason, d.Alarm = ha.NoStandby, ha.Alarmed
		}
		return d
	})},
}

func TestTheTruthTableCatchesAMutantOfEveryRow(t *testing.T) {
	t.Parallel()
	blocks := readTable(t, "rule.txt")
	rows := map[int]int{}
	var list strings.Builder
	for _, m := range mutants {
		rows[m.row]++
		j := realJudge()
		j.next = m.next
		var caught []block
		for _, b := range blocks {
			if got, err := j.ruling(b); err != nil {
				t.Fatal(err)
			} else if got != b.want {
				caught = append(caught, b)
			}
		}
		if len(caught) == 0 {
			t.Errorf("row %d: %s: no case of rule.txt notices", m.row, m.what)
			continue
		}
		fmt.Fprintf(&list, "row %2d  %-62s caught by %s %s (and %d more)\n", m.row, m.what, caught[0].at, caught[0].title, len(caught)-1)
	}
	for row := range 14 {
		if rows[row] == 0 {
			t.Errorf("no mutant of row %d", row)
		}
	}
	t.Logf("%d mutants, all caught:\n%s", len(mutants), list.String())
}
