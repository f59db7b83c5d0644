package upgrade

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Start is what a run begins with.
type Start struct {
	By       string
	Number   uint64
	Items    []Item            // of the preflight
	Accepted map[string]string // risks, by name: the reason
}

// Begin writes the first lines of a run's journal.
func (j *Journal) Begin(run string, p Plan, s Start) error {
	if err := j.Add(entry(Begins, "", "run", run, "plan", p.Digest(), "kind", string(p.Config.Kind), "by", s.By, "number", strconv.FormatUint(s.Number, 10))); err != nil {
		return err
	}
	for _, i := range s.Items {
		if err := j.Add(entry(Preflight, "", "name", i.Name, "result", string(i.Result), "said", i.Said)); err != nil {
			return err
		}
		if reason := s.Accepted[i.Name]; reason != "" && i.Result == Fail {
			if err := j.Add(entry(Risk, "", "name", i.Name, "by", s.By, "reason", reason)); err != nil {
				return err
			}
		}
	}
	return nil
}

// GoOn notes that a run is continued.
func (j *Journal) GoOn(by string) error { return j.Add(entry(Goes, "", "by", by)) }

// TakeOver notes that a run is continued here under a higher number, from the
// copy that a node had.
func (j *Journal) TakeOver(by, reason, from string, number uint64) error {
	return j.Add(entry(Goes, "", "by", by, "reason", reason, "from", from, "number", strconv.FormatUint(number, 10)))
}

// Abort notes that a run is to be undone.
func (j *Journal) Abort(by, reason string) error {
	return j.Add(entry(Aborts, "", "by", by, "reason", reason))
}

// AbortOne notes that the newest step is to be undone, and no other.
func (j *Journal) AbortOne(by, reason string) error {
	return j.Add(entry(Aborts, "", "with", "one", "by", by, "reason", reason))
}

// Approve notes a person's answer to a gate, or that what was to be done by hand
// is done.
func (j *Journal) Approve(step, by, reason string) error {
	return j.Add(entry(Approves, step, "by", by, "reason", reason))
}

// Estimate is what a plan's steps took in earlier runs of its kind.
type Estimate struct {
	Steps  map[string]time.Duration // median, by step; no entry: not known
	Outage time.Duration            // of all steps with one, 0: not known
	Runs   int
}

// Estimates looks at earlier runs of the plan's kind and group.
func (s Store) Estimates(p Plan) (e Estimate) {
	e.Steps = map[string]time.Duration{}
	all, _ := s.List()
	took := map[string][]time.Duration{}
	var gaps []time.Duration
	for _, r := range all {
		if r.Course.State != Succeeded || r.Plan.Config.Kind != p.Config.Kind || r.Plan.Config.Group != p.Config.Group {
			continue
		}
		e.Runs++
		gap := time.Duration(0)
		for name, l := range r.Course.Steps {
			over := l.Over
			if strings.HasSuffix(name, "/SwingTraffic") && !l.Acted.IsZero() {
				over = l.Acted // requests wait until the fronts were told; a balancer that follows by itself may take longer
			}
			took[name] = append(took[name], over.Sub(l.Begun))
			gap += l.Outage
		}
		gaps = append(gaps, gap)
	}
	for name, list := range took {
		e.Steps[name] = median(list)
	}
	e.Outage = median(gaps)
	return e
}

// Waits gives how long requests wait in the longer of a switchover's two swaps;
// 0: not known.
func (e Estimate) Waits() (longest time.Duration) {
	for _, way := range []string{"Swap/", "Back/"} {
		sum := time.Duration(0)
		for _, step := range []string{"CloseClientConnection", "FinalSync", "StepDown", "TakeOver", "SwingTraffic"} {
			sum += e.Steps[way+step]
		}
		longest = max(longest, sum)
	}
	return longest
}

func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[len(list)/2]
}
