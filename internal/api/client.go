package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Where an API is when nobody says it.
const (
	SidecarSocket = "/run/understudy/sidecar.sock"
	CaddyAdmin    = "http://localhost:2019"
)

// Where gives the place of the API: the one given, else the environment's
// $UNDERSTUDY_API, else the sidecar's socket if it is there, else Caddy's
// admin endpoint.
func Where(given, environment string, there func(path string) bool) string {
	switch {
	case given != "":
		return given
	case environment != "":
		return environment
	case there(SidecarSocket):
		return SidecarSocket
	}
	return CaddyAdmin
}

// Client asks an API. Its methods may be called from any goroutine.
//
// Their errors are *Unreachable when no API answers, *ha.Refusal when a wish
// is refused, *UnknownGroup, and *Fault for any other no.
type Client struct {
	at     string
	base   string
	token  string
	http   *http.Client
	within time.Duration // one call
	quiet  time.Duration // the longest silence of an event stream
	again  time.Duration // until a lost event stream is tried again
}

// NewClient gives a client of the API at a place: the path of a unix socket or
// an http or https URL. token is sent along if it is not empty.
func NewClient(at, token string) (*Client, error) {
	c := &Client{at: at, base: at, token: token, within: 10 * time.Second, quiet: 45 * time.Second, again: time.Second}
	dialer := &net.Dialer{Timeout: 3 * time.Second}
	transport := &http.Transport{ // no proxy: the place is meant as it is written
		DialContext: dialer.DialContext, ResponseHeaderTimeout: c.within, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second,
	}
	path, unix := strings.CutPrefix(at, "unix:")
	switch u, err := url.Parse(at); {
	case unix, strings.ContainsAny(at[:min(1, len(at))], "/."):
		c.base = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("%q is neither the path of a socket nor an http URL", at)
	default:
		c.base = u.Scheme + "://" + u.Host + strings.TrimSuffix(u.EscapedPath(), "/")
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// At is the place of the API, as it was given.
func (c *Client) At() string { return c.at }

// Unreachable says that no API answers at a place.
type Unreachable struct {
	At  string
	Err error
}

func (u *Unreachable) Error() string { return fmt.Sprintf("no answer from %s: %v", u.At, u.Err) }

func (u *Unreachable) Unwrap() error { return u.Err }

// UnknownGroup says that the API has no such group, and which it has.
type UnknownGroup struct {
	Name   string
	Groups []string
}

func (u *UnknownGroup) Error() string {
	return fmt.Sprintf("there is no group %q; there are: %s", u.Name, strings.Join(u.Groups, ", "))
}

// Groups gives every group.
func (c *Client) Groups(ctx context.Context) ([]Group, error) {
	var list GroupList
	return list.Groups, c.call(ctx, call{method: http.MethodGet, path: "/understudy/groups"}, &list)
}

// Group gives one group.
func (c *Client) Group(ctx context.Context, name string) (Group, error) {
	var g Group
	return g, c.call(ctx, call{method: http.MethodGet, path: groupPath(name), group: name}, &g)
}

// History gives the newest limit changes of a group, oldest first.
func (c *Client) History(ctx context.Context, name string, limit int) ([]Change, error) {
	var list HistoryList
	path := fmt.Sprintf("%s/history?limit=%d", groupPath(name), limit)
	return list.History, c.call(ctx, call{method: http.MethodGet, path: path, group: name}, &list)
}

// Opinion gives what the watcher behind the API believes of a group.
func (c *Client) Opinion(ctx context.Context, name string) (Opinion, error) {
	var o Opinion
	return o, c.call(ctx, call{method: http.MethodGet, path: "/understudy/opinion/" + url.PathEscape(name), group: name}, &o)
}

// Act asks for one of Verbs.
func (c *Client) Act(ctx context.Context, name, verb string, wish Body) (Outcome, error) {
	var o Outcome
	return o, c.call(ctx, call{method: http.MethodPost, path: groupPath(name) + "/" + verb, group: name, send: wish}, &o)
}

func groupPath(name string) string { return "/understudy/groups/" + url.PathEscape(name) }

// call is one question.
type call struct {
	method, path string
	group        string // that the question is about, empty: none
	send         any    // the body, nil: none
}

// call asks and decodes the answer.
func (c *Client) call(ctx context.Context, ask call, take any) error {
	ctx, cancel := context.WithTimeout(ctx, c.within)
	defer cancel()
	var body io.Reader
	if ask.send != nil {
		text, err := json.Marshal(ask.send)
		if err != nil {
			return fmt.Errorf("write the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	req, err := c.request(ctx, ask.method, ask.path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	return c.take(ctx, resp, ask.group, take)
}

func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// mostAnswer is the most that an answer may have, in bytes.
const mostAnswer = 16 << 20

// take reads an answer: the document, or what kind of no it is.
func (c *Client) take(ctx context.Context, resp *http.Response, group string, doc any) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return c.unreachable(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, doc); err != nil {
			return &Unreachable{c.at, fmt.Errorf("what answers there does not speak the Understudy API: %s", quoted(string(text), 60))}
		}
		return nil
	}
	f := &Fault{Status: resp.StatusCode}
	if err := json.Unmarshal(text, f); err != nil || f.What == "" {
		return &Unreachable{c.at, fmt.Errorf("what answers there does not speak the Understudy API: %s, %s", resp.Status, quoted(string(text), 60))}
	}
	switch {
	case resp.StatusCode == http.StatusConflict:
		return &f.Refusal
	case f.Code == UnknownName:
		return &UnknownGroup{Name: group, Groups: f.Groups}
	}
	return f
}

// unreachable shortens what net/http says of a failed request.
func (c *Client) unreachable(ctx context.Context, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("nothing came within %v", c.within)
	}
	return &Unreachable{c.at, err}
}
