package web

import (
	"errors"
	"net/http"

	"github.com/understudy-ha/understudy/web/account"
)

// entry is what the page of the way in shows.
type entry struct {
	Setup bool   // there is no user yet
	Name  string // as it was given
	Next  string
	Fault string
}

// loginPage shows the way in, or on a new place the way to its first user.
func (s *Site) loginPage(w http.ResponseWriter, r *http.Request) {
	v := s.visit(w, r)
	if v.Session.User != "" {
		_ = v.Go("/", "")
		return
	}
	s.showLogin(v, entry{Next: s.next(r.URL.Query().Get("next"))}, 0)
}

func (s *Site) showLogin(v *Visit, e entry, status int) {
	e.Setup = s.Book.Empty()
	v.status, v.Session = status, account.Session{}
	title := "Log in"
	if e.Setup {
		title = "First start"
	}
	if err := v.Render("login", title, e); err != nil {
		v.Site.Log.Error("the login page could not be made", "error", err)
	}
}

// next gives the page to go to after a login.
func (s *Site) next(path string) string {
	if s.local(path) {
		return path
	}
	return s.Base + "/"
}

func (s *Site) login(w http.ResponseWriter, r *http.Request) {
	v := s.visit(w, r)
	if err := r.ParseForm(); err != nil {
		s.showLogin(v, entry{Fault: "The form could not be read."}, http.StatusBadRequest)
		return
	}
	name := v.Field("name")
	token, err := s.Book.Login(name, r.PostForm.Get("password"), v.From(), r.UserAgent())
	if err != nil {
		s.audit(r, name, "tried to log in", "", err.Error())
		s.showLogin(v, entry{Name: name, Next: s.next(v.Field("next")), Fault: Sentence(err)}, loginStatus(err))
		return
	}
	if v.token != "" {
		s.Book.Logout(v.token) // a session never goes on as another
	}
	s.audit(r, name, "logged in", "", account.Done)
	s.setCookie(w, r, token)
	http.Redirect(w, r, s.next(v.Field("next")), http.StatusSeeOther)
}

func loginStatus(err error) int {
	var later *account.Later
	if errors.As(err, &later) {
		return http.StatusTooManyRequests
	}
	return http.StatusUnauthorized
}

// setup makes the first user and logs it in.
func (s *Site) setup(w http.ResponseWriter, r *http.Request) {
	v := s.visit(w, r)
	if err := r.ParseForm(); err != nil {
		s.showLogin(v, entry{Fault: "The form could not be read."}, http.StatusBadRequest)
		return
	}
	name, password := v.Field("name"), r.PostForm.Get("password")
	var err error
	if password != r.PostForm.Get("again") {
		err = errors.New("the two passwords differ")
	} else {
		err = s.Book.Setup(v.Field("code"), name, password, v.From())
	}
	if err != nil {
		s.audit(r, name, "tried the setup code", "", err.Error())
		s.showLogin(v, entry{Name: name, Fault: Sentence(err)}, loginStatus(err))
		return
	}
	s.audit(r, name, "became the first user, an admin, by the setup code", "", account.Done)
	token, err := s.Book.Login(name, password, v.From(), r.UserAgent())
	if err != nil {
		s.showLogin(v, entry{Name: name, Fault: Sentence(err)}, loginStatus(err))
		return
	}
	s.setCookie(w, r, token)
	http.Redirect(w, r, s.Base+"/", http.StatusSeeOther)
}

func logout(v *Visit) error {
	v.Site.Book.Logout(v.token)
	v.Site.setCookie(v.Writer, v.Request, "")
	v.Writer.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	v.Note("logged out", "", account.Done)
	http.Redirect(v.Writer, v.Request, v.Site.Base+"/login", http.StatusSeeOther)
	return nil
}

// Sentence gives an error as people are shown it: it begins with a capital letter and ends with a full stop.
func Sentence(err error) string {
	text := err.Error()
	if text == "" {
		return ""
	}
	if c := text[0]; c >= 'a' && c <= 'z' {
		text = string(c-'a'+'A') + text[1:]
	}
	if last := text[len(text)-1]; last != '.' && last != '?' {
		text += "."
	}
	return text
}
