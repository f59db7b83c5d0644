package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Fault is something wrong with a configuration, and what it is about:
// groups/mdm, groups/mdm/nodes/1/url and the like.
type Fault struct{ Path, Text string }

// Faults are in the order in which they were found.
type Faults []Fault

// Add adds a fault.
func (f *Faults) Add(path, format string, args ...any) {
	*f = append(*f, Fault{path, fmt.Sprintf(format, args...)})
}

// Remark is a sentence about a place of a file.
type Remark struct {
	File         string
	Line, Column int // from 1; 0: the file as a whole
	Text         string
	Source       string // the line, empty if there is none to show
}

// Error gives the remark on one line: file:line:column: sentence.
func (r Remark) Error() string {
	switch {
	case r.Line == 0:
		return r.File + ": " + r.Text
	case r.Column == 0:
		return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", r.File, r.Line, r.Column, r.Text)
}

// mostShown is how much of a line is shown, in letters.
const mostShown = 110

// Show gives the remark with its line and a caret below.
func (r Remark) Show() string {
	if strings.TrimSpace(r.Source) == "" {
		return r.Error() + "\n"
	}
	line := masked(r.Source)
	start := 0
	for start < len(line) && line[start] == ' ' {
		start++
	}
	caret := max(r.Column-1, start)
	if caret-start > mostShown*3/4 {
		start = caret - mostShown/2
	}
	if len(line)-start > mostShown {
		line = append(line[:start+mostShown:start+mostShown], '…')
	}
	shown := r.Error() + "\n    " + string(line[min(start, len(line)):]) + "\n"
	if r.Column > 0 {
		shown += "    " + strings.Repeat(" ", caret-start) + "^\n"
	}
	return shown
}

// masked gives a line as it may be shown, letter for letter: nothing that does
// not print, and of a URL only scheme, host and port, for the rest may be a
// secret.
func masked(source string) []rune {
	line := []rune(source)
	for i, r := range line {
		if !unicode.IsPrint(r) {
			line[i] = ' '
		}
	}
	for i := 0; i+3 < len(line); i++ {
		if string(line[i:i+3]) == "://" {
			i = mask(line, i+3)
		}
	}
	return line
}

// mask hides what follows the host of a URL, and what stands before an @, and
// gives where the URL ends.
func mask(line []rune, host int) int {
	end := host
	for end < len(line) && !strings.ContainsRune(" \"',}]", line[end]) {
		end++
	}
	user := host
	for i := host; i < end; i++ {
		if line[i] == '@' {
			user = i
		}
	}
	hide := func(from, to int) {
		for i := from; i < to; i++ {
			line[i] = '*'
		}
	}
	hide(host, user)
	path := user
	for path < end && !strings.ContainsRune("/?#", line[path]) {
		path++
	}
	hide(min(path+1, end), end)
	return end
}

// sorted gives remarks by place, each once.
func sorted(remarks []Remark) []Remark {
	slices.SortStableFunc(remarks, func(a, b Remark) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(remarks)
}
