package replicate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// run is one sync, from hello to commit.
type run struct {
	*Replica
	order   Order
	how     func() (Remote, error)
	remote  Remote
	report  *Report
	session *session
	hello   hello
	number  uint64
	asOf    time.Time
	sets    []Set // those that both sides have
	began   bool  // the journal knows of it
	changes []Change
	staged  []string          // folders to be written to disk before the commit
	bases   map[string]string // what the source knows to have been the same on both
	parts   []*part
	records map[string]record
	archive *Archive // of what only this node has
	owners  bool
}

// task does one step and writes it down.
func (v *run) task(ctx context.Context, name, dataset string, do func(context.Context) (detail string, err error)) error {
	t := Task{Name: name, Dataset: dataset, Started: time.Now().UTC()}
	v.phase(name, dataset)
	detail, err := do(ctx)
	t.Duration, t.Result, t.Detail = time.Since(t.Started), resultOf(err), detail
	if err != nil {
		t.Detail = cancelled(err).Error()
	}
	v.report.Tasks = append(v.report.Tasks, t)
	if err == nil {
		err = v.step(name + " " + dataset)
	}
	return err
}

// skip writes down a step that is not done.
func (v *run) skip(name, dataset, result, why string) {
	v.report.Tasks = append(v.report.Tasks, Task{Name: name, Dataset: dataset, Started: time.Now().UTC(), Result: result, Detail: why})
}

func (v *run) all(ctx context.Context) (err error) {
	if open := v.journal.open; open != nil {
		if err := v.settle(ctx, open); err != nil {
			return err
		}
	}
	if err := v.giveUp(ctx); err != nil {
		return err
	}
	v.owners = os.Geteuid() == 0
	v.asOf = time.Now().UTC()
	defer func() {
		if v.session != nil {
			_ = v.session.close()
		}
	}()
	if err := v.task(ctx, "connect", "", v.connect); err != nil {
		return err
	}
	offers, err := v.begin(ctx)
	if err != nil {
		return err
	}
	err = v.fetch(ctx, offers)
	if err == nil {
		err = v.commit(ctx)
	}
	if err != nil && v.journal.open != nil && v.journal.open.commit == nil {
		v.keepLeft(err)
		clean := context.WithoutCancel(ctx)
		if e := v.discard(clean, v.number, v.names()); e != nil {
			v.Log.Error("what a failed sync has left cannot be removed", "error", e)
		}
	}
	if err == nil {
		err = v.retain(context.WithoutCancel(ctx))
	}
	return err
}

func (v *run) names() (names []string) {
	for _, s := range v.sets {
		names = append(names, s.Name)
	}
	return names
}

// connect calls the source and asks who it is.
func (v *run) connect(ctx context.Context) (string, error) {
	var err error
	if v.remote, err = v.how(); err != nil {
		return "", err
	}
	if v.session, err = v.remote.dial(ctx); err != nil {
		return "", err
	}
	if err := v.session.ask(ctx, request{Do: "hello"}, &v.hello); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, release %s, epoch %d", v.order.From, orNone(v.hello.Release), v.hello.Epoch), v.meets(ctx, v.hello)
}

func orNone(text string) string {
	if text == "" {
		return "not told"
	}
	return quoted(text)
}

// meets says whether a copy may be taken from who says hello.
func (v *run) meets(ctx context.Context, h hello) error {
	own, err := v.Facts(ctx)
	switch {
	case err != nil:
		return err
	case h.Name != v.order.From:
		return fmt.Errorf("%s answers as %s: pair again", v.order.From, quoted(h.Name))
	case h.Protocol != protocol:
		return &Refused{Version, fmt.Sprintf("%s runs another release of Understudy; both nodes need the same", v.order.From)}
	case h.Release != own.Release:
		return &Refused{Version, fmt.Sprintf("the application is release %s here and %s on %s; both nodes need the same release", orNone(own.Release), orNone(h.Release), v.order.From)}
	case !h.Active && !h.Standby:
		return fmt.Errorf("%s neither serves nor stands by, so its data may be old; see: failover status, there", v.order.From)
	case h.Epoch < own.Epoch:
		return fmt.Errorf("the data of %s is of epoch %d, and this node has seen epoch %d: it is the older one", v.order.From, h.Epoch, own.Epoch)
	}
	if off := time.Since(h.Clock).Abs(); off > time.Minute {
		return fmt.Errorf("the clocks differ by %v; both nodes have to have the same time", off.Round(time.Second))
	}
	return nil
}

