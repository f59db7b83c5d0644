package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Verbs gives what a person may ask of a group, by the names of ha.Acts.
func Verbs() []string { return []string{"resume", "switch", "reorder", "hold", "release", "freeze"} }

// failures says what did not happen when a verb failed.
var failures = map[string]string{
	"resume": "traffic was not resumed", "switch": "traffic was not switched", "reorder": "the order was not changed",
	"hold": "not held", "release": "not released", "freeze": "not frozen",
}

const (
	mostBody = 64 << 10 // bytes of a wish
	mostText = 1 << 10  // bytes of one text of a wish
)

// act gives the handler of a verb. The rule itself stands in internal/ha; here
// is only what makes the wish one: a JSON body of known fields, sent by no
// other site's page.
func (a *API) act(verb string) http.Handler {
	sameSite := http.NewCrossOriginProtection()
	return allow(func(w http.ResponseWriter, r *http.Request) {
		if err := sameSite.Check(r); err != nil {
			fault(http.StatusForbidden, CrossSite, failures[verb], "another site's page sent this: "+err.Error(),
				"Ask without a browser, or from the console.").write(w)
			return
		}
		s, ok := a.find(w, r.PathValue("group"))
		if !ok {
			return
		}
		if outcome, fault := a.grant(verb, s, r); fault != nil {
			fault.write(w)
		} else {
			writeJSON(w, http.StatusOK, outcome)
		}
	}, http.MethodPost)
}

// grant reads the wish and has it done.
func (a *API) grant(verb string, s ha.Situation, r *http.Request) (Outcome, *Fault) {
	group := r.PathValue("group")
	what := group + ": " + failures[verb]
	body, err := readBody(r)
	if err == nil {
		err = body.check(verb)
	}
	if err != nil {
		return Outcome{}, fault(http.StatusBadRequest, BadRequest, what, err.Error(), "Correct the request.")
	}
	if Show(s).Starting() {
		return Outcome{}, refused(ha.NotStarted(group))
	}
	wish := body.wish(time.Now())
	wish.Actor, wish.Claimed = a.who(r, body.Actor)
	t, err := a.groups.Act(r.Context(), group, verb, wish, body.DryRun)
	if err != nil {
		return Outcome{}, actFault(group, what, err)
	}
	return Outcome{Schema, group, body.DryRun, showChange(t, s.Traffic.Serving)}, nil
}

// actFault says what kind of no an error of Groups.Act is.
func actFault(group, what string, err error) *Fault {
	var refusal *ha.Refusal
	switch {
	case errors.As(err, &refusal):
		return refused(refusal)
	case errors.Is(err, ha.ErrStale):
		return refused(&ha.Refusal{
			Code: ha.StaleEpoch, What: what, Why: "another process changed the group meanwhile",
			Do: "Look again, then decide again.", Read: "understudy status " + group,
		})
	}
	f := fault(http.StatusServiceUnavailable, ha.NotStored, what, err.Error(),
		"Traffic moves only after it has been stored: repair the register, then try again.")
	f.Read = "understudy why " + group
	return f
}

// who gives the actor of a request, and whether that name is only claimed.
func (a *API) who(r *http.Request, claimed string) (string, bool) {
	name, proven := a.identify(r)
	switch {
	case proven:
		return name, false
	case claimed != "":
		return claimed, true
	case name != "":
		return name, true
	}
	return "somebody", true
}

// readBody takes exactly one JSON object of known fields.
func readBody(r *http.Request) (Body, error) {
	var body Body
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return body, fmt.Errorf("Content-Type is %q, it must be application/json", cut(r.Header.Get("Content-Type"), 80))
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, mostBody+1))
	switch {
	case err != nil:
		return body, errors.New("the body could not be read whole")
	case len(text) > mostBody:
		return body, fmt.Errorf("the body has more than %d bytes", mostBody)
	case len(strings.TrimSpace(string(text))) == 0:
		return body, errors.New(`the body is empty, it must be a JSON object such as {"reason":"..."}`)
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		return body, fmt.Errorf("the body is not what it must be: %s", cut(strings.TrimPrefix(err.Error(), "json: "), 200))
	}
	if _, err := d.Token(); err != io.EOF {
		return body, errors.New("something stands after the JSON object")
	}
	return body, nil
}

// check names what a verb does not take, or nil.
func (b Body) check(verb string) error {
	fields := []struct {
		name  string
		given bool
		verbs []string
	}{
		{"to", b.To != "", []string{"switch"}},
		{"order", b.Order != nil, []string{"reorder"}},
		{"until", !b.Until.IsZero(), []string{"hold", "freeze"}},
		{"for", b.For != "", []string{"hold", "freeze"}},
		{"outage_until", !b.Outage.IsZero(), []string{"hold"}},
		{"owner", b.Owner != "", []string{"hold", "freeze", "switch"}},
		{"force", b.Force, []string{"resume", "switch", "hold"}},
	}
	for _, f := range fields {
		if f.given && !slices.Contains(f.verbs, verb) {
			return fmt.Errorf("%s takes no field %q", verb, f.name)
		}
	}
	for _, text := range append([]string{b.Reason, b.To, b.Owner, b.Actor}, b.Order...) {
		if len(text) > mostText {
			return fmt.Errorf("a text has more than %d bytes", mostText)
		}
	}
	switch d, err := time.ParseDuration(b.For); {
	case b.For == "":
	case !b.Until.IsZero():
		return errors.New("both until and for are given; one of them is enough")
	case err != nil || d <= 0:
		return fmt.Errorf("for %q is not a duration such as 2h or 90m", cut(b.For, 40))
	}
	if verb == "switch" && b.To == "" {
		return errors.New("switch needs to, the node")
	}
	if verb == "reorder" && len(b.Order) == 0 {
		return errors.New("reorder needs order, every node in the new order")
	}
	return nil
}

// wish gives what b asks for, without its actor.
func (b Body) wish(now time.Time) ha.Wish {
	w := ha.Wish{To: b.To, Order: b.Order, Epoch: b.Epoch, Reason: b.Reason, Force: b.Force, Owner: b.Owner, Until: b.Until, Outage: b.Outage}
	if d, err := time.ParseDuration(b.For); err == nil {
		w.Until = now.Add(d)
	}
	return w
}
