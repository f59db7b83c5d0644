package portal

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/web"
	"github.com/understudy-ha/understudy/web/account"
)

// runPage is what the Upgrade page shows.
type runPage struct {
	Run    nodeapi.Run
	Course *nodeapi.Course // of the run with the lock, or else of the last one; nil: none is known
	Open   bool            // it has the lock and can be answered
	Title  string          // of the step where it stands
	Said   *nodeapi.RunAnswer
	Jobs   []nodeapi.Job // the newest first
	May    bool
	Do     string // what was tried
	Reason string
	Fault  string
	No     *web.Refusal
}

func (p *Portal) runPage(v *web.Visit) (runPage, error) {
	ctx, cancel := ask(v)
	defer cancel()
	r, err := p.node.Run(ctx)
	page := runPage{Run: r, Course: r.Course, Jobs: slices.Clone(r.Jobs), May: v.May(account.Admin)}
	slices.Reverse(page.Jobs)
	if c := r.Course; c != nil {
		page.Open = r.Lock != nil && !c.Over()
		page.Title = c.At
		if i := slices.IndexFunc(c.Steps, func(s nodeapi.RunStep) bool { return s.Name == c.At }); i >= 0 {
			page.Title = c.Steps[i].Title
		}
	}
	if n := len(r.Answers); n > 0 {
		page.Said = &r.Answers[n-1]
	}
	return page, refusal("The runs cannot be shown", err)
}

func (p *Portal) upgrades(v *web.Visit) error {
	page, err := p.runPage(v)
	if err != nil {
		return err
	}
	v.Live, v.Form = true, page.Run.Lock != nil && page.May
	return v.Render("upgrade", "Upgrade", page)
}

// answerRun gives a run what a person says: that a gate may be passed, that it
// is to be undone, or that its lock is freed though it has not ended.
func (p *Portal) answerRun(v *web.Visit) error {
	page, err := p.runPage(v)
	if err != nil {
		return err
	}
	lock := page.Run.Lock
	if lock == nil {
		return v.Go("/maintenance/upgrade", "There is no run any more.")
	}
	page.Do, page.Reason = v.Field("do"), v.Field("reason")
	if page.Fault = p.sure(v); page.Fault != "" {
		v.Status(http.StatusUnprocessableEntity)
		return v.Render("upgrade", "Upgrade", page)
	}
	ctx, cancel := ask(v)
	defer cancel()
	q := nodeapi.RunRequest{Run: v.Field("run"), Reason: page.Reason}
	did, say := "", ""
	switch page.Do {
	case "approve":
		q.Step = v.Field("step")
		did, say = fmt.Sprintf("approved %.80s of run %.80s", q.Step, q.Run), "Approved. The run goes on as soon as its process hears it."
		_, err = p.node.Answer(ctx, q)
	case "abort":
		q.Abort = true
		did, say = fmt.Sprintf("abort of run %.80s", q.Run), "The run is undone as soon as its process hears it."
		_, err = p.node.Answer(ctx, q)
	case "unlock":
		did, say = fmt.Sprintf("unlock of run %.80s", q.Run), "The lock is gone."
		q.Number, q.Release, q.Force = lock.Number, true, true
		_, err = p.node.Lock(ctx, q)
	default:
		return &web.Refusal{Status: http.StatusBadRequest, What: "Nothing was done", Why: "that is not among what this page can do", Do: "Go back to the page."}
	}
	if err == nil {
		v.Note(did, page.Reason, account.Done)
		return v.Go("/maintenance/upgrade", say)
	}
	v.Note(did, page.Reason, err.Error())
	no, ok := refusal("Nothing was changed", err).(*web.Refusal)
	if !ok {
		return err
	}
	page.No = no
	v.Status(no.Status)
	return v.Render("upgrade", "Upgrade", page)
}
