package nodeapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Client asks a node. Its methods give *Unreachable if nobody answered, and
// *Refused if the node did not do what it was asked.
type Client struct {
	at   string // as people name it
	base string // of URLs, without an end slash
	http *http.Client
}

// New gives a client of the node of this machine, by the path of its socket.
func New(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return newClient(socket, "http://node", &http.Transport{DialContext: dial})
}

// NewTLS gives a client of the node at a URL such as https://192.0.2.10:8443,
// with what proves each to the other: a key of its own, and the pins that it
// expects.
func NewTLS(at string, config *tls.Config) *Client {
	return newClient(at, strings.TrimRight(at, "/"), &http.Transport{
		DialContext: new(net.Dialer).DialContext, TLSClientConfig: config, MaxResponseHeaderBytes: 16 << 10,
	})
}

func newClient(at, base string, transport *http.Transport) *Client {
	return &Client{at, base, &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close gives up the connections that wait for the next question.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Unreachable says that no node answers.
type Unreachable struct {
	At  string // a socket's path, or a URL
	Err error
}

func (u *Unreachable) Error() string { return fmt.Sprintf("no answer on %s: %v", u.At, u.Err) }
func (u *Unreachable) Unwrap() error { return u.Err }

// Refused is what a node answers that does not do what it is asked.
type Refused struct {
	Fault
	Code int // of HTTP: 400 not understood, 401 and 403 not trusted, 409 not now, 412 changed meanwhile, 503 ending
}

func (r *Refused) Error() string { return r.Why }

// mostAnswered is the most that an answer may have: a whole log.
const mostAnswered = 16 << 20

// Get reads the document at a path below /ha/v1/.
func (c *Client) Get(ctx context.Context, path string, into any) error {
	_, err := c.do(ctx, call{method: http.MethodGet, path: path}, into)
	return err
}

// Ask has something done at a path below /ha/v1/; q is its body, and into takes
// what came of it unless it is nil.
func (c *Client) Ask(ctx context.Context, method, path string, q, into any) error {
	_, err := c.do(ctx, call{method: method, path: path, body: q}, into)
	return err
}

// call is one question.
type call struct {
	method, path, match string // match: If-Match
	body                any    // nil: none
}

func (c *Client) do(ctx context.Context, q call, into any) (http.Header, error) {
	resp, err := c.send(ctx, q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswered))
	if err != nil {
		return nil, &Unreachable{c.at, plain(err)}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp.StatusCode, text)
	}
	switch into := into.(type) {
	case nil:
		return resp.Header, nil
	case *[]byte:
		*into = text
		return resp.Header, nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return nil, &Unreachable{c.at, errors.New("what answers is no node: " + err.Error())}
	}
	return resp.Header, nil
}

// send asks and leaves the answer's body to be read and closed.
func (c *Client) send(ctx context.Context, q call) (*http.Response, error) {
	var body io.Reader
	if q.body != nil {
		text, err := json.Marshal(q.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, c.base+"/ha/v1/"+q.path, body)
	if err != nil {
		return nil, err
	}
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.match != "" {
		req.Header.Set("If-Match", q.match)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &Unreachable{c.at, plain(err)}
	}
	return resp, nil
}

func refusal(code int, text []byte) *Refused {
	r := &Refused{Code: code}
	if json.Unmarshal(text, &r.Fault) != nil || r.Why == "" {
		r.Why = fmt.Sprintf("the node answers %d: %.200q", code, text)
	}
	return r
}

// plain leaves the URL out of an error: who was asked is said already.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
