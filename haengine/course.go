package haengine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/notify"
)

// keptCopy is what this node keeps of the newest run that has told it: enough
// for another machine to go on with it. The engine stores the lines and believes
// nothing of them; whoever goes on checks their seals.
type keptCopy struct {
	nodeapi.RunCopy
	Answers []nodeapi.RunAnswer `json:"answers"`
	Last    uint64              `json:"last"`   // number of the newest answer
	Closed  bool                `json:"closed"` // a person has freed its lock: its process must end
}

const (
	copyFile    = "run-copy.json"
	mostCopied  = 512 << 10 // bytes of lines, and of the other documents
	mostAnswers = 32
	// silence is how long the process of a run may be unheard. It tells every two
	// seconds; what is longer than this is no hiccup of a network.
	silence = time.Minute
)

// over is the error of a process whose run is over here, or was taken over.
type over struct{ why string }

func (o *over) Error() string { return o.why }

func (r *runs) copyPath() string { return filepath.Join(filepath.Dir(r.path), copyFile) }

// openCopy reads the copy. A damaged one is only a copy: it is left out.
func (r *runs) openCopy() error {
	_, err := load(r.copyPath(), &r.copy)
	var damaged *Damaged
	if errors.As(err, &damaged) {
		r.copy = keptCopy{}
		return nil
	}
	return err
}

// replace stores a changed copy and puts it into force; mu is held.
func (r *runs) replace(next keptCopy) error {
	if err := r.store(r.copyPath(), next); err != nil {
		return fmt.Errorf("store the copy of the run: %w", err)
	}
	r.copy = next
	return nil
}

// keep takes a copy of the run that has the lock, or that had it last: its last
// lines come after the lock is given back.
func (r *runs) keep(q nodeapi.RunCopy, now time.Time) (nodeapi.RunKept, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.may(q); err != nil {
		return nodeapi.RunKept{}, err
	}
	next := r.copy
	if next.Run != q.Run {
		next = keptCopy{}
	}
	if next.merge(q) {
		if len(next.text()) > mostCopied {
			return nodeapi.RunKept{}, wrong(fmt.Sprintf("the copy of the run is larger than %d KiB", mostCopied>>10), "")
		}
		if err := r.replace(next); err != nil {
			return nodeapi.RunKept{}, err
		}
	}
	r.heard = now
	return nodeapi.RunKept{Have: len(r.copy.Lines), Answers: slices.Clone(r.copy.Answers)}, nil
}

// may says whether a process is heard; mu is held. One that has taken the run
// over brings its higher number with it.
func (r *runs) may(q nodeapi.RunCopy) error {
	l := r.kept.Lock
	switch {
	case r.copy.Run == q.Run && r.copy.Closed, q.Number < r.kept.Fence:
		return &over{fmt.Sprintf("the run %s with the number %d is over here: a person has freed its lock, or another process goes on with it", q.Run, q.Number)}
	case l == nil && r.copy.Run == q.Run && q.Number == r.kept.Fence:
		return nil
	case l == nil || l.Run != q.Run:
		return refuse("the run %s does not have the lock of this node", q.Run)
	case q.Number > l.Number:
		next := r.kept
		lock := *l
		lock.Number = q.Number
		next.Lock, next.Fence = &lock, q.Number
		if err := r.store(r.path, next); err != nil {
			return fmt.Errorf("store the run: %w", err)
		}
		r.kept = next
	}
	return nil
}

