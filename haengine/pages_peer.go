package haengine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Headers of the status pages.
const (
	epochHeader   = "X-Understudy-Epoch"   // of an Active node: the epoch at which it serves
	profileHeader = "X-Understudy-Profile" // documented or safe: whether that epoch is a lease's
	reportHeader  = "X-Understudy-Report"  // the whole ha.Report as JSON, for the peer
)

// Pages is a Peer that tells of itself by its two status pages alone. It can be
// looked at and not be asked.
type Pages struct {
	root   string
	client *http.Client
}

// NewPages gives the peer whose status pages are at a root such as
// http://192.0.2.10:8080.
func NewPages(root string) *Pages {
	return &Pages{strings.TrimRight(root, "/"), &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives:      true, // a heartbeat shows that the peer can be reached anew
			DisableCompression:     true,
			DialContext:            new(net.Dialer).DialContext,
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Look asks for both pages at the same time (EPMM guide, Load balancer setup, 1
// and 2).
func (p *Pages) Look(ctx context.Context) (Sight, error) {
	began := time.Now()
	var active, standby page
	done := make(chan struct{})
	go func() {
		defer close(done)
		standby = p.get(ctx, ha.HAStatusPage)
	}()
	active = p.get(ctx, ha.StatusPage)
	<-done
	s := judge(active, standby)
	s.Took = time.Since(began)
	if !s.Heard {
		if active.err != nil && standby.err != nil && active.err.Error() == standby.err.Error() {
			return s, active.err
		}
		return s, errors.Join(active.err, standby.err)
	}
	return s, nil
}

// page is the answer to one GET.
type page struct {
	state  ha.State
	said   string
	report *ha.Report // nil: it sent none
	epoch  uint64
	date   time.Time
	ours   bool // it is a status page, whatever it says
	err    error
}

func (p *Pages) get(ctx context.Context, which ha.Page) page {
	var profile ha.Profile
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.root+profile.Path(which), nil)
	if err != nil {
		return page{err: err}
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return page{err: plain(err)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, ha.MaxPage))
	if err != nil {
		return page{err: fmt.Errorf("read %s: %w", profile.Path(which), plain(err))}
	}
	a := page{ours: strings.Contains(string(body), "MOBILEIRON-STATUS:")}
	a.state, a.said = profile.Read(which, string(body))
	if resp.StatusCode != http.StatusOK {
		a.state = ha.NotAvailable
	}
	if !a.ours {
		a.err = fmt.Errorf("%s answers %d and no status: %.80q", profile.Path(which), resp.StatusCode, a.said)
		return a
	}
	a.epoch, _ = strconv.ParseUint(resp.Header.Get(epochHeader), 10, 63)
	a.date, _ = http.ParseTime(resp.Header.Get("Date"))
	var r ha.Report
	if text := resp.Header.Get(reportHeader); text != "" && json.Unmarshal([]byte(text), &r) == nil {
		a.report = &r
	}
	return a
}

// plain leaves the URL out of an error of the client: the log names the peer.
func plain(err error) error {
	type wrapper interface{ Unwrap() error }
	if w, ok := err.(wrapper); ok && w.Unwrap() != nil && strings.Contains(err.Error(), "http") {
		return w.Unwrap()
	}
	return err
}

// judge gives what the two pages say together: the status page counts if it
// says OK, else the other one, which also knows Standby.
func judge(active, standby page) Sight {
	p := active
	if active.state != ha.Active && standby.ours {
		p = standby
	}
	s := Sight{Well: active.state == ha.Active, Heard: p.ours, Said: p.said, Date: p.date}
	switch {
	case !p.ours:
		return s
	case p.report != nil:
		s.Report = *p.report
	default: // not an engine of ours
		s.Report = ha.Report{Served: p.epoch, Reign: p.epoch, Runs: p.state == ha.Active}
	}
	s.Report.State = p.state
	return s
}

// Ask is Look: whoever cannot be asked promises nothing.
func (p *Pages) Ask(ctx context.Context, _ ha.Report) (Sight, error) { return p.Look(ctx) }

// Tell is Look: the peer reads this node's own pages.
func (p *Pages) Tell(ctx context.Context, _ ha.Report) (Sight, error) { return p.Look(ctx) }

// StepDown gives ErrNoTrust unless the peer does not serve.
func (p *Pages) StepDown(ctx context.Context, _ uint64, _ bool) error {
	s, err := p.Look(ctx)
	switch {
	case err != nil:
		return err
	case s.Report.Runs || s.Report.State == ha.Active:
		return ErrNoTrust
	}
	return nil
}
