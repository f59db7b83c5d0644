package dnsgtm

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// rows gives the rows of a table in testdata that are no comment.
func rows(t testing.TB, file string) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, row := range strings.Split(string(text), "\n") {
		if row = strings.TrimSpace(row); row != "" && row[0] != '#' {
			all = append(all, row)
		}
	}
	return all
}

// inZone gives the absolute name of one in a table.
func inZone(name string) string {
	switch {
	case name == "@":
		return "example.com."
	case dns.IsFqdn(name):
		return name
	}
	return name + ".example.com."
}

// said writes a reply as a row of the table has it.
func said(r *dns.Msg) string {
	words := dns.RcodeToString[r.Rcode]
	if r.Authoritative {
		words += " aa"
	}
	sections := []string{section(r.Answer), section(r.Ns), section(r.Extra)}
	for len(sections) > 0 && sections[len(sections)-1] == "" {
		sections = sections[:len(sections)-1]
	}
	return strings.Join(strings.Fields(words+" "+strings.Join(sections, " / ")), " ")
}

func section(rrs []dns.RR) string {
	var all []string
	for _, rr := range rrs {
		if rr.Header().Rrtype == dns.TypeOPT {
			continue
		}
		owner := strings.TrimSuffix(rr.Header().Name, "example.com.")
		if owner = strings.TrimSuffix(owner, "."); owner == "" {
			owner = "@"
		}
		text := strings.TrimPrefix(rr.String(), rr.Header().String())
		if _, unknown := rr.(*dns.RFC3597); unknown {
			text = text[strings.Index(text, `\#`):]
		}
		fields := strings.Fields(text)
		kind := dns.TypeToString[rr.Header().Rrtype]
		if kind == "" {
			kind = dns.Type(rr.Header().Rrtype).String()
		}
		if kind == "SOA" {
			fields = nil
		}
		all = append(all, strings.Join(append([]string{owner, dnsTTL(rr), kind}, fields...), " "))
	}
	return strings.Join(all, "; ")
}

func dnsTTL(rr dns.RR) string { return strings.Fields(rr.Header().String())[1] }

func TestTheExampleZoneAnswersAsTheTableSays(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	for _, row := range rows(t, "answers.txt") {
		fields := strings.Fields(row)
		qtype, known := dns.StringToType[fields[1]]
		if !known {
			qtype = 65400
		}
		q := query(inZone(fields[0]), qtype)
		want := strings.Join(fields[2:], " ")
		for _, network := range []string{"udp", "tcp"} {
			for _, edns := range []bool{false, true} {
				if q.Extra = nil; edns {
					q.SetEdns0(1232, false)
				}
				r := ask(t, network, s.address(), q)
				if diff := cmp.Diff(want, said(r)); diff != "" {
					t.Errorf("%s %s over %s, EDNS %v (-want +got):\n%s", fields[0], fields[1], network, edns, diff)
				}
				if r.Question[0] != q.Question[0] {
					t.Errorf("%s %s: the question came back as %v", fields[0], fields[1], r.Question[0])
				}
			}
		}
	}
}

// The names of a dig are the same letters in the same case.
func TestTheSpellingOfTheQuestionComesBack(t *testing.T) {
	t.Parallel()
	s := running(t, example())
	for _, name := range []string{"mDm.ExAmPlE.cOm.", "wWw.eXample.com.", "NopE.example.COM.", "X.Wild.example.com."} {
		r := ask(t, "udp", s.address(), query(name, dns.TypeA))
		if got := r.Question[0].Name; got != name {
			t.Errorf("asked for %s, the question came back as %s", name, got)
		}
		if len(r.Answer) > 0 && r.Answer[0].Header().Name != name {
			t.Errorf("asked for %s, the answer is about %s", name, r.Answer[0].Header().Name)
		}
	}
}
