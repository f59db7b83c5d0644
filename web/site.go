package web

import (
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/web/account"
)

// Config is what a Site needs.
type Config struct {
	Base  string // the path that everything is below, such as /console
	Face  string // what people call it
	Place string // which one it is: the host's or the node's name
	Book  *account.Book
	Hosts []string // names that it is reached by, beside those of this machine; see SetHosts
	// TLSNames says that a name will do that TLS has reached us by, because only
	// names that we have a certificate for come so far.
	TLSNames bool
	Pages    fs.FS                      // the face's own templates, *.html
	Nav      func(*Visit) []Section     // what the menu has
	Bar      func(*Visit) template.HTML // what stands over every page; nil: nothing
	Log      *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// Section is a heading of the menu with what is below it.
type Section struct {
	Name  string
	Items []Item
}

// Item is one line of the menu.
type Item struct {
	Name, Path string // the path below the base
	State      string // empty: no shape before it
}

// Site serves a face.
type Site struct {
	Config
	mux   *http.ServeMux
	pages map[string]*template.Template
	guard *http.CrossOriginProtection
	live  *live
	hosts atomic.Pointer[[]string]

	mu    sync.Mutex        // guards the field below
	flash map[string]string // by session: what it is told on its next page
}

// NewSite makes a Site with the pages that every face has: setup, login, users,
// sessions, tokens and the audit log. The error is of the templates.
func NewSite(c Config) (*Site, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Site{Config: c, mux: http.NewServeMux(), guard: http.NewCrossOriginProtection(), live: newLive(), flash: map[string]string{}}
	s.SetHosts(c.Hosts)
	var err error
	if s.pages, err = parse(c.Pages); err != nil {
		return nil, err
	}
	s.mux.Handle("GET "+c.Base+"/static/{file}", http.HandlerFunc(static))
	s.mux.HandleFunc("GET "+c.Base+"/live", s.follow)
	s.mux.HandleFunc("GET "+c.Base+"/login", s.loginPage)
	s.mux.HandleFunc("POST "+c.Base+"/login", s.login)
	s.mux.HandleFunc("POST "+c.Base+"/setup", s.setup)
	s.Act("/logout", account.Viewer, logout)
	s.peoplePages()
	s.mux.HandleFunc(c.Base+"/", s.lost)
	return s, nil
}

// SetHosts gives other names that the place is reached by.
func (s *Site) SetHosts(hosts []string) { s.hosts.Store(&hosts) }

// mostForm is the most that a form may have, in bytes.
const mostForm = 64 << 10

// Page serves GET and HEAD at a path below the base to those who have the role.
func (s *Site) Page(path string, role account.Role, show func(*Visit) error) {
	s.mux.Handle("GET "+s.Base+path, s.enter(role, show))
}

// Act takes POST at a path below the base from those who have the role.
func (s *Site) Act(path string, role account.Role, do func(*Visit) error) {
	s.mux.Handle("POST "+s.Base+path, s.enter(role, do))
}

// ServeHTTP answers what is below the base. Nothing of it may be framed, kept,
// guessed at or reached under a name that is not ours.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for name, value := range headers {
		h.Set(name, value)
	}
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if !s.ours(r) {
		s.plain(w, http.StatusMisdirectedRequest, "This is not a name of this server. Reach it by its address, or by a name that is configured (hosts).")
		return
	}
	if r.TLS == nil && !here(r) {
		s.plain(w, http.StatusForbidden, "This page speaks plain HTTP only on its own machine. Reach it by https.")
		return
	}
	if err := s.guard.Check(r); err != nil {
		s.audit(r, "", "was refused: a page of another site sent a form to "+r.URL.Path, "", "refused")
		s.plain(w, http.StatusForbidden, "A page of another site has sent this. Open this one and do it here.")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	s.mux.ServeHTTP(w, r)
}

var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

func (s *Site) plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n"))
}

// enter finds out who asks, and lets them through with the role.
func (s *Site) enter(role account.Role, do func(*Visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := s.visit(w, r)
		if v.Session.User == "" {
			s.toLogin(w, r)
			return
		}
		var err error
		switch {
		case r.Method == http.MethodPost && r.ParseForm() != nil:
			err = &Refusal{http.StatusBadRequest, "Nothing was done", "the form could not be read, or has more than it may", "Go back and fill it in again.", ""}
		case v.Session.Role < role:
			v.Note("was refused at "+r.URL.Path, "", "needs the role "+role.String())
			err = &Refusal{
				http.StatusForbidden, "This is not for you", "you are " + v.Session.Role.String() + ", and this takes the role " + role.String(),
				"Ask an admin to do it, or for the role.", "",
			}
		default:
			err = do(v)
		}
		if err != nil {
			v.fail(err)
		}
	})
}

// toLogin sends somebody who is nobody to the way in, and back after it.
func (s *Site) toLogin(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(liveHeader) != "" { // the script: a login page would take the place of what it shows
		s.plain(w, http.StatusUnauthorized, "The session has ended.")
		return
	}
	to := s.Base + "/login"
	if r.Method == http.MethodGet && r.URL.Path != s.Base+"/" {
		to += "?next=" + template.URLQueryEscaper(r.URL.RequestURI())
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// lost answers for a page that there is not.
func (s *Site) lost(w http.ResponseWriter, r *http.Request) {
	v := s.visit(w, r)
	if v.Session.User == "" {
		s.toLogin(w, r)
		return
	}
	v.fail(&Refusal{http.StatusNotFound, "There is no such page", "nothing is at this address", "Go on from the menu.", ""})
}

// Refusal is an error that people are shown: what did not happen, why, what to
// do, where to read.
type Refusal struct {
	Status             int
	What, Why, Do, See string
}

func (r *Refusal) Error() string { return r.What + ": " + r.Why }

// fail shows an error.
func (v *Visit) fail(err error) {
	var r *Refusal
	if !errors.As(err, &r) {
		v.Site.Log.Error("a page could not be made", "path", v.Request.URL.Path, "error", err)
		r = &Refusal{http.StatusInternalServerError, "This did not work", "of a fault of ours; the log has it", "Try again.", ""}
	}
	v.status = r.Status
	if err := v.Render("refused", r.What, r); err != nil {
		v.Site.plain(v.Writer, r.Status, r.What+": "+r.Why+". "+r.Do)
	}
}

// local says whether a path is one of this face, so that a link cannot lead
// elsewhere after a login.
func (s *Site) local(path string) bool {
	return strings.HasPrefix(path, s.Base+"/") && !strings.ContainsAny(path, "\\\r\n")
}