// merge takes in what is told; it says whether that has to be stored. Lines that
// are there already are replaced: a process that goes on knows better.
func (k *keptCopy) merge(q nodeapi.RunCopy) (changed bool) {
	changed = k.Run != q.Run || k.Number != q.Number
	k.Run, k.Number = q.Run, q.Number
	if len(q.Plan) > 0 {
		k.Plan, k.Before, changed = q.Plan, q.Before, true
	}
	if q.From > 0 && q.From <= len(k.Lines)+1 && len(q.Lines) > 0 {
		k.From, k.Lines, changed = 1, append(slices.Clone(k.Lines[:q.From-1]), q.Lines...), true
	}
	if q.Course != nil {
		changed = changed || k.Course == nil || k.Course.State != q.Course.State || k.Course.At != q.Course.At
		k.Course = q.Course
	}
	if left := slices.DeleteFunc(slices.Clone(k.Answers), func(a nodeapi.RunAnswer) bool { return slices.Contains(q.Heard, a.Number) }); len(left) != len(k.Answers) {
		k.Answers, changed = left, true
	}
	return changed
}

// text is the copy as it is stored.
func (k *keptCopy) text() []byte {
	text, _ := json.Marshal(k)
	return text
}

// copied gives the copy.
func (r *runs) copied() nodeapi.RunCopy {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.copy.RunCopy
}

// closeCopy ends the run here for its process: a person has freed the lock.
func (r *runs) closeCopy() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.copy
	next.Closed, next.Answers = true, nil
	if c := next.Course; c != nil && !c.Over() {
		ended := *c
		ended.State, ended.Says, ended.Asks = "unlocked", "A person has freed its lock here.", ""
		next.Course = &ended
	}
	return r.replace(next)
}

// answer keeps what a person says to the run that has the lock.
func (r *runs) answer(q nodeapi.RunRequest, by string, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.copy.Course
	l := r.kept.Lock
	switch {
	case q.Reason == "" || q.Abort == (q.Step != ""):
		return wrong("an answer is a step or abort, and a reason", "")
	case l == nil || l.Run != q.Run:
		return refuse("the run %s does not have the lock of this node", q.Run)
	case c == nil || r.copy.Run != q.Run:
		return refuse("the run %s has not told this node where it stands", q.Run)
	case q.Abort && c.NoReturn != "":
		return refuse("%s has begun, and there is no way back from it; put right what stands in the way, and let the run go on", c.NoReturn)
	case !q.Abort && (c.Asks == "" || c.At != q.Step):
		return refuse("the run %s asks nothing at %.80q now", q.Run, q.Step)
	case slices.ContainsFunc(r.copy.Answers, func(a nodeapi.RunAnswer) bool { return a.Step == q.Step && a.Abort == q.Abort }):
		return nil // said already
	case len(r.copy.Answers) >= mostAnswers:
		return refuse("%d answers wait for the process of the run already", mostAnswers)
	}
	next := r.copy
	next.Last++
	next.Answers = append(slices.Clone(next.Answers), nodeapi.RunAnswer{
		Number: next.Last, Step: q.Step, Abort: q.Abort, By: by, Reason: q.Reason, At: now.UTC(),
	})
	return r.replace(next)
}

// works says whether the process of the run that has the lock is at work, as far
// as one can hear.
func (r *runs) works() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept.Lock != nil && r.copy.Run == r.kept.Lock.Run && r.atWork() && time.Since(r.heard) < silence/4
}

// atWork says whether a process should be at work; mu is held. One that waits
// for a person, or has stopped, has said so and may be gone.
func (r *runs) atWork() bool {
	c := r.copy.Course
	return c == nil || r.kept.Lock == nil || r.copy.Run != r.kept.Lock.Run || c.State == "running"
}

