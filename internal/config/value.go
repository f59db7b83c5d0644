package config

import (
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// value is one value of a Document, and the path to it. Without a node it
// gives nothing.
type value struct {
	doc  *Document
	node *yaml.Node
	path string
}

// take reads one value, or notes what is wrong with it.
type take func(value)

// keys reads a mapping of known keys.
type keys map[string]take

func (v value) fault(format string, args ...any) { v.doc.fault(v.path, v.node, format, args...) }

// child gives a value below v, and remembers where it stands.
func (v value) child(name string, n *yaml.Node) value {
	path := name
	if v.path != "" {
		path = v.path + "/" + name
	}
	v.doc.places[path] = place{n.Line, n.Column}
	return value{v.doc, n, path}
}

// name is the last word of the path, for sentences.
func (v value) name() string {
	if v.path == "" {
		return "the file"
	}
	words := strings.Split(v.path, "/")
	last := words[len(words)-1]
	if _, err := strconv.Atoi(last); err == nil && len(words) > 1 {
		return "each of " + words[len(words)-2]
	}
	return last
}

// read reads the mapping v.
func (k keys) read(v value) {
	v.pairs(func(key *yaml.Node, child value) {
		if k[key.Value] == nil {
			v.doc.fault(child.path, key, "unknown key %q%s", short(key.Value), suggest(key.Value, slices.Sorted(maps.Keys(k))))
			return
		}
		k[key.Value](child)
	})
}

// each reads a mapping whose keys are names.
func each(item func(name string, v value)) take {
	return func(v value) {
		v.pairs(func(key *yaml.Node, child value) { item(key.Value, child) })
	}
}

// pairs goes through a mapping.
func (v value) pairs(pair func(key *yaml.Node, child value)) {
	if !v.is(yaml.MappingNode, "keys with values, like \"key: value\"") {
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.node.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode:
			v.doc.fault(v.path, key, "a key must be a word")
		case first[key.Value] > 0:
			v.doc.fault(v.path, key, "%s stands twice, first in line %d", short(key.Value), first[key.Value])
		default:
			first[key.Value] = key.Line
			pair(key, v.child(key.Value, v.node.Content[i+1]))
		}
	}
}

// list reads a list.
func list(item take) take {
	return func(v value) {
		if !v.is(yaml.SequenceNode, "a list, like [a, b]") {
			return
		}
		for i, n := range v.node.Content {
			item(v.child(strconv.Itoa(i), n))
		}
	}
}

// one reads a value of a list and adds it.
func one[T any](to *[]T, reads func(*T) take) take {
	return func(v value) {
		var item T
		reads(&item)(v)
		*to = append(*to, item)
	}
}

// texts reads a list of texts.
func texts(to *[]string) take { return list(one(to, text)) }

// is says whether v is of a kind, and notes it if not.
func (v value) is(kind yaml.Kind, what string) bool {
	switch {
	case v.node == nil:
		return false
	case v.node.Kind == kind:
		return true
	case v.empty():
		v.fault("%s has no value; it must be %s", v.name(), what)
	default:
		v.fault("%s must be %s", v.name(), what)
	}
	return false
}

func (v value) empty() bool { return v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!null" }

// word gives the letters of a scalar.
func (v value) word(what string) (string, bool) {
	if !v.is(yaml.ScalarNode, what) {
		return "", false
	}
	if v.empty() {
		v.fault("%s has no value; it must be %s", v.name(), what)
		return "", false
	}
	return v.node.Value, true
}

// text reads a text that is not empty.
func text(to *string) take {
	return func(v value) {
		word, ok := v.word("a text")
		switch {
		case !ok:
		case v.node.ShortTag() != "!!str":
			v.fault("%s must be a text; put it into quotes: %q", v.name(), short(word))
		case word == "":
			v.fault("%s is empty", v.name())
		default:
			*to = word
		}
	}
}

// file reads the name of a file that must be there; it is meant from the folder
// of the document.
func file(to *string) take {
	return func(v value) {
		if text(to)(v); *to == "" {
			return
		}
		*to = v.doc.resolve(*to)
		info, err := os.Stat(*to)
		switch {
		case os.IsNotExist(err):
			v.fault("%s %s is not there", v.name(), *to)
		case err == nil && info.IsDir():
			v.fault("%s %s is a directory; it must be a file", v.name(), *to)
		}
	}
}

// path reads the name of a file that need not be there yet; its folder must.
func path(to *string) take {
	return func(v value) {
		if text(to)(v); *to == "" {
			return
		}
		*to = v.doc.resolve(*to)
		if _, err := os.Stat(filepath.Dir(*to)); os.IsNotExist(err) {
			v.fault("%s %s cannot be written: there is no directory %s", v.name(), *to, filepath.Dir(*to))
		}
	}
}

// directory reads the name of a directory, which is made if it is not there.
func directory(to *string) take {
	return func(v value) {
		var said string
		if text(&said)(v); said == "" {
			return
		}
		*to = v.doc.resolve(said)
		if info, err := os.Stat(*to); err == nil && !info.IsDir() {
			v.fault("%s %s is not a directory", v.name(), *to)
		}
	}
}

// kind gives the kind that a group says it is of.
func (v value) kind() string {
	if v.node == nil || v.node.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		if v.node.Content[i].Value == "kind" {
			return v.node.Content[i+1].Value
		}
	}
	return ""
}

