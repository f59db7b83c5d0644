package probes

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func FuzzProxyPath(f *testing.F) {
	for _, path := range []string{"/mdm/core1", "/mdm/core1/raw", "/mdm/serving", "/mdm/", "/mdm", "//", "", "*", "/mdm//core1", "/mdm/core1/"} {
		f.Add([]byte(path))
	}
	p := &Proxy{book: newBook()}
	p.book.tell(calm(time.Now()), ages{clock{time.Now()}, time.Hour})
	there := map[string]bool{"/mdm/core1": true, "/mdm/core2": true, "/mdm/core1/raw": true, "/mdm/core2/raw": true, "/mdm/serving": true}
	f.Fuzz(func(t *testing.T, path []byte) {
		if group, rest := splitPath(path); len(group) > 0 && "/"+string(group)+"/"+string(rest) != string(path) {
			t.Errorf("%q was split into %q and %q", path, group, rest)
		}
		if got := p.find(path, 0) != nil; got != there[string(path)] {
			t.Errorf("%q: found %t", path, got)
		}
		if said := p.missing(path); len(said) > 600 || strings.ContainsAny(said, "\r\n\x00") {
			t.Errorf("%q: said %q", path, said)
		}
	})
}

// Whatever comes, the first line is changed only where it is "GET PATH".
func FuzzFirstLine(f *testing.F) {
	for _, line := range []string{"GET /mdm/core1\r\n", "GET /mdm/core1\n\r\n", "\r\nGET /x\r\n", "GET / HTTP/1.0\r\n\r\n", "GET x\r\n", "get /x\n", "GET /" + strings.Repeat("x", 90) + "\n"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		p := make([]byte, 128)
		n := copy(p, sent)
		start, end := firstLine(p[:n])
		if end == 0 {
			return
		}
		line := string(bytes.TrimRight(p[start:end], "\r"))
		n = mend(p, n, start, end)
		got := string(p[start:n])
		switch mended := line + " HTTP/1.0\r\n\r\n"; {
		case got == mended:
			if strings.Count(line, " ") != 1 || !strings.HasPrefix(line, "GET /") {
				t.Errorf("%q was mended", line)
			}
		case got != string(sent[start:min(len(sent), len(p))]):
			t.Errorf("%q was changed to %q", sent, p[:n])
		}
	})
}
