package portal

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/web"
	"github.com/understudy-ha/understudy/web/account"
)

// overview is what the first page shows.
type overview struct {
	Status  nodeapi.Status
	State   string
	Peer    string // its state as a class; empty: not seen yet
	Loss    string
	Runs    []time.Time
	History []nodeapi.Transition // the newest first
}

// lossWords says what a promotion now may lose.
func lossWords(l nodeapi.Loss, now time.Time) string {
	if l.Datasets == 0 {
		return "whatever is not on this server already, for " + nodeapi.NoDataset
	}
	return l.Words(now)
}

func (p *Portal) overview(v *web.Visit) error {
	v.Live = true
	s, err := p.status(v)
	if err != nil {
		return err
	}
	o := overview{Status: s, State: shape(s.State), Loss: lossWords(s.Loss, p.Now())}
	if !s.Peer.At.IsZero() {
		o.Peer = shape(s.Peer.State)
	}
	ctx, cancel := ask(v)
	defer cancel()
	all, err := p.node.History(ctx)
	if err != nil {
		return refusal("The history cannot be shown", err)
	}
	slices.Reverse(all)
	o.History = all[:min(10, len(all))]
	return v.Render("overview", "Overview", o)
}

// testMail is Test of Notification Settings; it goes to the address in force.
func (p *Portal) testMail(v *web.Visit) error {
	ctx, cancel := ask(v)
	defer cancel()
	var sent nodeapi.Sent
	if err := p.node.Ask(ctx, http.MethodPost, "notify-test", nodeapi.Request{}, &sent); err != nil {
		v.Note("sent a test mail", "", err.Error())
		return refusal("No test mail was sent", err)
	}
	v.Note("sent a test mail to "+sent.To, "", account.Done)
	return v.Go("/maintenance/ha", "A test mail was sent to "+sent.To+".")
}

// sure says what is missing before a mode may be changed: the role, the node's
// name, the reason, the password.
func (p *Portal) sure(v *web.Visit) string {
	switch {
	case !v.May(account.Admin):
		return "Only an admin changes the mode."
	case v.Field("reason") == "":
		return "Say why: the reason stands in the history."
	case v.Field("name") != p.Name:
		return fmt.Sprintf("Type this node's name, %s, to show that you mean it.", p.Name)
	}
	if err := v.Prove(); err != nil {
		return capital(err.Error()) + "."
	}
	return ""
}

// download is Download settings (without logged history).
func (p *Portal) download(v *web.Visit) error {
	ctx, cancel := ask(v)
	defer cancel()
	list, _, err := p.node.Settings(ctx)
	if err != nil {
		return refusal("The settings cannot be downloaded", err)
	}
	s, err := p.status(v)
	if err != nil {
		return err
	}
	now := p.Now().UTC()
	text, err := json.MarshalIndent(struct {
		Version  int               `json:"version"`
		Node     string            `json:"node"`
		At       time.Time         `json:"at"`
		Enabled  bool              `json:"high_availability"`
		Mode     ha.Mode           `json:"mode"`
		Settings map[string]string `json:"settings"`
	}{1, s.Name, now, s.Enabled, s.Mode, valuesOf(list)}, "", "  ")
	if err != nil {
		return err
	}
	v.Note("downloaded the settings", "", account.Done)
	h := v.Writer.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-settings-%s.json"`, s.Name, now.Format("20060102")))
	_, _ = v.Writer.Write(append(text, '\n'))
	return nil
}

// validation shows the guide's test and validation plan with what the engine
// found now.
func (p *Portal) validation(v *web.Visit) error {
	ctx, cancel := ask(v)
	defer cancel()
	items, err := p.node.Preflight(ctx)
	if err != nil {
		return refusal("The checks cannot be made", err)
	}
	s, err := p.status(v)
	if err != nil {
		return err
	}
	return v.Render("validation", "Test and validation", struct {
		Items  []nodeapi.Item
		Status nodeapi.Status
	}{items, s})
}

// logPage is what Troubleshooting › Logs shows.
type logPage struct {
	MICS   bool // MICS was applied
	Module string
	Text   string
}

// module is the one log there is.
const module = "HighAvailability"

// logs goes the guide's way: select MICS, Apply, then View Module Logs
// HighAvailability.
func (p *Portal) logs(v *web.Visit) error {
	q := v.Request.URL.Query()
	l := logPage{MICS: q.Get("log") == "MICS", Module: q.Get("module")}
	if l.MICS && l.Module == module {
		v.Live, v.Form = true, true
		ctx, cancel := ask(v)
		defer cancel()
		text, err := p.node.Log(ctx, false)
		if err != nil {
			return refusal("The log cannot be shown", err)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		slices.Reverse(lines)
		l.Text = strings.Join(lines, "\n")
	}
	return v.Render("logs", "Logs", l)
}

// exportLog gives all of the log as a file.
func (p *Portal) exportLog(v *web.Visit) error {
	ctx, cancel := ask(v)
	defer cancel()
	text, err := p.node.Log(ctx, true)
	if err != nil {
		return refusal("The log cannot be exported", err)
	}
	v.Note("exported the log "+module, "", account.Done)
	h := v.Writer.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-%s.log"`, p.Name, module))
	_, _ = v.Writer.Write(text)
	return nil
}