// choice reads one of a few words.
func choice[T ~string](to *T, words ...T) take {
	return func(v value) {
		var one string
		if text(&one)(v); one == "" {
			return
		}
		if *to = T(one); slices.Contains(words, *to) {
			return
		}
		names := make([]string, len(words))
		for i, w := range words {
			names[i] = string(w)
		}
		v.fault("%s is %s, not %q", v.name(), oneOf(names), short(one))
	}
}

// duration reads a duration above zero.
func duration(to *time.Duration) take {
	return func(v value) {
		word, ok := v.word("a duration like 5s or 500ms")
		if !ok {
			return
		}
		d, err := time.ParseDuration(word)
		if _, bare := strconv.ParseFloat(word, 64); bare == nil && word != "0" {
			v.fault("%s %s lacks a unit: %ss is seconds, %sms milliseconds", v.name(), word, word, word)
			return
		}
		switch {
		case err != nil:
			v.fault("%s %q is not a duration like 5s or 500ms", v.name(), short(word))
		case d <= 0:
			v.fault("%s must be above zero, not %s", v.name(), word)
		default:
			*to = d
		}
	}
}

// count reads a whole number from 1 up.
func count(to *int) take {
	return func(v value) {
		word, ok := v.word("a number from 1")
		if !ok {
			return
		}
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			v.fault("%s must be a number from 1, not %q", v.name(), short(word))
			return
		}
		*to = n
	}
}

// flag reads true or false.
func flag(to *bool) take {
	return func(v value) {
		switch word, ok := v.word("true or false"); {
		case !ok:
		case v.node.ShortTag() == "!!bool" && v.node.Style == 0:
			*to = word == "true" || word == "True" || word == "TRUE"
		default:
			v.fault("%s must be true or false, not %q", v.name(), short(word))
		}
	}
}

// address reads an IP address.
func address(to *netip.Addr) take {
	return func(v value) {
		var one string
		if text(&one)(v); one == "" {
			return
		}
		a, err := netip.ParseAddr(one)
		if err != nil || a.Zone() != "" {
			v.fault("%s %q is not an address like 192.0.2.10 or 2001:db8::10", v.name(), short(one))
			return
		}
		*to = a
	}
}

// prefix reads an address range; an address alone is the range of itself.
func prefix(to *netip.Prefix) take {
	return func(v value) {
		var one string
		if text(&one)(v); one == "" {
			return
		}
		if a, err := netip.ParseAddr(one); err == nil && a.Zone() == "" {
			*to = netip.PrefixFrom(a, a.BitLen())
			return
		}
		p, err := netip.ParsePrefix(one)
		switch {
		case err != nil:
			v.fault("%s %q is not a range like 192.0.2.0/24", v.name(), short(one))
		case p != p.Masked():
			v.fault("%s %s has bits beyond its length; %s is meant?", v.name(), p, p.Masked())
		default:
			*to = p
		}
	}
}

// listen reads where a server listens: an address and a port, or a port alone.
func listen(to *string) take {
	return func(v value) {
		var one string
		if text(&one)(v); one == "" {
			return
		}
		host, port, err := net.SplitHostPort(one)
		if err == nil && host != "" {
			_, err = netip.ParseAddr(host)
		}
		if n, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil || n == 0 {
			v.fault("%s %q is not an address and a port like 0.0.0.0:8780 or \"[::]:8780\"", v.name(), short(one))
			return
		}
		*to = one
	}
}
