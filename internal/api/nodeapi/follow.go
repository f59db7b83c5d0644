package nodeapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// StillHere is how often the stream of events says something at the least.
const StillHere = 5 * time.Second

// Follow tells how the node is and then every change of it, until ctx ends (then
// its error is nil) or the connection does. Each Status is the whole truth, so
// that whoever calls Follow again has missed nothing.
func (c *Client) Follow(ctx context.Context, tell func(Status)) error {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := c.send(inner, call{method: http.MethodGet, path: "events"})
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, mostAnswered))
		return refusal(resp.StatusCode, text)
	}
	alarm := time.AfterFunc(4*StillHere, func() { cancel(errors.New("silent")) })
	defer alarm.Stop()
	err = listen(resp.Body, tell, func() { alarm.Reset(4 * StillHere) })
	if ctx.Err() != nil {
		return nil
	}
	return &Unreachable{c.at, err}
}

// listen takes events (WHATWG HTML, 9.2) until the connection ends.
func listen(body io.Reader, tell func(Status), heard func()) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		heard()
		field, value, _ := strings.Cut(lines.Text(), ":")
		if field != "data" { // each event has one line of data
			continue
		}
		var s Status
		if err := json.Unmarshal([]byte(value), &s); err != nil {
			return fmt.Errorf("an event cannot be read: %w", err)
		}
		tell(s)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the connection was closed")
}
