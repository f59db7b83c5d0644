package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// mostBytes is the most that a file may have.
const mostBytes = 1 << 20

// Document is a YAML file that is being read, and what is wrong with it.
type Document struct {
	file     string
	lines    []string
	places   map[string]place // of values, by path
	faulty   map[string]bool  // paths that have a fault already
	faults   []Remark
	warnings []Remark
}

// place is a line and a column, from 1.
type place struct{ line, column int }

// lineEnd is what ends a line in YAML 1.1 (5.4).
var lineEnd = regexp.MustCompile("\r\n|[\n\r\u0085\u2028\u2029]")

// load reads a file. The error says why it cannot be read at all.
func load(file string) (*Document, value, error) {
	text, err := statefile.Read(file, mostBytes)
	if errors.Is(err, statefile.ErrTooLarge) {
		return nil, value{}, fmt.Errorf("%s has more than %d bytes, which no configuration needs", file, mostBytes)
	}
	if err != nil {
		return nil, value{}, err
	}
	d, root := parse(file, text)
	return d, root, nil
}

// parse reads a document. What is wrong with its form is among the faults; then
// the root is a value that gives nothing.
func parse(file string, text []byte) (*Document, value) {
	d := &Document{file: file, places: map[string]place{}, faulty: map[string]bool{}, lines: lineEnd.Split(string(text), -1)}
	root := value{doc: d}
	if !utf8.Valid(text) {
		d.faults = append(d.faults, d.remark(place{d.firstInvalid(), 0}, "this is not UTF-8 text"))
		return d, root
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF):
		d.faults = append(d.faults, Remark{File: file, Text: "the file is empty"})
		return d, root
	case err != nil:
		d.malformed(err)
		return d, root
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		d.fault("", &second, "the file has a second document here; put everything into one")
	case !errors.Is(err, io.EOF):
		d.malformed(err)
	}
	if d.plain("", &first); len(first.Content) > 0 && len(d.faults) == 0 {
		root.node = first.Content[0]
	}
	return d, root
}

func (d *Document) firstInvalid() int {
	return 1 + slices.IndexFunc(d.lines, func(line string) bool { return !utf8.ValidString(line) })
}

var atLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// malformed notes what the YAML parser says, which knows the line at best.
func (d *Document) malformed(err error) {
	m := atLine.FindStringSubmatch(firstLine(err.Error()))
	at := place{}
	if n, err := strconv.Atoi(m[1]); err == nil {
		at.line = min(n, len(d.lines))
	}
	d.faults = append(d.faults, d.remark(at, "this is not YAML: "+m[2]))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// plain refuses what configurations have no use for: anchors and aliases, with
// which a small file can stand for a huge one, and tags.
func (d *Document) plain(path string, n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		d.fault(path, n, "*%s: aliases are not read here; write the value out", n.Value)
		return
	case n.Anchor != "":
		d.fault(path, n, "&%s: anchors are not read here; write the value out where it is wanted", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		d.fault(path, n, "%s: tags are not read here; leave it out", n.Tag)
	}
	for _, child := range n.Content {
		d.plain(path, child)
	}
}

// fault notes a fault at a node.
func (d *Document) fault(path string, n *yaml.Node, format string, args ...any) {
	d.faulty[path] = true
	d.faults = append(d.faults, d.remark(place{n.Line, n.Column}, fmt.Sprintf(format, args...)))
}

// remark makes a sentence about a place.
func (d *Document) remark(at place, text string) Remark {
	at.line = min(at.line, len(d.lines)) // an end of file may stand below it
	r := Remark{File: d.file, Line: at.line, Column: at.column, Text: text}
	if at.line > 0 && at.line <= len(d.lines) {
		r.Source = d.lines[at.line-1]
	}
	return r
}

// Fault adds faults that were found in what was read. One whose value has a
// fault already is left out: it follows from that.
func (d *Document) Fault(faults Faults) {
	for _, f := range faults {
		if !d.faulty[f.Path] {
			d.faults = append(d.faults, d.remark(d.place(f.Path), f.Text))
		}
	}
}

// Warn adds what is legal but unwise.
func (d *Document) Warn(warnings Faults) {
	for _, w := range warnings {
		d.warnings = append(d.warnings, d.remark(d.place(w.Path), w.Text))
	}
}

// place gives where the value at path stands, or the closest one above it.
func (d *Document) place(path string) place {
	for {
		if at, ok := d.places[path]; ok {
			return at
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return place{}
		}
		path = path[:i]
	}
}

// Faults gives every fault, by place.
func (d *Document) Faults() []Remark { return sorted(d.faults) }

// Warnings gives what is legal but unwise, by place.
func (d *Document) Warnings() []Remark { return sorted(d.warnings) }

// resolve gives a path of the file system as it is meant: from the folder of
// the document.
func (d *Document) resolve(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	full, err := filepath.Abs(filepath.Join(filepath.Dir(d.file), path))
	if err != nil { // nobody knows where we are
		return path
	}
	return full
}
