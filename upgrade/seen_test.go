package upgrade

import (
	"bytes"
	"context"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/config"
)

// names answers every question about addresses with one.
func names(t *testing.T) (at string) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			end := 12 + bytes.IndexByte(buf[12:n], 0) + 5 // of the question (RFC 1035, 4.1)
			text := append([]byte{buf[0], buf[1], 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0}, buf[12:end]...)
			if kind := buf[end-3]; kind == 1 { // A
				text[7] = 1
				text = append(text, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 192, 0, 2, 10)
			}
			_, _ = c.WriteTo(text, from)
		}
	}()
	return c.LocalAddr().String()
}

func TestCertificatesAndAnswersOfNamesAreSeenFromHere(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	at := strings.TrimPrefix(s.URL, "https://")
	seen := Around(context.Background(), config.Upgrade{Certificates: []string{at, "127.0.0.1:1"}, Names: []string{"mdm.example.com@" + names(t), "mdm.example.com@127.0.0.1:1"}})
	if len(seen) != 4 || !strings.HasPrefix(seen[0].Value, "example.com, sha256:") || seen[0].Until.IsZero() || seen[1].Fault == "" || seen[2].Value != "192.0.2.10" || seen[3].Fault == "" {
		t.Errorf("got %+v", seen)
	}
	p, now := newPair(), World{}
	plan := planFor(p, config.RunDocumented)
	before := p.hands().Look(context.Background(), now.At)
	before.Seen = seen
	after := p.hands().Look(context.Background(), now.At)
	after.Seen = []Seen{seen[0], seen[1], {What: seenName, Of: seen[2].Of, Value: "192.0.2.11"}}
	a, b := before.Nodes["core2"], after.Nodes["core2"]
	a.Copied = map[string]int64{"db devices": 1000, "db logs": 50, "files files": 7}
	b.Copied = map[string]int64{"db devices": 1003, "db logs": 5, "db more": 1}
	a.Keys, b.Keys = map[string]string{"core1": "sha256:aaaa"}, map[string]string{"core1": "sha256:bbbb"}
	before.Nodes["core2"], after.Nodes["core2"] = a, b
	want := map[string]string{
		"certificate " + at:         "unchanged",
		"name " + seen[2].Of:        "look at it",
		"name " + seen[3].Of:        "look at it",
		"core2 copy of db devices":  "as expected",
		"core2 copy of db logs":     "look at it",
		"core2 copy of db more":     "as expected",
		"core2 copy of files files": "look at it",
		"core2 trusted hosts":       "look at it",
		"core2 pages say":           "unchanged",
		"core1 version":             "unchanged",
	}
	for _, d := range Compare(plan, before, after) {
		if verdict, asked := want[d.What]; asked && d.Verdict != verdict {
			t.Errorf("%s: %s, then %s: %q, want %q", d.What, d.Before, d.After, d.Verdict, verdict)
		}
		delete(want, d.What)
	}
	if len(want) > 0 {
		t.Errorf("not compared: %v", want)
	}
}
