package portal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/web"
	"github.com/understudy-ha/understudy/web/account"
)

// Trust is whom the node trusts. Its errors are sentences for people.
type Trust interface {
	// Show gives this node's Local Server SSH Key and its trusted hosts.
	Show() (local Local, hosts []Host, err error)
	// Add trusts the host of a Hostname/IP and an SSH key, or of a pairing
	// string if at is empty, and gives its name.
	Add(ctx context.Context, at, key, by string) (name string, err error)
	// Remove ends the trust in a host.
	Remove(name, by string) error
	// Test sees whether this node and a host can work together.
	Test(ctx context.Context, name string) error
	// Invite makes a pairing string for one other node, or one front.
	Invite(front bool, by string) (secret string, err error)
}

// Local is what this node tells of itself.
type Local struct {
	Key         string // Local Server SSH Key, to be pasted at the other server
	Fingerprint string // of its TLS key
}

// Host is a trusted one.
type Host struct {
	Name, Address, Kind, Pin, By string
	At                           time.Time
	Test                         bool // it can be tested from here
}

// trustPage is what Manage Trusted Hosts shows.
type trustPage struct {
	Local  Local
	Hosts  []Host
	Secret string // a pairing string that was just made
	None   bool   // this node has no portal listener for them
	May    bool
	At     string // what was written into the fields
	Key    string
	Fault  string
}

func (p *Portal) trustPage(v *web.Visit) (trustPage, error) {
	t := trustPage{May: v.May(account.Admin), None: p.Trust == nil}
	if t.None {
		return t, nil
	}
	var err error
	if t.Local, t.Hosts, err = p.Trust.Show(); err != nil {
		return t, &web.Refusal{Status: http.StatusServiceUnavailable, What: "The trusted hosts cannot be shown", Why: err.Error()}
	}
	return t, nil
}

func (p *Portal) trusted(v *web.Visit) error {
	t, err := p.trustPage(v)
	if err != nil {
		return err
	}
	return v.Render("trusted", "Manage Trusted Hosts", t)
}

// hostNames gives what the drop-down menu Hostname/IP has.
func (p *Portal) hostNames(peer string) []string {
	names := []string{peer}
	if p.Trust == nil {
		return names
	}
	_, hosts, _ := p.Trust.Show()
	for _, h := range hosts {
		if h.Kind == "node" && h.Name != peer {
			names = append(names, h.Name)
		}
	}
	return names
}

// changeTrust does what one of the forms asks. Each wants the password anew.
func (p *Portal) changeTrust(v *web.Visit) error {
	t, err := p.trustPage(v)
	if err != nil {
		return err
	}
	if t.None {
		return v.Render("trusted", "Manage Trusted Hosts", t)
	}
	did := ""
	if err = v.Prove(); err == nil {
		did, t.Secret, err = p.changeOneTrust(v)
	}
	if err != nil {
		v.Note("tried to change trust: "+did, "", err.Error())
		t.At, t.Key, t.Fault = v.Field("at"), v.Field("key"), capital(err.Error())
		v.Status(http.StatusUnprocessableEntity)
		return v.Render("trusted", "Manage Trusted Hosts", t)
	}
	v.Note(did, "", account.Done)
	if t.Secret != "" {
		return v.Render("trusted", "Manage Trusted Hosts", t)
	}
	return v.Go("/maintenance/ha/trusted", "Done: "+did+". Next: Test Connection.")
}

func (p *Portal) changeOneTrust(v *web.Visit) (did, secret string, err error) {
	ctx, cancel := ask(v)
	defer cancel()
	by, name := v.Session.User, v.Field("name")
	switch v.Field("do") {
	case "add":
		if v.Field("at") == "" || v.Field("key") == "" {
			return "add a host", "", errors.New("both Hostname/IP and SSH Key are needed")
		}
		name, err = p.Trust.Add(ctx, v.Field("at"), v.Field("key"), by)
		return fmt.Sprintf("%s is trusted", name), "", err
	case "join":
		name, err = p.Trust.Add(ctx, "", v.Field("pairing"), by)
		return fmt.Sprintf("%s and %s trust one another", p.Name, name), "", err
	case "invite":
		secret, err = p.Trust.Invite(v.Field("front") == "yes", by)
		return "made a pairing string", secret, err
	case "remove":
		return fmt.Sprintf("%.80s is trusted no more", name), "", p.Trust.Remove(name, by)
	}
	return "", "", errors.New("that is not among what this page can do")
}

// result is what the window HA - Test Connectivity shows.
type result struct {
	Host  string
	OK    bool
	Lines []string
}

// testConnection is Test Connection; its window says Test was successful, or
// what stands against it.
func (p *Portal) testConnection(v *web.Visit) error {
	if p.Trust == nil {
		return v.Go("/maintenance/ha/trusted", "")
	}
	ctx, cancel := context.WithTimeout(v.Request.Context(), 20*time.Second)
	defer cancel()
	r := result{Host: v.Field("name")}
	err := p.Trust.Test(ctx, r.Host)
	if r.OK = err == nil; err != nil {
		r.Lines = strings.Split(strings.TrimSpace(err.Error()), "\n")
	}
	v.Note("tested the connection to "+r.Host, "", map[bool]string{true: account.Done, false: "failed"}[r.OK])
	return v.Render("test", "HA - Test Connectivity", r)
}

// capital gives a sentence its capital letter.
func capital(text string) string {
	if text != "" && text[0] >= 'a' && text[0] <= 'z' {
		return string(text[0]-'a'+'A') + text[1:]
	}
	return text
}