// begin lets the source make its offers for all that both sides have.
func (v *run) begin(ctx context.Context) (offers []offered, err error) {
	there := map[string]known{}
	for _, k := range v.hello.Datasets {
		there[k.Name] = k
	}
	for _, s := range v.Sets {
		if !s.enabled() {
			continue
		}
		k, both := there[s.Name]
		delete(there, s.Name)
		switch {
		case !both:
			v.skip("compare", s.Name, OneSided, "only this node has it enabled")
		case k.Type != s.Type:
			return nil, fmt.Errorf("dataset %s is of type %s here and %s on %s: make them the same in node.yaml", s.Name, s.Type, quoted(k.Type), v.order.From)
		default:
			for _, p := range k.Exclude {
				if err := CheckPattern(p); err != nil {
					return nil, fmt.Errorf("dataset %s: %s excludes what cannot be: %w", s.Name, v.order.From, err)
				}
			}
			s.Exclude = append(slices.Clone(s.Exclude), k.Exclude...)
			v.bases[s.Name] = k.Base
			v.sets = append(v.sets, s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		v.skip("compare", cutWords(name), OneSided, "only "+v.order.From+" has it enabled")
	}
	if len(v.sets) == 0 {
		return nil, errors.New("no dataset is enabled on both nodes: name the same ones in both node.yaml, and enable the optional ones on both")
	}
	err = v.task(ctx, "begin", "", func(ctx context.Context) (string, error) {
		v.asOf = time.Now().UTC()
		if err := v.session.ask(ctx, request{Do: "begin", Datasets: v.names()}, &offers); err != nil {
			return "", err
		}
		for _, o := range offers {
			if !slices.ContainsFunc(v.sets, func(s Set) bool { return s.Name == o.Dataset }) {
				return "", errors.New("the source offers what was not asked for")
			}
		}
		if len(offers) != len(v.sets) {
			return "", errors.New("the source does not offer everything that was asked for")
		}
		return fmt.Sprintf("%d datasets", len(offers)), nil
	})
	return offers, err
}

// fetch brings one dataset after the other to where it can be switched, in the
// order of the offers.
func (v *run) fetch(ctx context.Context, offers []offered) error {
	for _, o := range offers {
		set := v.sets[slices.IndexFunc(v.sets, func(s Set) bool { return s.Name == o.Dataset })]
		p := &part{run: v, Set: set, offer: o, record: v.Book.record(set.Name), there: v.bases[set.Name]}
		p.known, p.served = p.record.Base[v.order.From], p.record.Served
		p.record.Served = false
		v.parts = append(v.parts, p)
		if err := p.bring(ctx); err != nil {
			return err
		}
		v.records[set.Name] = p.record
	}
	return nil
}

// open enters the run into the journal, once, before anything is staged.
func (v *run) open() error {
	if v.began {
		return nil
	}
	err := v.Book.change(func(p *pages) {
		p.Attempt++
		v.number = p.Attempt
	})
	if err != nil {
		return err
	}
	v.began = true
	return v.journal.add(jotted{Do: jotBegin, Generation: v.number, Datasets: v.names()})
}

// root names the content of all datasets.
func (v *run) root() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(v.records)) {
		r := v.records[name]
		fmt.Fprintf(h, "%s %s %s\n", name, r.Root, r.Digest)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
