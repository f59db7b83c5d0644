package portal

import (
	"net/http"
	"slices"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/web"
	"github.com/understudy-ha/understudy/web/account"
)

// turnPage is what the Failover page shows.
type turnPage struct {
	Status nodeapi.Status
	State  string
	Peer   string
	Loss   string
	Do     string // what was asked for, before it is confirmed
	Pull   bool
	Plan   []string // what would be done
	Reason string
	Fault  string
	No     *web.Refusal
}

// failover shows both servers, the newest planned swap, and what can be asked
// for; with ?do= what that means.
func (p *Portal) failover(v *web.Visit) error {
	t, err := p.turnPage(v)
	if err != nil {
		return err
	}
	q := v.Request.URL.Query()
	if do := q.Get("do"); slices.Contains([]string{"primary", "backup"}, do) {
		t.Do, t.Pull = do, q.Get("pull") == "yes"
		if err := p.foresee(v, &t); err != nil {
			return err
		}
	}
	v.Live, v.Form = t.Do == "", v.May(account.Operator)
	return v.Render("failover", "Failover", t)
}

func (p *Portal) turnPage(v *web.Visit) (turnPage, error) {
	s, err := p.status(v)
	if err != nil {
		return turnPage{}, err
	}
	t := turnPage{Status: s, State: shape(s.State), Loss: lossWords(s.Loss, p.Now())}
	if !s.Peer.At.IsZero() {
		t.Peer = shape(s.Peer.State)
	}
	return t, nil
}

// request gives what is asked of the node. With the check box, or where the
// nodes trust one another and this one gives its place up, it is a planned swap;
// else it is failover mode.
func (t *turnPage) request(reason string) nodeapi.Request {
	q := nodeapi.Request{Role: t.Do, Reason: reason}
	if t.Pull || t.Do == "backup" && t.Status.Peer.Trusted {
		q.DataSyncFirst = &t.Pull
	}
	return q
}

// foresee asks the node what a planned swap would do, or what stands against it.
func (p *Portal) foresee(v *web.Visit, t *turnPage) error {
	q := t.request("")
	if q.DataSyncFirst == nil {
		return nil
	}
	q.DryRun = true
	ctx, cancel := ask(v)
	defer cancel()
	a, err := p.node.Swap(ctx, q)
	if err == nil {
		t.Plan = a.Warnings
		return nil
	}
	no, ok := refusal("This would be refused now", err).(*web.Refusal)
	if !ok {
		return err
	}
	t.No = no
	return nil
}

// becomes is Become Primary and Become Backup, the pause, and the door for
// clients.
func (p *Portal) becomes(v *web.Visit) error {
	t, err := p.turnPage(v)
	if err != nil {
		return err
	}
	t.Do, t.Pull, t.Reason = v.Field("do"), v.Field("pull") == "yes", v.Field("reason")
	ctx, cancel := ask(v)
	defer cancel()
	did := ""
	switch t.Do {
	case "primary", "backup":
		did = "Become " + capital(t.Do)
		if fault := p.sure(v); fault != "" {
			t.Fault = fault
			v.Status(http.StatusUnprocessableEntity)
			return v.Render("failover", "Failover", t)
		}
		_, err = p.node.Swap(ctx, t.request(t.Reason))
	case "pause", "unpause":
		did = t.Do
		_, err = p.node.Pause(ctx, t.Do == "pause", t.Reason)
	case "open", "close":
		did = "client connection " + map[string]string{"open": "enable", "close": "disable"}[t.Do]
		_, err = p.node.ClientConnection(ctx, t.Do == "open", t.Reason)
	default:
		return &web.Refusal{Status: http.StatusBadRequest, What: "Nothing was done", Why: "that is not among what this page can do", Do: "Go back to the page."}
	}
	if err == nil {
		v.Note(did, t.Reason, account.Done)
		return v.Go("/maintenance/failover", "Done: "+did+". It is on its way; this page shows how far it is.")
	}
	v.Note(did, t.Reason, err.Error())
	no, ok := refusal("Nothing was changed", err).(*web.Refusal)
	if !ok {
		return err
	}
	t.No = no
	v.Status(no.Status)
	return v.Render("failover", "Failover", t)
}
