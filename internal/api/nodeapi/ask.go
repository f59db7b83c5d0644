package nodeapi

import (
	"context"
	"net/http"
)

// Status tells how the node is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.Get(ctx, "status", &s)
	return s, err
}

// Role sends the node to a Mode, primary or secondary: the command failover
// mode (EPMM guide, Table 5). It is on its way when this returns.
func (c *Client) Role(ctx context.Context, role, reason string) (Answer, error) {
	return c.post(ctx, "role", Request{Role: role, Reason: reason})
}

// Enable sets High Availability to Enable; mode is primary, secondary, or empty
// for the one that it had.
func (c *Client) Enable(ctx context.Context, mode, reason string) (Answer, error) {
	on := true
	return c.post(ctx, "ha", Request{Enable: &on, Mode: mode, Reason: reason})
}

// Disable sets High Availability to Disable.
func (c *Client) Disable(ctx context.Context, reason string) (Answer, error) {
	off := false
	return c.post(ctx, "ha", Request{Enable: &off, Reason: reason})
}

// Pause has nothing happen by itself from now on, or lets it again.
func (c *Client) Pause(ctx context.Context, on bool, reason string) (Answer, error) {
	return c.post(ctx, "pause", Request{Enable: &on, Reason: reason})
}

// ClientConnection lets new clients in, or keeps them out.
func (c *Client) ClientConnection(ctx context.Context, on bool, reason string) (Answer, error) {
	return c.post(ctx, "client-connection", Request{Enable: &on, Reason: reason})
}

// Sync is Run Sync Now from a host.
func (c *Client) Sync(ctx context.Context, host, reason string) (Answer, error) {
	return c.post(ctx, "sync", Request{Host: host, Reason: reason})
}

// SyncAccepting is Sync, and lets through what the guards find: a person has
// looked at it.
func (c *Client) SyncAccepting(ctx context.Context, host, reason string) (Answer, error) {
	return c.post(ctx, "sync", Request{Host: host, Reason: reason, Accept: true})
}

// Verify has a stand-by start its application, count, and stop it again (EPMM
// guide, Table 3, task 3).
func (c *Client) Verify(ctx context.Context) (v Verified, err error) {
	err = c.Ask(ctx, http.MethodPost, "validate", Request{}, &v)
	return v, err
}

// Rollback puts an older generation of the copy into force.
func (c *Client) Rollback(ctx context.Context, to uint64, reason string) (r Rolled, err error) {
	err = c.Ask(ctx, http.MethodPost, "rollback", Request{To: to, Reason: reason}, &r)
	return r, err
}

func (c *Client) post(ctx context.Context, path string, q Request) (a Answer, err error) {
	err = c.Ask(ctx, http.MethodPost, path, q, &a)
	return a, err
}

// Settings gives every setting, and the tag that names them as they are.
func (c *Client) Settings(ctx context.Context) (all []Setting, tag string, err error) {
	h, err := c.do(ctx, call{method: http.MethodGet, path: "settings"}, &all)
	return all, h.Get("ETag"), err
}

// Save changes settings, by name. With a tag it is refused (412) if they are
// not those any more.
func (c *Client) Save(ctx context.Context, change map[string]string, tag string) (a Answer, err error) {
	_, err = c.do(ctx, call{http.MethodPut, "settings", tag, Request{Settings: change}}, &a)
	return a, err
}

// History gives every change of what the node is.
func (c *Client) History(ctx context.Context) (all []Transition, err error) {
	err = c.Get(ctx, "history", &all)
	return all, err
}

// SyncHistory gives the Sync History.
func (c *Client) SyncHistory(ctx context.Context) (all []Sync, err error) {
	err = c.Get(ctx, "sync-history", &all)
	return all, err
}

// Preflight looks at what a pair needs.
func (c *Client) Preflight(ctx context.Context) (all []Item, err error) {
	err = c.Get(ctx, "preflight", &all)
	return all, err
}

// NotifyTest sends a test mail and tells to whom it went.
func (c *Client) NotifyTest(ctx context.Context) (to string, err error) {
	var s Sent
	err = c.Ask(ctx, http.MethodPost, "notify-test", Request{}, &s)
	return s.To, err
}

// Facts gives what the node tells of itself.
func (c *Client) Facts(ctx context.Context) (f Facts, err error) {
	err = c.Get(ctx, "facts", &f)
	return f, err
}

// Log gives the end of the log HighAvailability, or all of it.
func (c *Client) Log(ctx context.Context, all bool) (text []byte, err error) {
	path := "log"
	if all {
		path += "?all"
	}
	err = c.Get(ctx, path, &text)
	return text, err
}
