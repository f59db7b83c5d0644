package haengine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/remote"
)

// Counted is a Stock that knows what its copy has.
type Counted interface {
	// Counts gives rows and files of the copy in force, by dataset and table.
	Counts() map[string]int64
}

// compares adds what a run compares before and after.
func (c *control) compares(run *nodeapi.Run) {
	if hosts, err := c.hosts(); err == nil {
		run.Hosts = hosts
	}
	if s, ok := c.Stock.(Counted); ok {
		run.Copied = s.Counts()
	}
	for _, path := range []string{c.Dir, "/"} {
		var f syscall.Statfs_t
		if syscall.Statfs(path, &f) != nil {
			continue
		}
		size := uint64(f.Bsize) // #nosec G115 -- a block's size
		one := nodeapi.Room{Path: path, Free: f.Bavail * size, Size: f.Blocks * size}
		if !slices.ContainsFunc(run.Room, func(r nodeapi.Room) bool { return r.Free == one.Free && r.Size == one.Size }) {
			run.Room = append(run.Room, one)
		}
	}
	run.Checks = slices.ContainsFunc(slices.Concat(c.Lists.Download, c.Lists.Upgrade), func(word string) bool { return strings.Contains(word, "${DIGEST}") })
}

// errNoTrust says that this node trusts nobody by keys.
var errNoTrust = refuse("trust is not configured on this node (portal in node.yaml)")

// trusting gives the hosts that this node keeps.
func (c *control) trusting() (*remote.Trust, error) {
	t, ok := c.Peer.(*Trusted)
	if !ok {
		return nil, errNoTrust
	}
	return t.trust, nil
}

// hosts tells whom this node trusts.
func (c *control) hosts() ([]nodeapi.TrustedHost, error) {
	t, err := c.trusting()
	if err != nil {
		return nil, err
	}
	all, err := t.Hosts.List()
	hosts := []nodeapi.TrustedHost{}
	for _, h := range all {
		one := nodeapi.TrustedHost{Name: h.Name, Role: string(h.Role)}
		if h.Pin != (remote.Pin{}) {
			one.Key = h.Pin.String()
		}
		hosts = append(hosts, one)
	}
	return hosts, err
}

// trust changes whom this node trusts: what failover trusted-hosts does, for the
// run that has the lock or, without one, for whoever may steer the node.
func (c *control) trust(w http.ResponseWriter, r *http.Request) {
	var q nodeapi.TrustRequest
	if err := decode(w, r, mostAsked, &q); err != nil {
		give(w, http.StatusBadRequest, nodeapi.Fault{Why: "the request is not understood"}) // its words may be a secret
		return
	}
	a, err := c.changeTrust(r.Context(), q, c.who(r))
	if !c.failedRun(w, err) {
		give(w, http.StatusOK, a)
	}
}

func (c *control) changeTrust(ctx context.Context, q nodeapi.TrustRequest, who string) (a nodeapi.TrustAnswer, err error) {
	t, err := c.trusting()
	if err != nil {
		return a, err
	}
	if l := c.runs.holder(); l != nil && (l.Run != q.Run || l.Number != q.Number) {
		return a, refuse("the run %s has the lock since %s (%s)", l.Run, l.Since.Format(time.RFC3339), l.Reason)
	}
	did := ""
	var unknown *remote.Unknown
	switch {
	case q.Remove != "" && !q.Invite && q.Join == "":
		did = "removes " + q.Remove + " from the trusted hosts"
		if _, err = t.Remove(q.Remove); errors.As(err, &unknown) {
			err = nil // it is so
		}
	case q.Invite && q.Remove == "" && q.Join == "":
		did = "invites another node"
		var i remote.Invitation
		i, err = t.Invite(remote.Node, who, time.Now())
		a.Invitation = i.String()
	case q.Join != "" && q.Remove == "" && !q.Invite:
		var i remote.Invitation
		if i, err = remote.ParseInvitation(q.Join); err != nil {
			return a, wrong("this is no pairing string", "")
		}
		var h remote.Host
		h, err = t.Join(ctx, i, who)
		did = "pairs this node with " + h.Name
	default:
		return a, wrong("exactly one of remove, invite and join must be given", "")
	}
	if err != nil {
		return nodeapi.TrustAnswer{}, refuse("%v", err)
	}
	_, err = c.run(ctx, func() Outcome {
		c.note(fmt.Sprintf("%s %s", who, did))
		return Outcome{}
	})
	a.Hosts, _ = c.hosts()
	return a, err
}
