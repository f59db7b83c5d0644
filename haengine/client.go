package haengine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Client asks a node over its control socket.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient gives a client of the node whose socket is at a path.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &Client{socket, &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Unreachable says that nobody answers on a socket.
type Unreachable struct {
	Socket string
	Err    error
}

func (u *Unreachable) Error() string { return fmt.Sprintf("no answer on %s: %v", u.Socket, u.Err) }
func (u *Unreachable) Unwrap() error { return u.Err }

// Refused is what a node answers that does not do what it is asked.
type Refused struct {
	Fault
	Code int // of HTTP: 400 not understood, 409 not now, 503 ending
}

func (r *Refused) Error() string { return r.Why }

// mostAnswered is the most that an answer may have: a whole log.
const mostAnswered = 16 << 20

// Get reads a document; as text into a *[]byte.
func (c *Client) Get(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodGet, path, nil, into)
}

// Ask has something done and gives what came of it: *Unreachable or *Refused
// if nothing did.
func (c *Client) Ask(ctx context.Context, method, path string, q Request) (Answer, error) {
	var a Answer
	body, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	return a, c.do(ctx, method, path, body, &a)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://node/ha/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return &Unreachable{c.socket, plain(err)}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswered))
	if err != nil {
		return &Unreachable{c.socket, plain(err)}
	}
	if resp.StatusCode != http.StatusOK {
		r := &Refused{Code: resp.StatusCode}
		if json.Unmarshal(text, &r.Fault) != nil || r.Why == "" {
			r.Why = fmt.Sprintf("the node answers %d: %.200q", resp.StatusCode, text)
		}
		return r
	}
	if raw, ok := into.(*[]byte); ok {
		*raw = text
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return &Unreachable{c.socket, errors.New("what answers is no node: " + err.Error())}
	}
	return nil
}
