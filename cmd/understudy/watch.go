package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/understudy-ha/understudy/internal/api"
)

// watch shows every change until ctx ends: on a terminal the same blocks,
// drawn over; elsewhere one line a change.
func (s *session) watch(ctx context.Context, c *api.Client, args []string, asJSON bool) error {
	group := ""
	if len(args) == 1 {
		group = args[0]
	}
	show := s.appended(c.At())
	switch {
	case asJSON:
		show = s.documents(c.At())
	case s.lively():
		show = s.redrawn(c.At())
	}
	return c.Follow(ctx, group, show)
}

// documents gives a line of JSON a change.
func (s *session) documents(at string) func(api.News) {
	return func(n api.News) {
		if n.Away != nil {
			fmt.Fprintln(s.err, away(n, at))
			return
		}
		if text, err := json.Marshal(n.Group); err == nil {
			fmt.Fprintf(s.out, "%s\n", text)
		}
	}
}

// appended gives a line a change.
func (s *session) appended(at string) func(api.News) {
	return func(n api.News) {
		if n.Away != nil {
			fmt.Fprintln(s.err, away(n, at))
			return
		}
		fmt.Fprintln(s.out, api.StatusLine(n.Group))
	}
}

// redrawn shows the block of every group, in the order in which they came
// first, and under them that the API is away, while it is.
func (s *session) redrawn(at string) func(api.News) {
	var names []string
	blocks := map[string]string{}
	drawn := screen{out: s.out}
	return func(n api.News) {
		last := ""
		if n.Away != nil {
			last = "\n" + away(n, at) + "\nWhat stands above is how it was then.\n"
		} else {
			if !slices.Contains(names, n.Group.Name) {
				names = append(names, n.Group.Name)
			}
			blocks[n.Group.Name] = api.Status(n.Group, s.paint())
		}
		text := make([]string, len(names))
		for i, name := range names {
			text[i] = blocks[name]
		}
		drawn.draw(strings.Join(text, "\n") + last)
	}
}

func away(n api.News, at string) string {
	return fmt.Sprintf("No answer from %s since %s: %v", at, n.Since.UTC().Format("15:04:05 UTC"), reasonOf(n.Away))
}

// reasonOf gives an error without the place that the sentence names already.
func reasonOf(err error) error {
	var u *api.Unreachable
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// screen draws a text over the one before it.
type screen struct {
	out   io.Writer
	lines int // of the text that stands there
}

// draw writes at once, so that nothing flickers. Long lines are cut by the
// terminal rather than wrapped, so that a line is a line.
func (s *screen) draw(text string) {
	var out strings.Builder
	if s.lines > 0 {
		fmt.Fprintf(&out, "\x1b[%dA", s.lines)
	}
	out.WriteString("\x1b[J\x1b[?7l" + text + "\x1b[?7h")
	s.lines = strings.Count(text, "\n")
	_, _ = io.WriteString(s.out, out.String())
}
