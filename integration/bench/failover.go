package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// crash measures a kill -9 of the Primary.
func (b *bench) crash(ctx context.Context) error {
	b.title("crash", "kill -9 of the Primary")
	all, err := b.compare(ctx, strike{signal: sigKill, window: 5 * time.Second})
	if err != nil {
		return err
	}
	b.answers(all)
	b.goal(all[0].failed.max() == 0, "no GET fails: %.0f failed", all[0].failed.max())
	b.goal(all[0].gap.max() <= 400, "longest gap at most 400 ms: %.0f ms", all[0].gap.max())
	b.goal(all[0].twice.max() == 0, "no POST arrives twice: %.0f did", all[0].twice.max())
	b.say("")
	return nil
}

// hang measures a Primary that is stopped in mid-flight: it accepts and never
// answers.
func (b *bench) hang(ctx context.Context) error {
	b.title("hang", "SIGSTOP of the Primary; after SIGCONT duplicates are counted, and whether clients are back on it %s later", comeback)
	all, err := b.compare(ctx, strike{signal: sigStop, window: 8 * time.Second, resume: true})
	if err != nil {
		return err
	}
	b.answers(all)
	b.goal(all[0].failed.max() == 0, "no GET fails: %.0f failed", all[0].failed.max())
	b.goal(all[0].gap.max() <= 3600, "longest gap at most 3600 ms: %.0f ms", all[0].gap.max())
	b.goal(all[0].peak.max() < 300, "peak memory of the front below 300 MB: %.0f MB", all[0].peak.max())
	b.goal(all[0].twice.max() == 0, "no POST arrives twice: %.0f did", all[0].twice.max())
	b.say("")
	return nil
}

// struck is the figures of one front over all runs. Durations are in
// milliseconds, memory in MB.
type struck struct {
	name                            string
	gets, posts                     int // sent in one run
	failed, gap, slowest, moved     series
	postsFailed, badGateway, others series
	twice, peak                     series
	resumed, back                   int // runs in which the old Primary went on, and clients were back on it by themselves
	whyGets, whyPosts               map[string]int
}

// compare strikes behind every front in turn, several times.
func (b *bench) compare(ctx context.Context, k strike) ([]*struck, error) {
	b.say("open loop, %d GET/s and %d POST/s of %s each, clients wait %s; interval 1s, fast_interval 100ms, timeout 1s, fall 3", b.rate, b.posts, slowPost, clientPatience)
	b.say("%d runs: minimum / median / maximum", b.runs)
	var all []*struck
	for _, f := range fronts {
		all = append(all, &struck{name: f.name, whyGets: map[string]int{}, whyPosts: map[string]int{}})
	}
	for range b.runs {
		for i, f := range fronts {
			r, err := b.strike(ctx, f, k)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			all[i].add(r)
		}
	}
	return all, nil
}

func (s *struck) add(r result) {
	s.gets, s.posts = r.get.sent, r.post.sent
	s.failed.add(float64(r.get.failed))
	s.gap.ms(r.get.gap)
	s.slowest.ms(r.get.slowest)
	if r.get.moved >= 0 {
		s.moved.ms(r.get.moved)
	}
	s.postsFailed.add(float64(r.post.failed))
	s.badGateway.add(float64(r.post.why["502"]))
	s.others.add(float64(r.post.failed - r.post.why["502"]))
	s.twice.add(float64(r.twice))
	s.peak.add(r.peak / 1e6)
	if r.resumed {
		s.resumed++
	}
	if r.back {
		s.back++
	}
	for why, n := range r.get.why {
		s.whyGets[why] += n
	}
	for why, n := range r.post.why {
		s.whyPosts[why] += n
	}
}

func (s *struck) comeback() string {
	if s.resumed == 0 {
		return "-"
	}
	return fmt.Sprintf("%d of %d", s.back, s.resumed)
}

// answers prints what clients got, front by front, and how ours compares.
func (b *bench) answers(all []*struck) {
	t := newTable(b.out, fmt.Sprintf("GETs, %d a run", all[0].gets), "failed", "longest gap ms", "slowest answer ms", "core2 answers after ms", "front peak MB", "failures, all runs")
	for _, s := range all {
		moved := "never"
		if len(s.moved) > 0 {
			moved = s.moved.three(0)
		}
		t.row(s.name, s.failed.three(0), s.gap.three(0), s.slowest.three(0), moved, s.peak.three(0), reasons(s.whyGets))
	}
	t.Flush()
	t = newTable(b.out, fmt.Sprintf("POSTs, %d a run", all[0].posts), "failed", "one 502", "other failure", "arrived twice", "back by itself", "failures, all runs")
	for _, s := range all {
		t.row(s.name, s.postsFailed.three(0), s.badGateway.three(0), s.others.three(0), s.twice.three(0), s.comeback(), reasons(s.whyPosts))
	}
	t.Flush()
	for _, peer := range all[1:] {
		b.say("longest gap, understudy / %s: %.2f (medians)", peer.name, all[0].gap.median()/peer.gap.median())
	}
}

// reasons writes how requests failed, and how many in each way.
func reasons(why map[string]int) string {
	var parts []string
	for _, w := range slices.Sorted(maps.Keys(why)) {
		parts = append(parts, fmt.Sprintf("%s: %d", w, why[w]))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}
