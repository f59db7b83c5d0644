package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// News is what a follower is told: how a group is now, or that the API is
// away.
type News struct {
	Group Group
	Away  error     // not nil: the API does not answer; Group says nothing
	Since time.Time // since when it is away, by our clock
}

// Follow tells how every group is, or the one named if group is not empty, and
// then of every change, until ctx ends. Once it has been told of anything it
// outlives the API going away: it tries again, says so if that fails too, and
// when it comes back is given what it missed. Its error is nil when ctx has ended.
func (c *Client) Follow(ctx context.Context, group string, tell func(News)) error {
	f := &follower{client: c, group: group, tell: tell}
	for {
		err := f.stream(ctx)
		var unreachable *Unreachable
		var fault *Fault
		switch {
		case ctx.Err() != nil:
			return nil
		case !f.told:
			return err
		case !errors.As(err, &unreachable) && !errors.As(err, &fault): // an unknown group stays unknown
			return err
		case f.away.IsZero(): // a reload of the server; the next try will do
			f.away = time.Now()
		case !f.said:
			f.said = true
			tell(News{Away: err, Since: f.away})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.again):
		}
	}
}

type follower struct {
	client *Client
	group  string
	tell   func(News)
	saw    string    // the id of the last event
	told   bool      // an event has come
	away   time.Time // since when nothing answers, zero: it does
	said   bool      // that has been told
}

// stream follows one connection to its end.
func (f *follower) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	path := "/understudy/events"
	if f.group != "" {
		path += "?group=" + url.QueryEscape(f.group)
	}
	req, err := f.client.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	if f.saw != "" {
		req.Header.Set("Last-Event-ID", f.saw)
	}
	resp, err := f.client.http.Do(req)
	if err != nil {
		return f.client.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return f.client.take(ctx, resp, f.group, nil)
	}
	return f.read(resp.Body, time.AfterFunc(f.client.quiet, func() { cancel(errors.New("silent")) }))
}

// read takes events until the connection ends. A line of any kind sets the
// alarm anew; when it goes off the connection is taken for dead.
func (f *follower) read(body io.Reader, alarm *time.Timer) error {
	defer alarm.Stop()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, mostAnswer)
	var id, data string
	for lines.Scan() {
		alarm.Reset(f.client.quiet)
		switch field, value, _ := strings.Cut(lines.Text(), ":"); field {
		case "id":
			id = strings.TrimPrefix(value, " ")
		case "data":
			data = strings.TrimPrefix(value, " ")
		case "": // a comment, or the empty line that ends an event
			if value != "" || data == "" {
				continue
			}
			var g Group
			if err := json.Unmarshal([]byte(data), &g); err != nil {
				return &Unreachable{f.client.at, fmt.Errorf("an event cannot be read: %w", err)}
			}
			f.saw, f.told, f.away, f.said, data = id, true, time.Time{}, false, ""
			f.tell(News{Group: g})
		}
	}
	err := lines.Err()
	if err == nil {
		err = errors.New("the connection was closed")
	}
	return &Unreachable{f.client.at, err}
}
