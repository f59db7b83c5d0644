package probes

import (
	"strconv"
	"strings"
	"unicode"
)

// The most letters of what another host said, and of any text in a Reading.
const (
	mostSaid = 80
	mostText = 120
)

// said gives another host's words as people may see them: quoted, control
// characters escaped, cut.
func said(words string) string { return cut(strconv.Quote(short(words, mostSaid))) }

// cut gives text on one line, with nothing in it that does not print, at most
// mostText letters long.
func cut(text string) string {
	if plain(text) {
		return text
	}
	if len(text) > 8*mostText { // before the letters are counted
		text = text[:8*mostText]
	}
	return short(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text), mostText)
}

// plain says whether cut has nothing to do.
func plain(text string) bool {
	if len(text) > mostText {
		return false
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// short gives the first most letters of text, and a sign if there were more.
func short(text string, most int) string {
	for i := range text {
		if most == 0 {
			return text[:i] + "…"
		}
		most--
	}
	return text
}
