package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/web"
	"github.com/understudy-ha/understudy/web/account"
)

// deed is what the page of an act shows: the form, and once it was filled in
// what would happen.
type deed struct {
	Group  view
	Verb   string
	Title  string
	Does   string // what it does, in a sentence
	Button string // what the button says once it is known what would happen
	Name   string // the node's name that has to be typed, empty: none
	Body   api.Body
	Epoch  uint64 // what was shown
	Would  string // what would happen
	Fault  string
	No     *web.Refusal
}

var deeds = map[string]struct{ title, does string }{
	"resume":  {"Resume", "Sends clients back to the first node in order."},
	"switch":  {"Switch", "Sends clients to the node that you name."},
	"reorder": {"Reorder", "Says who is Primary from now on, after the nodes have swapped their modes. Traffic stays where it is."},
	"hold":    {"Hold", "Freezes routing while you work on the nodes. Probing and display go on; nothing moves, not even at a failure."},
	"release": {"Release", "Ends the hold: the rule decides again, at once."},
}

func (c *Console) deed(v *web.Visit, verb string) (deed, error) {
	g, err := c.client.Group(ask(v), v.Request.PathValue("group"))
	if err != nil {
		return deed{}, refusal(err)
	}
	d := deed{Group: show(g, c.now()), Verb: verb, Title: deeds[verb].title, Does: deeds[verb].does, Epoch: g.Epoch}
	d.Body.Order, d.Body.To = g.Order, v.Request.URL.Query().Get("to")
	if d.Body.To == "" {
		d.Body.To = otherThan(g)
	}
	if _, known := g.Node(d.Body.To); !known {
		return d, notThere(fmt.Sprintf("the group has no node %.60q", d.Body.To))
	}
	return d, nil
}

// otherThan gives the node that a switch would most probably be to.
func otherThan(g api.Group) string {
	for _, name := range append([]string{g.ArmedTo, g.Decision.Node}, g.Order...) {
		if name != "" && name != g.Serving {
			return name
		}
	}
	return g.Serving
}

func (c *Console) form(v *web.Visit, verb string) error {
	d, err := c.deed(v, verb)
	if err != nil {
		return err
	}
	return v.Render("act", d.Title+" "+d.Group.Name, d)
}

// act takes the form twice: first it shows what would happen, then it does it.
// What is done is what was shown, for the epoch goes with it.
func (c *Console) act(v *web.Visit, verb string) error {
	d, err := c.deed(v, verb)
	if err != nil {
		return err
	}
	if err := d.read(v, verb); err != nil {
		return again(v, d, web.Sentence(err))
	}
	d.Body.DryRun = true
	would, err := c.client.Act(ask(v), d.Group.Name, verb, d.Body)
	if err != nil {
		return c.refused(v, d, err)
	}
	d.Would, d.Button, d.Name = strings.Join(strings.Fields(api.Done(would)), " "), button(d, would), typed(verb, would)
	if v.Field("step") != "do" {
		return v.Render("act", d.Title+" "+d.Group.Name, d)
	}
	if d.Name != "" && v.Field("node") != d.Name {
		return again(v, d, fmt.Sprintf("Type the node's name, %s, to show that you mean it.", d.Name))
	}
	d.Body.DryRun = false
	done, err := c.client.Act(ask(v), d.Group.Name, verb, d.Body)
	if err != nil {
		return c.refused(v, d, err)
	}
	v.Note(verb+" "+d.Group.Name+": "+api.Done(done), d.Body.Reason, account.Done)
	return v.Go("/groups/"+d.Group.Name, "Done: "+strings.Join(strings.Fields(api.Done(done)), " ")+".")
}

// read takes the form.
func (d *deed) read(v *web.Visit, verb string) error {
	d.Body = api.Body{Reason: v.Field("reason"), To: d.Body.To, Order: d.Body.Order}
	if e, err := strconv.ParseUint(v.Field("epoch"), 10, 64); err == nil {
		d.Body.Epoch, d.Epoch = e, e
	}
	if to := v.Field("to"); to != "" {
		d.Body.To = to
	}
	if order := v.Request.PostForm["order"]; len(order) > 0 {
		d.Body.Order = order
	}
	hours := v.Field("for")
	if verb == "hold" && hours != "" {
		d.Body.For = hours
	}
	d.Body.Force = v.Field("force") == "yes" && slices.Contains([]string{"resume", "switch", "hold"}, verb)
	if verb != "switch" {
		d.Body.To = ""
	}
	if verb != "reorder" {
		d.Body.Order = nil
	}
	if d.Body.Reason == "" {
		return errors.New("say why: the reason stands in the history")
	}
	return nil
}

func again(v *web.Visit, d deed, fault string) error {
	d.Fault = fault
	v.Status(http.StatusUnprocessableEntity)
	return v.Render("act", d.Title+" "+d.Group.Name, d)
}

// refused shows a no beside the form.
func (c *Console) refused(v *web.Visit, d deed, err error) error {
	shown, ok := refusal(err).(*web.Refusal)
	if !ok {
		return err
	}
	v.Note(d.Verb+" "+d.Group.Name, d.Body.Reason, "refused: "+shown.Why)
	d.No, d.Would = shown, ""
	v.Status(shown.Status)
	return v.Render("act", d.Title+" "+d.Group.Name, d)
}

// typed gives the node whose name has to be typed: where clients would be sent.
func typed(verb string, would api.Outcome) string {
	if verb == "resume" || verb == "switch" {
		return would.Change.Serving
	}
	return ""
}

// button says what it will do and what that costs.
func button(d deed, would api.Outcome) string {
	c := would.Change
	switch d.Verb {
	case "resume", "switch":
		if c.From == c.Serving || c.From == "" {
			return "Send clients to " + c.Serving + " now"
		}
		return fmt.Sprintf("Send clients to %s now: connections to %s are closed", c.Serving, c.From)
	case "reorder":
		return "Make " + c.Order[0] + " the first in order; traffic stays on " + c.Serving
	case "hold":
		until := "until somebody releases it"
		if !c.Hold.Until.IsZero() {
			until = "and be reminded at " + c.Hold.Until.UTC().Format(time.TimeOnly) + " UTC"
		}
		return "Hold " + d.Group.Name + " " + until + ": no failover meanwhile"
	}
	return "Release " + d.Group.Name + ": the rule decides again"
}
