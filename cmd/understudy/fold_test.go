package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLongLinesAreFoldedBetweenWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text    string
		columns int
		want    string
	}{
		{"short\n", 30, "short\n"},
		{"no end", 30, "no end"},
		{"one two three four five six seven\n", 20, "one two three four\n  five six seven\n"},
		{"  name                   one two three four five six seven eight nine\n", 60, "  name                   one two three four five six seven\n                         eight nine\n"},
		{"→→→→→→→→→→ →→→→→→→→→\n", 20, "→→→→→→→→→→ →→→→→→→→→\n"}, // columns, not bytes
		{"https://a-word-that-is-longer-than-a-line.example.com/status.html then more\n", 30, "https://a-word-that-is-longer-than-a-line.example.com/status.html\n  then more\n"},
		{"https://a-word-that-is-longer-than-a-line.example.com/\n", 30, "https://a-word-that-is-longer-than-a-line.example.com/\n"},
		{"\n\n", 30, "\n\n"},
	} {
		got := fold(tt.text, tt.columns)
		if got != tt.want {
			t.Errorf("%d columns: got\n%s\nwant\n%s", tt.columns, got, tt.want)
		}
		if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(tt.text), " ") {
			t.Errorf("the words are not the same any more:\n%s", got)
		}
	}
}

func TestTextForPeopleIsAsWideAsTheirTerminal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s    session
		want int
	}{
		{session{}, 80}, {session{width: 200}, 80},
		{session{terminal: true}, 80}, {session{terminal: true, width: 60}, 60}, {session{terminal: true, width: 300}, 100}, {session{terminal: true, width: 5}, 80},
	} {
		if got := tt.s.columns(); got != tt.want {
			t.Errorf("terminal %t of %d columns: %d, want %d", tt.s.terminal, tt.s.width, got, tt.want)
		}
	}
	for line := range strings.Lines(fold(strings.Repeat("Profile documented: two nodes alone cannot tell. ", 9), (&session{}).columns())) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("a line is too wide: %s", line)
		}
	}
}
