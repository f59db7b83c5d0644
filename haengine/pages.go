package haengine

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// Snapshot is an Engine at one moment.
type Snapshot struct {
	Member   ha.Member
	Settings Settings
	Broken   string    // why nothing is decided
	Since    time.Time // of the phase
	Peer     seen
	Fronts   []nodeapi.Opinion
	Answered nodeapi.RegisterNow
	Agents   *nodeapi.Agents // nil: they elect nobody
	machine  *ha.Machine
}

// publish lets others see how the engine is.
func (e *Engine) publish() {
	e.now.Store(&Snapshot{e.member, e.settings, e.broken, e.since, e.peer, e.fronts.opinions(), e.answered, e.tally(), e.machine})
	e.watch.tell()
}

// State gives what the pages say at this moment, and why it is NotAvailable. An
// engine whose loop was late is so until it has looked at its peer.
func (e *Engine) State() (ha.State, string) { return e.state(e.now.Load(), e.Clock()) }

func (e *Engine) state(s *Snapshot, now ha.Instant) (ha.State, string) {
	switch {
	case strings.HasPrefix(s.Broken, errEnded.Error()):
		return ha.NotAvailable, "ended"
	case s.Broken != "":
		return ha.NotAvailable, "state cannot be used"
	}
	state := s.machine.State(s.Member, now)
	switch fault := e.Door.Fault(); {
	case state == ha.NotAvailable && s.Member.Phase == ha.InActive:
		return state, "application"
	case state == ha.NotAvailable:
		return state, s.Member.Phase.String()
	case now-ha.Instant(e.support.Load()) > ha.Instant(tick+lateness):
		return ha.NotAvailable, "frozen"
	case state != ha.Active:
		return state, ""
	case !e.App.Well():
		return ha.NotAvailable, "application"
	case fault != "":
		return ha.NotAvailable, "client connection"
	}
	return state, ""
}

// Pages serves the two status pages (EPMM guide, Load balancer setup, 1 and 2),
// in every state.
func (e *Engine) Pages() http.Handler {
	mux := http.NewServeMux()
	for _, page := range []ha.Page{ha.StatusPage, ha.HAStatusPage} {
		mux.HandleFunc("GET "+ha.Profile{}.Path(page), func(w http.ResponseWriter, r *http.Request) { e.servePage(w, page) })
	}
	return mux
}

func (e *Engine) servePage(w http.ResponseWriter, page ha.Page) {
	s, now := e.now.Load(), e.Clock()
	state, why := e.state(s, now)
	report := s.machine.Report(s.Member, now)
	report.State, report.Known = state, max(s.Member.Served, s.Member.Seen)
	code, body := ha.FormatPage(page, state)
	if why != "" {
		body += " (" + why + ")"
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	if state == ha.Active && s.Member.Served > 0 {
		h.Set(epochHeader, strconv.FormatUint(s.Member.Served, 10))
	}
	h.Set(profileHeader, s.machine.Profile.String())
	if s.Broken == "" {
		text, _ := json.Marshal(report) // of numbers and words
		h.Set(reportHeader, string(text))
	}
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body+"\n")
}

// NewServer gives the HTTP server of a handler that anybody may call: short
// patience, small headers.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
}

// MayServe says whether what the door was told last still holds: neither was
// the engine frozen since, nor is its lease over.
func (e *Engine) MayServe() bool {
	s, now := e.now.Load(), e.Clock()
	m := s.Member
	m.AppBad = false // the application is its clients' own matter
	late := m.Phase == ha.InActive && s.machine.State(m, now) != ha.Active
	return s.Broken == "" && !late && now-ha.Instant(e.support.Load()) <= ha.Instant(tick+lateness)
}
