package replicate

import (
	"fmt"
	"io"
)

// rowCounter counts the rows in a dump while it is written: two sessions cannot
// have one snapshot in MariaDB, so the rows that a dump has are those in it. It
// reads just as much SQL as mariadb-dump writes.
type rowCounter struct {
	to     io.Writer
	counts map[string]int64
	whole  bool // the dump's last line was there

	state countState
	line  []byte // its beginning, where that matters
	table string
	depth int
}

type countState uint8

const (
	atLine  countState = iota // reads the beginning of a line
	inLine                    // reads a line to its end
	atRows                    // reads an INSERT up to VALUES
	inName                    // reads a quoted name before VALUES
	inRows                    // reads rows
	inText                    // reads a quoted text
	escaped                   // reads a character after \
)

const (
	mostHead   = 600 // bytes of a line's beginning: names have at most 64 letters
	tableLine  = "CREATE TABLE "
	insertLine = "INSERT INTO "
	wholeLine  = "-- Dump completed"
)

func (c *rowCounter) Write(p []byte) (int, error) {
	for _, b := range p {
		c.read(b)
	}
	if len(c.counts) > mostTables {
		return 0, fmt.Errorf("there are more than %d tables", mostTables)
	}
	return c.to.Write(p)
}

func (c *rowCounter) read(b byte) {
	switch c.state {
	case atLine:
		c.begin(b)
	case inLine:
		if b == '\n' {
			c.state = atLine
		}
	case atRows:
		switch {
		case b == '`':
			c.state = inName
		case b == 'V': // of VALUES: all else before it is quoted or a bracket
			c.state, c.depth = inRows, 0
		}
	case inName:
		if b == '`' {
			c.state = atRows
		}
	case inRows:
		c.row(b)
	case inText:
		switch b {
		case '\'':
			c.state = inRows
		case '\\':
			c.state = escaped
		}
	case escaped:
		c.state = inText
	}
}

// begin reads the beginning of a line, until it is known what the line is.
func (c *rowCounter) begin(b byte) {
	if b == '\n' {
		c.whole = c.whole || string(c.line) == wholeLine
		c.line = c.line[:0]
		return
	}
	c.line = append(c.line, b)
	for prefix, then := range map[string]countState{tableLine: inLine, insertLine: atRows} {
		if n := len(c.line); n < len(prefix) && string(c.line) == prefix[:n] {
			return
		} else if n >= len(prefix) && string(c.line[:len(prefix)]) == prefix {
			name, ended := nameIn(c.line[len(prefix):])
			if !ended && n < mostHead {
				return
			}
			if ended {
				c.table, c.state = name, then
				c.counts[name] += 0
				c.line = c.line[:0]
				return
			}
		}
	}
	if n := len(c.line); n <= len(wholeLine) && string(c.line) == wholeLine[:n] {
		return
	}
	c.state, c.line = inLine, c.line[:0]
}

// nameIn reads a quoted name that is followed by something else.
func nameIn(text []byte) (name string, ended bool) {
	if len(text) == 0 || text[0] != '`' {
		return "", false
	}
	var n []byte
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != '`':
			n = append(n, text[i])
		case i+1 == len(text):
			return "", false
		case text[i+1] != '`':
			return string(n), true
		default:
			n = append(n, '`')
			i++
		}
	}
	return "", false
}

// row reads the rows of an INSERT. What is in brackets within one is part of it.
func (c *rowCounter) row(b byte) {
	switch b {
	case '\'':
		c.state = inText
	case '(':
		if c.depth == 0 {
			c.counts[c.table]++
		}
		c.depth++
	case ')':
		c.depth--
	case ';':
		if c.depth == 0 {
			c.state = inLine
		}
	}
}
