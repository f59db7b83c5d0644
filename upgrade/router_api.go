package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/ha"
)

// apiRouter is a front or a sidecar of ours; with the sidecar every name server
// and every balancer that asks its probe proxy stands still too.
type apiRouter struct {
	client *api.Client
	group  string
	run    string
	actor  string
}

// Look reads the group.
func (a *apiRouter) Look(ctx context.Context) Router {
	r := Router{Kind: "api"}
	g, err := a.client.Group(ctx, a.group)
	if err != nil {
		r.Fault = err.Error()
		return r
	}
	r.Target = "group " + g.Name + " at " + a.client.At() + ", nodes " + strings.Join(slices.Sorted(slices.Values(g.Order)), " ")
	r.Serving, r.Order, r.Epoch, r.Nodes = g.Serving, g.Order, g.Epoch, map[string]string{}
	for _, n := range g.Nodes {
		if n.Known() {
			r.Nodes[n.Name] = n.State
		}
	}
	if ms := g.QueueTimeoutMS; ms != nil {
		waits := time.Duration(*ms) * time.Millisecond
		r.Waits = &waits
	}
	r.Frozen = time.Now().Before(g.FrozenUntil)
	if g.Hold != nil {
		r.Held, r.Owner, r.Outage = true, g.Hold.Owner, !g.Hold.OutageUntil.IsZero()
	}
	r.Said = fmt.Sprintf("serving %s, %s", orNone(g.Serving), held(r))
	return r
}

func held(r Router) string {
	if r.Held {
		return "held by " + r.Owner
	}
	return "not held"
}

// Do asks for a verb of the API. What is refused because the readings are not
// there yet may be granted in a moment.
func (a *apiRouter) Do(ctx context.Context, d Deed) error {
	body := api.Body{Reason: "upgrade run " + a.run, Actor: a.actor}
	verb := d.Do
	switch d.Do {
	case DoHold:
		body.Owner = a.run
	case DoAnnounce:
		verb, body.Owner, body.Outage = "hold", a.run, d.Till
	case DoRelease:
	case DoFreeze:
		body.Owner, body.Until = a.run, d.Till
	case DoThaw:
		verb, body.Owner = "freeze", a.run
	case DoSwitch:
		body.Owner, body.To = a.run, d.With
	case DoReorder:
		body.Order = strings.Split(d.With, ",")
		if slices.Equal(a.Look(ctx).Order, body.Order) { // another one shares the register and has done it
			return nil
		}
	default:
		return &Refused{"a router does not know " + d.Do}
	}
	_, err := a.client.Act(ctx, a.group, verb, body)
	return judgeRefusal(err)
}

func judgeRefusal(err error) error {
	var refusal *ha.Refusal
	var fault *api.Fault
	var unknown *api.UnknownGroup
	switch {
	case errors.As(err, &refusal):
		switch refusal.Code {
		case ha.NotReady, ha.Missing, ha.DualActive, ha.NeedsSwap, ha.StaleEpoch, ha.Starting:
			return &Later{refusal.Why}
		case ha.AlreadyServing, ha.NotHeld: // it is so: an answer was lost, or another process shares the register
			return nil
		}
		return &Refused{refusal.Why}
	case errors.As(err, &unknown):
		return &Refused{unknown.Error()}
	case errors.As(err, &fault) && fault.Status < 500:
		return &Refused{fault.Why}
	}
	return err
}
