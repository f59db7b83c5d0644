package api

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Paint gives words a colour. The zero value leaves them as they are.
type Paint struct {
	Good, Bad, Faint func(string) string
}

func (p Paint) good(s string) string  { return painted(p.Good, s) }
func (p Paint) bad(s string) string   { return painted(p.Bad, s) }
func (p Paint) faint(s string) string { return painted(p.Faint, s) }

func painted(with func(string) string, s string) string {
	if with == nil || s == "" {
		return s
	}
	return with(s)
}

// cut gives the first n runes of a text that others wrote, at most, without
// what a terminal would obey.
func cut(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, strings.TrimSpace(s))
	if utf8.RuneCountInString(s) > n {
		return string([]rune(s)[:n-1]) + "…"
	}
	return s
}

// quoted is cut, in quotes.
func quoted(s string, n int) string { return `"` + cut(s, n) + `"` }

// Age says how long something lasts, with the precision people want.
func Age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// clock says when something was, short if it was within a day of now.
func clock(t, now time.Time) string {
	if now.Sub(t).Abs() < 24*time.Hour {
		return t.UTC().Format("15:04:05 UTC")
	}
	return stamp(t)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// took says how long a probe took.
func took(ms float64) string {
	switch {
	case ms >= 1000:
		return fmt.Sprintf("%.1f s", ms/1000)
	case ms < 1:
		return "<1 ms"
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// pad fills s up to n runes on the right, padLeft on the left.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}

func padLeft(s string, n int) string {
	return strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s))) + s
}

// widths gives the longest cell of every column, in runes.
func widths(rows [][]string) []int {
	var w []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(w) {
				w = append(w, 0)
			}
			w[i] = max(w[i], utf8.RuneCountInString(cell))
		}
	}
	return w
}

// count says how many of a thing there are.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}