// listen looks whether the process of the run with the lock is heard. change
// says that this is news: it is silent now, or heard again.
func (r *runs) listen(now time.Time) (change bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = r.kept.Lock != nil && r.atWork() && now.Sub(later(r.heard, r.kept.Lock.Since)) > silence
	if r.silent == r.kept.Told || r.kept.Lock == nil {
		return false, nil
	}
	next := r.kept
	next.Told = r.silent
	if err := r.store(r.path, next); err != nil {
		return false, err
	}
	r.kept = next
	return true, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// banner gives what the status says of the run that has the lock, nil if none
// has.
func (r *runs) banner() *nodeapi.RunNow {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kept.Lock == nil {
		return nil
	}
	n := &nodeapi.RunNow{Lock: *r.kept.Lock, Silent: r.silent}
	if c := r.copy.Course; c != nil && r.copy.Run == n.Run {
		n.State, n.At, n.Asks, n.Host, n.Heard = c.State, c.At, c.Asks, c.Host, r.heard.UTC()
	}
	return n
}

// runSays says a banner in a sentence or two.
func runSays(n *nodeapi.RunNow) string {
	say := fmt.Sprintf("The run %s has the lock since %s (%s): nothing happens by itself until it ends.", n.Run, n.Since.Format(time.RFC3339), n.Reason)
	where := "On the machine where it was begun"
	if n.Host != "" {
		where = "On " + n.Host
	}
	switch {
	case n.Silent:
		say += " ALARM: its process should be at work" + at(n.At) + " and is not heard any more. " + where + ": understudy upgrade continue; from another machine: understudy upgrade fetch."
	case n.Asks != "":
		say += " It asks" + at(n.At) + ": " + n.Asks + " Answer in the portal, or there: understudy upgrade approve."
	case n.State == "incomplete":
		say += " It has stopped" + at(n.At) + " and needs a person. " + where + ": understudy upgrade status."
	default:
		say += " " + where + ": understudy upgrade status."
	}
	return say
}

func at(step string) string {
	if step == "" {
		return ""
	}
	return " at " + step
}

func hostOf(c *nodeapi.Course) string {
	if c == nil || c.Host == "" {
		return "another machine"
	}
	return c.Host
}

// eventSilent is the event of a run whose process is not heard any more.
const eventSilent = ha.Reason("run-silent")

// watchRun has people told, once, that the process of a run is gone while the
// run has the lock: nothing happens by itself on this node, and nobody works at
// it. It never ends the lock.
func (e *Engine) watchRun(now time.Time) {
	change, err := e.runs.listen(now)
	if err != nil {
		e.Log.Error("the run cannot be stored", "error", err)
		return
	}
	if !change {
		return
	}
	n := e.runs.banner()
	if n == nil {
		return
	}
	m := notify.Message{Event: eventSilent, Severity: notify.Info, From: e.Name}
	if m.Text = e.Name + ": the process of the run " + n.Run + " is heard again"; n.Silent {
		m.Severity = notify.Alarm
		m.Text = fmt.Sprintf("%s: the run %s%s has the lock and its process on %s is not heard since %s: nothing happens by itself on this server",
			e.Name, n.Run, at(n.At), hostOf(e.runs.show().Course), later(n.Heard, n.Since).UTC().Format("15:04:05 UTC"))
		m.Do = "Go on with it there: understudy upgrade continue; from another machine: understudy upgrade fetch; or, if it is given up: understudy upgrade unlock"
	}
	e.note(strings.TrimPrefix(m.Text, e.Name+": "))
	e.Log.Warn("the process of a run", "run", n.Run, "silent", n.Silent, "step", n.At)
	e.post(m, e.settings.NotifyFailure)
	e.publish()
}

// keepCopy takes the copy of a run.
func (c *control) keepCopy(w http.ResponseWriter, r *http.Request) {
	var q nodeapi.RunCopy
	if err := decode(w, r, mostCopied+mostAsked, &q); err != nil {
		give(w, http.StatusBadRequest, nodeapi.Fault{Why: "the copy is not understood: " + err.Error()})
		return
	}
	if q.Run == "" || slices.ContainsFunc(q.Lines, func(l string) bool { return strings.ContainsAny(l, "\n\r") }) {
		give(w, http.StatusBadRequest, nodeapi.Fault{Why: "run is missing, or a line is more than one"})
		return
	}
	kept, err := c.runs.keep(q, time.Now())
	if c.failedRun(w, err) {
		return
	}
	give(w, http.StatusOK, kept)
}
