package remote

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Desk is the engine, as trusted hosts can ask it. A *ha.Refusal is told to the
// host that asked; any other error is told as "the engine cannot answer now".
// Every call may come twice and late: an answer may be lost, and the caller
// asks again.
type Desk interface {
	// Report tells how this node is, and what its page says.
	Report(ctx context.Context) (r ha.Report, said string, err error)

	// Hear is told by a node how that node is; the answer is how this one is
	// afterwards.
	Hear(ctx context.Context, peer string, t Telling) (r ha.Report, said string, err error)

	// StepDown is asked by a node.
	StepDown(ctx context.Context, peer string, d StepDown) error

	// TrafficDecided is told by a front. With a word the front is to look again
	// and to tell what is so then, with this word.
	TrafficDecided(ctx context.Context, front string, d TrafficDecided) (again string, err error)
}

// Telling is how a node is, by itself.
type Telling struct {
	Report ha.Report `json:"report"`
	Asks   bool      `json:"asks"` // it wants to be Active, and asks whether it may
}

// StepDown asks a node to stop serving. It names the epoch that is to end, so
// that one that comes late does not end a newer one.
type StepDown struct {
	Epoch uint64 `json:"epoch"`
	Firm  bool   `json:"firm"` // the caller will be Active, whatever this node says
}

// TrafficDecided tells a node where a front sends clients of a group from now
// on, and which node it has left.
type TrafficDecided struct {
	Group     string `json:"group"`
	Node      string `json:"node"`
	Epoch     uint64 `json:"epoch"` // of the Traffic
	Left      string `json:"left"`
	LeftEpoch uint64 `json:"left_epoch"`      // of the node that was left, as known when that was decided
	Again     string `json:"again,omitempty"` // the word of the answer that asked to look again
}

// Decided is the answer to it.
type Decided struct {
	Version int    `json:"version"`
	Again   string `json:"again,omitempty"` // look again, and tell what is so with this word
}

