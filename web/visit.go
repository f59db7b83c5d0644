package web

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/understudy-ha/understudy/web/account"
)

// Visit is one request of somebody who may be here.
type Visit struct {
	Writer  http.ResponseWriter
	Request *http.Request
	Site    *Site
	Session account.Session // User is empty: nobody
	Live    bool            // the page may follow the event stream
	Form    bool            // somebody may be filling in a form of it, so it does not reload by itself

	token  string
	status int // 0: 200
}

// liveHeader is sent by the script, whose requests do not show that somebody is
// there.
const liveHeader = "X-Understudy-Live"

func (s *Site) visit(w http.ResponseWriter, r *http.Request) *Visit {
	v := &Visit{Writer: w, Request: r, Site: s}
	if c, err := r.Cookie(s.cookieName(r)); err == nil {
		if session, ok := s.Book.Session(c.Value, r.Header.Get(liveHeader) == ""); ok {
			v.Session, v.token = session, c.Value
		}
	}
	return v
}

// cookieName is another one for each place, for cookies do not know ports. The
// prefix keeps others on the same site from setting it; without TLS, on this
// machine alone, browsers do not take it.
func (s *Site) cookieName(r *http.Request) string {
	name := "understudy-" + s.Book.ID()
	if r.TLS != nil {
		return "__Host-" + name
	}
	return name
}

func (s *Site) setCookie(w http.ResponseWriter, r *http.Request, token string) {
	c := &http.Cookie{
		Name: s.cookieName(r), Value: token, Path: "/", HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// ours says whether a request was meant for a name of this place. A page of
// another site can have its own name lead here (DNS rebinding); it cannot do so
// with an address.
func (s *Site) ours(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
		return true
	}
	if s.TLSNames && r.TLS != nil && host != "" && strings.EqualFold(r.TLS.ServerName, host) {
		return true
	}
	name, _ := os.Hostname()
	return host != "" && (strings.EqualFold(host, name) || slices.ContainsFunc(*s.hosts.Load(), func(h string) bool { return strings.EqualFold(h, host) }))
}

// From is the address of the one who asks.
func (v *Visit) From() string { return from(v.Request) }

func from(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// here says whether somebody on this machine asks.
func here(r *http.Request) bool {
	addr, err := netip.ParseAddr(from(r))
	return err == nil && addr.Unmap().IsLoopback()
}

// Field gives a field of the form, without blanks around it.
func (v *Visit) Field(name string) string { return strings.TrimSpace(v.Request.PostForm.Get(name)) }

// Note writes what was done, or tried, into the audit log.
func (v *Visit) Note(did, reason, outcome string) {
	v.Site.audit(v.Request, v.Session.User, did, reason, outcome)
}

func (s *Site) audit(r *http.Request, who, did, reason, outcome string) {
	if who == "" {
		who = "nobody"
	}
	s.Book.Note(account.Entry{Who: who, From: from(r), Did: did, Reason: reason, Outcome: outcome})
}

// May says whether the visitor has a role.
func (v *Visit) May(role account.Role) bool { return v.Session.Role >= role }

// Proven says that no password need be asked for.
func (v *Visit) Proven() bool { return v.Session.Proven(v.Site.Now()) }

// Prove checks the field password, for acts that want it anew, unless it was
// given a moment ago. The error is to be shown beside the field.
func (v *Visit) Prove() error {
	if v.Proven() {
		return nil
	}
	password := v.Request.PostForm.Get("password")
	if password == "" {
		return fmt.Errorf("give your password again: this takes more than a session")
	}
	if err := v.Site.Book.Prove(v.token, password, v.From()); err != nil {
		v.Note("gave a wrong password for "+v.Request.URL.Path, "", err.Error())
		if err == account.ErrWrong {
			return fmt.Errorf("that is not your password")
		}
		return err
	}
	v.Session.Prove = v.Site.Now()
	return nil
}

// Go sends the browser to a page below the base, where it is told something.
func (v *Visit) Go(path, say string) error {
	if say != "" {
		v.Site.mu.Lock()
		if len(v.Site.flash) > 10_000 {
			clear(v.Site.flash)
		}
		v.Site.flash[v.Session.ID] = say
		v.Site.mu.Unlock()
	}
	http.Redirect(v.Writer, v.Request, v.Site.Base+path, http.StatusSeeOther)
	return nil
}

// told gives what Go has left for this session, once.
func (v *Visit) told() string {
	if v.Request.Header.Get(liveHeader) != "" {
		return ""
	}
	v.Site.mu.Lock()
	defer v.Site.mu.Unlock()
	text := v.Site.flash[v.Session.ID]
	delete(v.Site.flash, v.Session.ID)
	return text
}

// Status sets the status of what Render shows; without it it is 200.
func (v *Visit) Status(code int) { v.status = code }

// Render shows a page of the templates.
func (v *Visit) Render(page, title string, data any) error {
	t := v.Site.pages[page]
	if t == nil {
		return fmt.Errorf("there is no template %s", page)
	}
	f := frame{
		Visit: v, Title: title, Face: v.Site.Face, Place: v.Site.Place, Base: v.Site.Base, Path: strings.TrimPrefix(v.Request.URL.Path, v.Site.Base),
		Session: v.Session, Proven: v.Proven(), Now: v.Site.Now().UTC(), D: data, Assets: names,
	}
	if v.Session.User != "" {
		f.Told, f.Nav = v.told(), v.Site.Nav(v)
		if v.Site.Bar != nil {
			f.Bar = v.Site.Bar(v)
		}
		f.Nav = append(f.Nav, v.security())
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, "layout", f); err != nil {
		return fmt.Errorf("make page %s: %w", page, err)
	}
	v.Writer.Header().Set("Content-Type", "text/html; charset=utf-8")
	if v.status != 0 {
		v.Writer.WriteHeader(v.status)
	}
	_, _ = v.Writer.Write(out.Bytes())
	return nil
}

// security is the last section of every menu.
func (v *Visit) security() Section {
	s := Section{"Security", []Item{{Name: "Your account", Path: "/account"}}}
	if v.May(account.Admin) {
		s.Items = append(s.Items, Item{Name: "Users and sessions", Path: "/users"}, Item{Name: "Audit log", Path: "/audit"})
	}
	return s
}
