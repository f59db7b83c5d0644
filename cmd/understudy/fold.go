package main

import (
	"strings"
	"unicode/utf8"
)

// The columns that text for people has: as many as the terminal, but no more than
// can be read with ease, and plain where nobody says how many there are.
const (
	plainWidth = 80
	mostWidth  = 100
	leastWidth = 30
)

// columns gives how wide text for people may be.
func (s *session) columns() int {
	if w := s.width; s.terminal && w >= leastWidth {
		return min(w, mostWidth)
	}
	return plainWidth
}

// fold breaks lines that are wider than so many columns between two words. What
// goes on stands below the value of a line "  name   value", a little to the right
// of any other.
func fold(text string, columns int) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line, end := strings.TrimSuffix(line, "\n"), strings.HasSuffix(line, "\n")
		hang := 2
		if strings.HasPrefix(line, "  ") && len(line) > valueAt && columns > 2*valueAt {
			hang = valueAt
		}
		for utf8.RuneCountInString(line) > columns {
			at := breakAt(line, hang, columns)
			if at < 0 {
				break
			}
			out.WriteString(strings.TrimRight(line[:at], " ") + "\n")
			line = strings.Repeat(" ", hang) + strings.TrimLeft(line[at:], " ")
		}
		if out.WriteString(line); end {
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// breakAt gives the blank at which a line is broken: the last one that leaves no
// more than so many columns, else the first one; -1: there is none after hang.
func breakAt(line string, hang, columns int) int {
	last, column := -1, 0
	for i, r := range line {
		if r == ' ' && i > hang && strings.TrimLeft(line[:i], " ") != "" {
			if column > columns && last >= 0 {
				return last
			}
			if last = i; column > columns {
				return last
			}
		}
		column++
	}
	return last
}
