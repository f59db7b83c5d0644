package dnsgtm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// mostZone is the most that a zone file or one that it includes may have.
const mostZone = 256 << 20

// line is one record of a zone file and where it stands.
type line struct {
	rr   dns.RR
	file string
	at   int // where the record ends
}

func (l line) fault(zone, format string, args ...any) Fault {
	return Fault{File: l.file, Line: l.at, Zone: zone, What: fmt.Sprintf(format, args...)}
}

// readZone gives the records of a zone file in the file's order. Records of
// another class or outside the zone, and the first error of the syntax, are
// faults.
func readZone(z Zone) ([]line, Faults) {
	text := z.Text
	if text == nil {
		var err error
		if text, err = statefile.Read(z.File, mostZone); err != nil {
			return nil, Faults{{File: z.File, Zone: z.Name, What: "cannot be read: " + cause(err)}}
		}
	}
	path := z.File
	if abs, err := filepath.Abs(path); err == nil && path != "" {
		path = abs
	}
	files := &files{name: z.File, root: path, top: newCounter(text)}
	parser := dns.NewZoneParser(files.top, z.Name, path)
	parser.SetIncludeAllowed(path != "")
	parser.SetIncludeFS(files)
	apex := dns.CanonicalName(z.Name)
	var lines []line
	var faults Faults
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		name, at := files.place()
		l := line{rr, name, at}
		h := rr.Header()
		switch {
		case h.Class != dns.ClassINET:
			faults = append(faults, l.fault(z.Name, "%s has class %s: only IN is served", h.Name, dns.ClassToString[h.Class]))
		case !dns.IsSubDomain(apex, dns.CanonicalName(h.Name)):
			faults = append(faults, l.fault(z.Name, "%s lies outside the zone: a final dot too many, or too few?", h.Name))
		default:
			lines = append(lines, l)
		}
	}
	if err := parser.Err(); err != nil {
		faults = append(faults, files.syntax(z, err))
	}
	return lines, faults
}

// cause gives what is wrong without the path, which stands before it.
func cause(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}

// files opens what a zone file includes, and knows how far everything has been
// read: the parser does not say where a record stands.
type files struct {
	name string // of the zone file, as it was configured
	root string // the same, absolute
	top  *counter
	open []*counter // included files, the innermost last
}

// Open opens an included file. The parser has cut the leading slash.
func (f *files) Open(name string) (fs.File, error) {
	path := filepath.FromSlash("/" + name)
	text, err := statefile.Read(path, mostZone)
	if err != nil {
		return nil, err
	}
	c := newCounter(text)
	c.name, c.files = path, f
	f.open = append(f.open, c)
	return c, nil
}

// place gives the file and line where the last record ended.
func (f *files) place() (file string, line int) {
	if len(f.open) == 0 {
		return f.name, f.top.line()
	}
	inner := f.open[len(f.open)-1]
	return inner.name, inner.line()
}

var parserWords = regexp.MustCompile(`^(?s)(.*?: )?dns: (.*) at line: (\d+):\d+$`)

// syntax gives the Fault of an error of the parser.
func (f *files) syntax(z Zone, err error) Fault {
	found := parserWords.FindStringSubmatch(err.Error())
	if found == nil {
		return Fault{File: z.File, Zone: z.Name, What: quoteCut(err.Error())}
	}
	file := strings.TrimSuffix(found[1], ": ")
	if file == f.root || file == "" {
		file = z.File
	} else if !filepath.IsAbs(file) {
		file = "/" + file
	}
	at, _ := strconv.Atoi(found[3])
	return Fault{File: file, Line: at, Zone: z.Name, What: quoteCut(found[2])}
}

// quoteCut makes words of others safe to show.
func quoteCut(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// counter is a text that counts the lines read. Reading byte by byte keeps the
// parser from buffering ahead.
type counter struct {
	*bytes.Reader
	name  string
	files *files
	lines int
	last  byte
}

func newCounter(text []byte) *counter { return &counter{Reader: bytes.NewReader(text)} }

func (c *counter) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		if b == '\n' {
			c.lines++
		}
		c.last = b
	}
	return b, err
}

// line gives the line of the last byte that was read.
func (c *counter) line() int {
	if c.last == '\n' {
		return c.lines
	}
	return c.lines + 1
}

// Close ends the include.
func (c *counter) Close() error {
	if f := c.files; f != nil && len(f.open) > 0 {
		f.open = f.open[:len(f.open)-1]
	}
	return nil
}

// Stat is there for fs.File; nobody asks.
func (c *counter) Stat() (fs.FileInfo, error) { return nil, fs.ErrInvalid }

var _ io.ByteReader = (*counter)(nil)