// Peered is the answer to GET and POST /ha/v1/peer.
type Peered struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`
	Report  ha.Report `json:"report"`
	Said    string    `json:"said"` // what its page for others says
	At      time.Time `json:"at"`   // its clock
}

// The paths of the API for trusted hosts.
const (
	pathPeer    = "/ha/v1/peer"
	pathStep    = "/ha/v1/step-down"
	pathTraffic = "/ha/v1/traffic-decided"
	pathKeys    = "/ha/v1/keys"
	pathPair    = "/ha/v1/pair"
)

// server answers trusted hosts.
type server struct {
	trust *Trust
	desk  Desk
	log   *slog.Logger
}

// Handler gives the API for trusted hosts. It belongs behind [Trust.ServerTLS];
// every request but pairing is refused unless its connection has proven the key
// of a trusted host. That also is what guards against replays: a TLS 1.3
// connection without early data takes each record once, in its place, under
// keys that no other connection has, so what somebody recorded is never read.
//
// What else is below /ha/v1/ goes to others, for nodes and admins.
func (t *Trust) Handler(desk Desk, others http.Handler, log *slog.Logger) http.Handler {
	s := &server{trust: t, desk: desk, log: log}
	mux := http.NewServeMux()
	for _, r := range []struct {
		pattern string
		answer  func(http.ResponseWriter, *http.Request, Host)
		roles   []Role
	}{
		{"GET " + pathPeer, s.peer, []Role{Node, Front, Admin}},
		{"POST " + pathPeer, s.hear, []Role{Node}},
		{"POST " + pathStep, s.stepDown, []Role{Node}},
		{"POST " + pathTraffic, s.traffic, []Role{Front}},
		{"POST " + pathKeys, s.keys, []Role{Node}},
	} {
		mux.Handle(r.pattern, t.Prove(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			host, _ := Proven(req.Context())
			r.answer(w, req, host)
		}), log, r.roles...))
	}
	mux.HandleFunc("POST "+pathPair, s.pair)
	mux.Handle("/ha/v1/", t.Prove(others, log, Node, Admin))
	return mux
}

type provenKey struct{}

// Proven gives the trusted host that a request comes from; false for one that
// did not come through [Trust.Prove].
func Proven(ctx context.Context) (Host, bool) {
	h, ok := ctx.Value(provenKey{}).(Host)
	return h, ok
}

// Prove lets only requests of trusted hosts of the given roles through, and
// tells the next handler which one it is: [Proven].
func (t *Trust) Prove(next http.Handler, log *slog.Logger, roles ...Role) http.Handler {
	var said atomic.Value // why the hosts could not be read, logged once
	said.Store("")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, err := t.prove(r, roles)
		var unread *unreadable
		if errors.As(err, &unread) && said.Swap(unread.err.Error()) != unread.err.Error() {
			log.Error("the trusted hosts cannot be read, so that nobody is trusted", "error", unread.err)
		}
		if err != nil {
			refuse(w, http.StatusForbidden, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), provenKey{}, host)))
	})
}

// prove gives the host whose key the request's connection has proven. It is
// asked at every request, for a host may be removed while it is connected.
func (t *Trust) prove(r *http.Request, roles []Role) (Host, error) {
	if r.TLS == nil || r.TLS.Version < tls.VersionTLS13 {
		return Host{}, errors.New("only TLS 1.3 proves who asks")
	}
	pin, err := pinOfPeer(*r.TLS)
	if err != nil {
		return Host{}, errors.New("this is only for trusted hosts, and the connection shows no key")
	}
	host, found, err := t.Hosts.Find(pin)
	switch {
	case err != nil:
		return Host{}, &unreadable{err}
	case !found:
		return Host{}, errors.New("the key " + pin.String() + " is no trusted host's of " + t.name + "; pair again, or look whether it was removed: failover trusted-hosts list")
	}
	for _, role := range roles {
		if host.Role == role {
			return host, nil
		}
	}
	return Host{}, errors.New(host.Name + " is trusted as a " + string(host.Role) + ", which may not ask for this")
}

// unreadable is the error of a node that does not know whom it trusts.
type unreadable struct{ err error }

func (u *unreadable) Error() string { return "the list of trusted hosts cannot be read" }

func (s *server) peer(w http.ResponseWriter, r *http.Request, _ Host) {
	report, said, err := s.desk.Report(r.Context())
	s.tell(w, report, said, err)
}

// hear takes what a node tells of itself.
func (s *server) hear(w http.ResponseWriter, r *http.Request, host Host) {
	var t Telling
	if err := decode(r.Body, &t); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	report, said, err := s.desk.Hear(r.Context(), host.Name, t)
	s.tell(w, report, said, err)
}

func (s *server) tell(w http.ResponseWriter, report ha.Report, said string, err error) {
	if err != nil {
		s.fail(w, err)
		return
	}
	send(w, http.StatusOK, Peered{version, s.trust.name, report, said, time.Now().UTC()})
}

func (s *server) stepDown(w http.ResponseWriter, r *http.Request, host Host) {
	var d StepDown
	if err := decode(r.Body, &d); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	s.done(w, s.desk.StepDown(r.Context(), host.Name, d))
}

func (s *server) traffic(w http.ResponseWriter, r *http.Request, host Host) {
	var d TrafficDecided
	err := decode(r.Body, &d)
	if err == nil && !(namePattern.MatchString(d.Group) && namePattern.MatchString(d.Node) && namePattern.MatchString(d.Left)) {
		err = errors.New("group, node and left must be names")
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	again, err := s.desk.TrafficDecided(r.Context(), host.Name, d)
	if err != nil {
		s.fail(w, err)
		return
	}
	send(w, http.StatusOK, Decided{version, again})
}

// keys takes the SSH keys and addresses that a node has now, and gives ours:
// failover deploy-ssh-key. Name, role and TLS key stay as they were proven.
func (s *server) keys(w http.ResponseWriter, r *http.Request, host Host) {
	var c Card
	if err := decode(r.Body, &c); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if c.Name != host.Name || c.Role != host.Role || c.Pin != host.Pin {
		refuse(w, http.StatusForbidden, errors.New("a host may send its own card only; this node knows it as "+host.Name))
		return
	}
	var rest *Unapplied
	if err := s.trust.Add(c, host.By, time.Now()); errors.As(err, &rest) {
		s.log.Error("a trusted host may not call over SSH yet; put that right, then: failover trusted-hosts apply", "host", host.Name, "error", err)
	} else if err != nil {
		refuse(w, http.StatusUnprocessableEntity, err)
		return
	}
	s.log.Info("trusted host sent its SSH key", "host", host.Name)
	send(w, http.StatusOK, s.trust.Card())
}

func (s *server) done(w http.ResponseWriter, err error) {
	if err != nil {
		s.fail(w, err)
		return
	}
	send(w, http.StatusOK, struct {
		Version int `json:"version"`
	}{version})
}

// fail tells a refusal as it is, and of another error only that there is one.
func (s *server) fail(w http.ResponseWriter, err error) {
	var no *ha.Refusal
	if errors.As(err, &no) {
		send(w, http.StatusConflict, fault{version, *no})
		return
	}
	s.log.Warn("a trusted host could not be answered", "error", err)
	refuse(w, http.StatusServiceUnavailable, errors.New("the engine cannot answer now"))
}

// fault is the answer to a request that was not done.
type fault struct {
	Version int        `json:"version"`
	Refusal ha.Refusal `json:"refusal"`
}

func refuse(w http.ResponseWriter, code int, why error) {
	send(w, code, fault{version, ha.Refusal{What: "nothing was done", Why: why.Error()}})
}

func send(w http.ResponseWriter, code int, doc any) {
	text, err := json.Marshal(doc)
	if err != nil {
		code, text = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(text)
}
