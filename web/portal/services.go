package portal

import (
	"net/http"
	"time"

	"github.com/understudy-ha/understudy/web"
	"github.com/understudy-ha/understudy/web/account"
)

// Service is an optional dataset, such as Atlas, that may be switched.
type Service struct {
	Name    string
	Kind    string // what it holds
	Enabled bool
}

// Run is an upgrade run as its journal tells it.
type Run struct {
	ID, Plan, State string // State in a word: running, gate, done, failed, aborted
	Began           time.Time
	Now             string // the step that is under way, in words
	Gate            string // what a person is asked, empty: nothing
	Abort           string // what an abort would do now
	Steps           []RunStep
}

// RunStep is one step of a run.
type RunStep struct {
	Name, State, Said string
	At                time.Time
}

// Upgrades are the runs that this node knows of.
type Upgrades interface {
	// Runs gives the runs, the newest first.
	Runs() ([]Run, error)
	// Steer has a run go on past its gate, or abort.
	Steer(id, do, by, reason string) error
}

func (p *Portal) services(v *web.Visit) error {
	var all []Service
	if p.Services != nil {
		all = p.Services()
	}
	return v.Render("services", "Services", struct {
		All []Service
		May bool
	}{all, v.May(account.Admin)})
}

// changeServices is Apply of Settings › Services.
func (p *Portal) changeServices(v *web.Visit) error {
	ctx, cancel := ask(v)
	defer cancel()
	changed := map[string]string{}
	if p.Services != nil {
		for _, s := range p.Services() {
			if want := v.Field("service " + s.Name); want != "" && want != able(s.Enabled) {
				changed["Service "+s.Name] = want
			}
		}
	}
	if len(changed) == 0 {
		return v.Go("/settings/services", "Nothing was changed.")
	}
	if _, err := p.node.Save(ctx, changed, ""); err != nil {
		v.Note("changed services", "", err.Error())
		return refusal("No service was changed", err)
	}
	v.Note("changed services", "", account.Done)
	return v.Go("/settings/services", "Applied.")
}

func (p *Portal) upgrades(v *web.Visit) error {
	v.Live = true
	page := struct {
		Known bool
		Runs  []Run
		May   bool
	}{Known: p.Upgrades != nil, May: v.May(account.Admin)}
	if p.Upgrades != nil {
		var err error
		if page.Runs, err = p.Upgrades.Runs(); err != nil {
			return &web.Refusal{Status: http.StatusServiceUnavailable, What: "The runs cannot be shown", Why: err.Error()}
		}
	}
	return v.Render("upgrade", "Upgrade", page)
}

func (p *Portal) steerUpgrade(v *web.Visit) error {
	if p.Upgrades == nil {
		return v.Go("/maintenance/upgrade", "")
	}
	if err := v.Prove(); err != nil {
		return &web.Refusal{Status: http.StatusUnprocessableEntity, What: "Nothing was done", Why: err.Error(), Do: "Go back and give it."}
	}
	do, id := v.Field("do"), v.Field("run")
	if err := p.Upgrades.Steer(id, do, v.Session.User, v.Field("reason")); err != nil {
		v.Note(do+" of run "+id, v.Field("reason"), err.Error())
		return &web.Refusal{Status: http.StatusConflict, What: "Nothing was done", Why: err.Error(), Do: "Look at the run again."}
	}
	v.Note(do+" of run "+id, v.Field("reason"), account.Done)
	return v.Go("/maintenance/upgrade", "Done: "+do+".")
}
