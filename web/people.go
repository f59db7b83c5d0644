package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/understudy-ha/understudy/web/account"
)

// people is what the page of users and sessions shows.
type people struct {
	Users    []account.User
	Sessions []account.Session
	Tokens   []account.Token
	Own      string // the id of one's own session
	Secret   string // of a token that was just made
	Fault    string
}

func (s *Site) peoplePages() {
	s.Page("/account", account.Viewer, func(v *Visit) error { return v.ownAccount("") })
	s.Act("/account", account.Viewer, changePassword)
	s.Page("/users", account.Admin, func(v *Visit) error { return v.showPeople("", "") })
	s.Act("/users", account.Admin, changePeople)
	s.Page("/audit", account.Admin, showAudit)
}

// own is what the page of one's own account shows.
type own struct {
	Sessions []account.Session
	Fault    string
}

func (v *Visit) ownAccount(fault string) error {
	d := own{Fault: fault}
	for _, s := range v.Site.Book.Sessions() {
		if s.User == v.Session.User {
			d.Sessions = append(d.Sessions, s)
		}
	}
	return v.Render("account", "Your account", d)
}

// changePassword changes one's own password, or ends one's other sessions.
func changePassword(v *Visit) error {
	book, name := v.Site.Book, v.Session.User
	if v.Field("do") == "end" {
		for _, s := range book.Sessions() {
			if s.User == name && s.ID != v.Session.ID {
				book.EndSession(s.ID)
			}
		}
		v.Note("ended the other sessions of "+name, "", account.Done)
		return v.Go("/account", "Your other sessions have ended.")
	}
	v.Session.Prove = time.Time{} // a password is changed by who knows it, however fresh the session
	err := v.Prove()
	fresh := v.Request.PostForm.Get("new")
	if err == nil && fresh != v.Request.PostForm.Get("again") {
		err = errors.New("the two new passwords differ")
	}
	if err == nil {
		err = book.SetPassword(name, fresh, v.Session.ID)
	}
	if err != nil {
		v.Note("tried to change the own password", "", err.Error())
		v.Status(http.StatusUnprocessableEntity)
		return v.ownAccount(Sentence(err))
	}
	v.Note("changed the own password", "", account.Done)
	return v.Go("/account", "Your password is changed, and your other sessions have ended.")
}

func (v *Visit) showPeople(secret, fault string) error {
	b := v.Site.Book
	if fault != "" {
		v.Status(http.StatusUnprocessableEntity)
	}
	return v.Render("users", "Users and sessions", people{b.Users(), b.Sessions(), b.Tokens(), v.Session.ID, secret, fault})
}

// changePeople does what one of the forms of the page asks. Each wants the
// password anew.
func changePeople(v *Visit) error {
	if err := v.Prove(); err != nil {
		return v.showPeople("", Sentence(err))
	}
	did, secret, err := v.changeOne(v.Field("do"), v.Field("name"))
	if err != nil {
		v.Note("tried: "+did, "", err.Error())
		return v.showPeople("", Sentence(err))
	}
	v.Note(did, "", account.Done)
	if secret != "" {
		return v.showPeople(secret, "")
	}
	return v.Go("/users", "Done: "+did+".")
}

func (v *Visit) changeOne(do, name string) (did, secret string, err error) {
	b := v.Site.Book
	role, roleErr := account.ParseRole(v.Field("role"))
	switch do {
	case "add":
		return fmt.Sprintf("added the user %.60s as %v", name, role), "", errors.Join(roleErr, b.AddUser(name, v.Request.PostForm.Get("new"), role))
	case "role":
		if roleErr != nil {
			return "changed a role", "", roleErr
		}
		return fmt.Sprintf("made %.60s %v", name, role), "", b.SetRole(name, role)
	case "password":
		return fmt.Sprintf("gave %.60s a new password", name), "", b.SetPassword(name, v.Request.PostForm.Get("new"), "")
	case "remove":
		return fmt.Sprintf("removed the user %.60s", name), "", b.RemoveUser(name)
	case "end":
		if !b.EndSession(v.Field("id")) {
			return "ended a session", "", errors.New("that session has ended already")
		}
		return fmt.Sprintf("ended the session %.20s of %.60s", v.Field("id"), name), "", nil
	case "token":
		var until time.Time
		if v.Field("until") != "" {
			if until, err = time.Parse("2006-01-02", v.Field("until")); err != nil {
				return "made a token", "", errors.New("the day is not like 2027-01-31")
			}
		}
		secret, err = b.AddToken(name, role, until)
		return fmt.Sprintf("made the token %.60s as %v", name, role), secret, errors.Join(roleErr, err)
	case "untoken":
		return fmt.Sprintf("removed the token %.60s", name), "", b.RemoveToken(name)
	}
	return "something unknown", "", errors.New("that is not among what this page can do")
}

func showAudit(v *Visit) error {
	entries, err := v.Site.Book.Audit(500)
	if err != nil {
		return &Refusal{http.StatusServiceUnavailable, "The audit log cannot be shown", err.Error(), "Look at its folder.", ""}
	}
	return v.Render("audit", "Audit log", entries)
}
