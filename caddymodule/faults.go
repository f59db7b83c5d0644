package caddymodule

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Faults gives every fault of ours in a Caddyfile, with its place: those of the
// global option, then one of each handler that has any. Caddy's adapter stops
// at the first option or handler that it cannot read. A file that is none at
// all has none of ours.
func Faults(filename string, body []byte) (told []string) {
	blocks, err := caddyfile.Parse(filename, body)
	if err != nil {
		return nil
	}
	var option *App
	if len(blocks) > 0 && len(blocks[0].Keys) == 0 {
		for _, s := range blocks[0].Segments {
			if s.Directive() != "understudy" || option != nil {
				continue
			}
			var errs []error
			option, errs = readGlobal(caddyfile.NewDispenser(s))
			for _, err := range errs {
				told = append(told, err.Error())
			}
		}
	}
	for i, block := range blocks {
		for _, s := range block.Segments {
			read := readDirective
			if global := i == 0 && len(block.Keys) == 0; global && s.Directive() == "layer4" {
				read = readLayer4
			} else if global {
				continue
			}
			for _, d := range named(s) {
				if err := read(d, option); err != nil {
					told = append(told, err.Error())
				}
			}
		}
	}
	return told
}

// named gives what begins with our name, with its block, wherever it stands in
// a segment.
func named(s caddyfile.Segment) (found []*caddyfile.Dispenser) {
	for i, t := range s {
		if t.Text != "understudy" || i > 0 && s[i-1].File == t.File && s[i-1].Line == t.Line {
			continue
		}
		d := caddyfile.NewDispenser(s[i:])
		d.Next()
		tokens := d.NextSegment()
		if len(tokens) > 1 && isMatcher(tokens[1].Text) {
			tokens = append(tokens[:1:1], tokens[2:]...)
		}
		found = append(found, caddyfile.NewDispenser(tokens))
	}
	return found
}

func isMatcher(word string) bool {
	return word == "*" || strings.HasPrefix(word, "/") || strings.HasPrefix(word, "@")
}

func readDirective(d *caddyfile.Dispenser, a *App) error {
	_, _, _, err := directive(d, a)
	return err
}

func readLayer4(d *caddyfile.Dispenser, a *App) error {
	var l Layer4
	if err := l.UnmarshalCaddyfile(d); err != nil {
		return err
	}
	_, err := a.named(d, l.Group)
	return err
}
