package api

import (
	"cmp"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Show gives a situation as the API tells it.
func Show(s ha.Situation) Group {
	t, d := s.Traffic, s.Decision
	g := Group{
		Schema: Schema, Name: t.Group, At: utc(s.At),
		Serving: t.Serving, Target: s.Target, Epoch: t.Epoch, Since: utc(t.Since), Order: slices.Clone(t.Order),
		Hold: showHold(t.Hold, s.At), FrozenUntil: utc(t.QueueUntil),
		Armed: s.ArmedTo != "", ArmedWhy: s.ArmedWhy, ArmedTo: s.ArmedTo,
		Decision: Decision{verbs[d.Verb], d.Reason, d.Row, d.To, d.About, showAlarm(d.Alarm)},
		Queue:    queues[s.Queue],
		Changed:  showChanged(t),
		Rules:    showRules(s.Rules, s.View),
		Nodes:    []Node{},
		Watchers: showWatchers(s),
	}
	if d.Reason == ha.NotStored { // the rule would move traffic, but cannot
		g.Armed, g.ArmedTo, g.ArmedWhy = false, "", ha.NotStored
	}
	for _, a := range s.Alarms() {
		g.Alarms = append(g.Alarms, string(a))
	}
	for _, name := range t.Order {
		g.Nodes = append(g.Nodes, showNode(s, name))
	}
	return g
}

func showNode(s ha.Situation, name string) Node {
	sight := s.View.Of(name)
	last := sight.Last
	n := Node{
		Name: name, State: states[last.State], Page: last.Page, Cause: last.Cause, Detail: last.Detail,
		Misses: sight.Misses, Passes: sight.Passes,
		At: utc(last.At), Since: utc(sight.Since), DownSince: utc(sight.DownAt), Suspect: utc(sight.Suspect),
		TookMS: ms(last.Took), NodeEpoch: last.Epoch, Manual: slices.Contains(s.Rules.Manual, name),
	}
	if s.View.Of(s.Traffic.Serving).Misses > 0 {
		n.AtMiss = states[sight.AtMiss]
	}
	return n
}

// showChanges gives a history, oldest first, in which every entry says who
// served before; at most the newest limit of them.
func showChanges(history []ha.Traffic, limit int) []Change {
	history = slices.SortedFunc(slices.Values(history), func(a, b ha.Traffic) int { return cmp.Compare(a.Epoch, b.Epoch) })
	changes := []Change{}
	before := ""
	for _, t := range history {
		changes = append(changes, showChange(t, before))
		before = t.Serving
	}
	return changes[max(0, len(changes)-limit):]
}

func showChange(t ha.Traffic, before string) Change {
	c := Change{
		Changed: showChanged(t), Epoch: t.Epoch, From: before, Serving: t.Serving,
		Order: slices.Clone(t.Order), Hold: showHold(t.Hold, t.At),
	}
	for _, r := range t.Evidence {
		c.Evidence = append(c.Evidence, ShowReading(r))
	}
	return c
}

func showChanged(t ha.Traffic) Changed {
	return Changed{utc(t.At), t.Cause, t.Actor, t.Claimed, t.Words, t.Forced}
}

// ShowReading gives a probe's result as the API tells it.
func ShowReading(r ha.Reading) Reading {
	return Reading{r.Node, states[r.State], r.Cause, r.Page, r.Detail, utc(r.At), ms(r.Took), r.Epoch}
}

func showHold(h *ha.Hold, now time.Time) *Hold {
	if h == nil {
		return nil
	}
	return &Hold{h.Owner, h.Reason, utc(h.Since), utc(h.Until), h.Overdue(now), utc(h.OutageUntil)}
}

func showRules(r ha.Rules, v ha.View) Rules {
	policy := r.Promoted(ha.Reading{})
	for _, s := range v {
		if s.Last.Safe {
			policy = r.Promoted(s.Last)
		}
	}
	return Rules{
		Fall: r.Fall, Rise: r.Rise,
		IntervalMS: ms(r.Interval), FastIntervalMS: ms(r.FastInterval), TimeoutMS: ms(r.Timeout),
		PromotionTimeMS: ms(r.PromotionTime), OnPromoted: policy,
	}
}

func showAlarm(a ha.Alarm) string {
	if a == ha.Silent {
		return ""
	}
	return a.String()
}

// utc gives a time as the wire carries it; the zero time stays zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

// ms gives a duration in milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// fromMS is the other way.
func fromMS(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
