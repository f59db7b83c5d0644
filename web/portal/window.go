package portal

import (
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

// window is what the HA Configuration window shows.
type window struct {
	Status   nodeapi.Status
	State    string // a class of the stylesheet
	Draft    *draft // what stands in the fields
	Saved    bool   // the fields are a draft that was saved
	Version  string // of what stands in the fields, against two who save
	Others   []nodeapi.Setting
	Hosts    []string
	Times    []string
	Runs     []time.Time // if it was saved as it stands
	RunsNow  []time.Time // as it is in force
	Detect   string
	Loss     string
	Changes  []change
	Warnings []string
	Faults   []string
	Done     bool // it was just applied
	May      bool // change anything
}

// Value gives what stands in a field.
func (w window) Value(name string) string { return w.Draft.Values[name] }

// Count and Unit are the two parts of Run Every.
func (w window) Count() string { return w.Draft.Values.count() }

// Unit is the second one.
func (w window) Unit() string { return w.Draft.Values.unit() }

// gather reads everything that the window shows.
func (p *Portal) gather(v *web.Visit) (window, []nodeapi.Setting, error) {
	ctx, cancel := ask(v)
	defer cancel()
	w := window{May: v.May(account.Admin), Times: times()}
	var err error
	if w.Status, err = p.node.Status(ctx); err != nil {
		return w, nil, refusal("HA Configuration cannot be shown", err)
	}
	list, tag, err := p.node.Settings(ctx)
	if err != nil {
		return w, nil, refusal("HA Configuration cannot be shown", err)
	}
	w.State = shape(w.Status.State)
	if w.Draft, err = p.draft(); err != nil {
		w.Warnings = append(w.Warnings, err.Error())
	}
	if w.Saved = w.Draft != nil; !w.Saved {
		w.Draft = &draft{Tag: tag, Values: valuesOf(list), Enabled: w.Status.Enabled, Mode: cast(w.Status), Node: nodeStatus(w.Status), Host: w.Status.Peer.Name}
	}
	w.fill(list, p.Now())
	w.Version = version(w.Draft, w.Saved)
	w.Hosts = p.hostNames(w.Status.Peer.Name)
	if w.Saved && w.Draft.Tag != tag {
		w.Warnings = append(w.Warnings, "The settings were changed by somebody else since this was saved (failover config show). Save again to take what you see for what you want, or discard it.")
	}
	return w, list, nil
}

// fill makes what follows from the draft.
func (w *window) fill(list []nodeapi.Setting, now time.Time) {
	w.Others = nil
	for _, s := range list {
		if !slices.Contains(documented, s.Name) {
			w.Others = append(w.Others, nodeapi.Setting{Name: s.Name, Value: w.Draft.Values[s.Name]})
		}
	}
	w.Changes = append(w.Draft.switches(w.Status), w.Draft.settings(list)...)
	w.Detect, w.Loss = w.Draft.Values.detection(), lossWords(w.Status.Loss, now)
	w.Runs = w.Draft.Values.upcoming(now, now)
	if !slices.Contains(w.Times, w.Draft.Values[startTime]) {
		w.Times = append(w.Times, w.Draft.Values[startTime])
		slices.Sort(w.Times)
	}
	_, warnings := w.Draft.Values.check()
	w.Warnings = append(w.Warnings, warnings...)
}

// version names what somebody was shown, so that saving over what another one
// has saved meanwhile is noticed.
func version(d *draft, saved bool) string {
	if saved {
		return "saved " + d.At.UTC().Format(time.RFC3339Nano)
	}
	return "in force " + d.Tag
}

// times gives what the drop-down menu of StartTime has.
func times() (all []string) {
	for m := 0; m < 24*60; m += 30 {
		all = append(all, fmt.Sprintf("%02d:%02d", m/60, m%60))
	}
	return all
}

func (p *Portal) window(v *web.Visit) error {
	w, _, err := p.gather(v)
	if err != nil {
		return err
	}
	w.Done = v.Request.URL.Query().Has("applied") && !w.Saved
	return v.Render("ha", "HA Configuration", w)
}

// save keeps what stands in the fields, if it is possible. Nothing is changed
// on the node by that. "Save and Apply" goes on to the second step.
func (p *Portal) save(v *web.Visit) error {
	w, list, err := p.gather(v)
	if err != nil {
		return err
	}
	shown := w.Version
	w.Draft = read(v, list)
	w.Draft.Tag = v.Field("tag")
	w.Warnings = nil
	w.fill(list, p.Now())
	if v.Field("version") != shown {
		w.Faults = []string{"Somebody else has saved or applied something since you opened this window. What you see below is yours; nothing was saved. Open HA Configuration anew to see theirs."}
	} else {
		w.Faults, _ = w.Draft.Values.check()
		if w.Draft.Enabled && w.Draft.Mode == "" {
			w.Faults = append(w.Faults, "Mode: choose Primary or Secondary before High Availability is enabled.")
		}
	}
	if len(w.Faults) > 0 {
		w.Version, w.Saved = v.Field("version"), false
		v.Status(http.StatusUnprocessableEntity)
		return v.Render("ha", "HA Configuration", w)
	}
	if len(w.Changes) == 0 {
		if err := p.drop(); err != nil {
			return err
		}
		return v.Go("/maintenance/ha", "Nothing differs from what is in force, so there is nothing to apply.")
	}
	w.Draft.By, w.Draft.At = v.Session.User, p.Now()
	if err := p.keep(w.Draft); err != nil {
		return err
	}
	v.Note("saved HA Configuration: "+changeWords(w.Changes), "", account.Done)
	if v.Field("do") == "both" {
		return v.Go("/maintenance/ha/apply", "")
	}
	return v.Go("/maintenance/ha", "Saved, and not in force yet: press Apply.")
}

// read takes the form. A setting that it does not have stays as it is.
func read(v *web.Visit, list []nodeapi.Setting) *draft {
	d := &draft{Values: valuesOf(list), Enabled: v.Field("enabled") == enable, Mode: v.Field("mode"), Node: v.Field("node"), Host: v.Field("host")}
	for name := range d.Values {
		if slices.Contains(v.Request.PostForm["has"], name) {
			d.Values[name] = v.Field(name)
		}
	}
	if n := v.Field("every"); n != "" {
		d.Values[runEvery] = n + " " + v.Field("unit")
	}
	for _, tick := range []string{notifySync, notifyFailure} {
		d.Values[tick] = "no"
		if v.Field(tick) == "yes" {
			d.Values[tick] = "yes"
		}
	}
	if !slices.Contains([]string{"", primary, second}, d.Mode) {
		d.Mode = ""
	}
	return d
}

func changeWords(all []change) string {
	var words []string
	for _, c := range all {
		words = append(words, fmt.Sprintf("%s: %s instead of %s", c.Name, c.To, c.From))
	}
	return strings.Join(words, ", ")
}

func (p *Portal) discard(v *web.Visit) error {
	if err := p.drop(); err != nil {
		return err
	}
	v.Note("discarded what was saved of HA Configuration", "", account.Done)
	return v.Go("/maintenance/ha", "What was saved is discarded; the window shows what is in force.")
}

// step is what the page between Save and Apply shows.
type step struct {
	window
	Deep  bool   // it changes what the node does, not only how it watches
	Cost  string // of becoming Active
	Fault string
	No    *web.Refusal
}

func (p *Portal) confirm(v *web.Visit) error {
	s, _, err := p.step(v)
	if err != nil {
		return err
	}
	if len(s.Changes) == 0 {
		return v.Go("/maintenance/ha", "There is nothing to apply.")
	}
	return v.Render("apply", "Apply HA Configuration", s)
}

func (p *Portal) step(v *web.Visit) (step, []nodeapi.Setting, error) {
	w, list, err := p.gather(v)
	if err != nil {
		return step{}, nil, err
	}
	s := step{window: w}
	if !w.Saved {
		s.Changes = nil
		return s, list, nil
	}
	s.Deep = len(w.Draft.switches(w.Status)) > 0
	for _, c := range w.Draft.switches(w.Status) {
		if c.To == active || c.Name == "Mode" && c.To == primary && w.Status.State != ha.Active {
			s.Cost = w.Loss
		}
	}
	return s, list, nil
}

// apply puts what was saved into force: the settings and then what the node
// does; if the second is refused, the first are taken back.
func (p *Portal) apply(v *web.Visit) error {
	s, list, err := p.step(v)
	if err != nil {
		return err
	}
	if len(s.Changes) == 0 {
		return v.Go("/maintenance/ha", "There is nothing to apply: somebody has applied or discarded it meanwhile.")
	}
	again := func(code int) error {
		v.Status(code)
		return v.Render("apply", "Apply HA Configuration", s)
	}
	if v.Field("version") != s.Version {
		s.Fault = "Somebody else has saved something since you opened this page. What stands here now is theirs."
		return again(http.StatusConflict)
	}
	if s.Deep {
		if v.Field("name") != p.Name {
			s.Fault = fmt.Sprintf("Type this node's name, %s, to show that you mean it.", p.Name)
			return again(http.StatusUnprocessableEntity)
		}
		if err := v.Prove(); err != nil {
			s.Fault = strings.ToUpper(err.Error()[:1]) + err.Error()[1:] + "."
			return again(http.StatusUnprocessableEntity)
		}
	}
	did := changeWords(s.Changes)
	if err := p.bringIntoForce(v, s.Draft, s.Status, list); err != nil {
		no, ok := refusal("Nothing was applied", err).(*web.Refusal)
		if !ok {
			return err
		}
		v.Note("tried to apply HA Configuration: "+did, v.Field("reason"), no.Why)
		s.No = no
		if no.Status == http.StatusPreconditionFailed {
			no.Do = "Open HA Configuration, look at what is in force now, and save again."
		}
		return again(no.Status)
	}
	if err := p.drop(); err != nil {
		return err
	}
	v.Note("applied HA Configuration: "+did, v.Field("reason"), account.Done)
	return v.Go("/maintenance/ha?applied", "")
}

func (p *Portal) bringIntoForce(v *web.Visit, d *draft, s nodeapi.Status, list []nodeapi.Setting) error {
	ctx, cancel := ask(v)
	defer cancel()
	to, back := map[string]string{}, map[string]string{}
	for _, c := range d.settings(list) {
		to[c.Name], back[c.Name] = c.To, c.From
	}
	if len(to) > 0 {
		if _, err := p.node.Save(ctx, to, d.Tag); err != nil {
			return err
		}
	}
	err := p.turn(v, d, s)
	if err != nil && len(to) > 0 {
		if _, undo := p.node.Save(ctx, back, ""); undo != nil {
			return fmt.Errorf("%w; and the settings, which were saved before it, could not be taken back: %w", err, undo)
		}
	}
	return err
}

// turn has the node do what the draft says it is.
func (p *Portal) turn(v *web.Visit, d *draft, s nodeapi.Status) error {
	ctx, cancel := ask(v)
	defer cancel()
	reason := v.Field("reason")
	mode := strings.ToLower(d.Mode)
	var err error
	switch {
	case !d.Enabled && s.Enabled:
		_, err = p.node.Disable(ctx, reason)
	case d.Enabled && !s.Enabled:
		_, err = p.node.Enable(ctx, mode, reason)
	}
	if err != nil {
		return err
	}
	switch changes := d.switches(s); {
	case slices.ContainsFunc(changes, func(c change) bool { return c.Name == "Node Status" }):
		role := map[string]string{active: "primary", passive: "secondary"}[d.Node]
		_, err = p.node.Role(ctx, role, reason)
	case d.Enabled == s.Enabled && mode != "" && d.Mode != cast(s):
		_, err = p.node.Role(ctx, mode, reason)
	}
	return err
}
