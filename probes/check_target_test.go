package probes

import (
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestTheURLSaysWhereANodeIsAndWhatItIsCalled(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ url, host, addr, header, server string }{
		{"http://192.0.2.1", "", "192.0.2.1:80", "192.0.2.1", "192.0.2.1"},
		{"http://192.0.2.1:8080/", "", "192.0.2.1:8080", "192.0.2.1:8080", "192.0.2.1"},
		{"https://core1.example", "", "core1.example:443", "core1.example", "core1.example"},
		{"https://core1.example:8443", "mdm.example", "core1.example:8443", "mdm.example", "mdm.example"},
		{"https://core1.example", "mdm.example:444", "core1.example:443", "mdm.example:444", "mdm.example"},
		{"https://192.0.2.1", "2001:db8::1", "192.0.2.1:443", "[2001:db8::1]", "2001:db8::1"},
		{"https://192.0.2.1", "[2001:db8::1]:8443", "192.0.2.1:443", "[2001:db8::1]:8443", "2001:db8::1"},
		{"http://[2001:db8::1]:8080", "", "[2001:db8::1]:8080", "[2001:db8::1]:8080", "2001:db8::1"},
		{"http://[2001:db8::1]", "", "[2001:db8::1]:80", "[2001:db8::1]", "2001:db8::1"},
		{"http://[fe80::1%25eth0]:8080", "", "[fe80::1%eth0]:8080", "[fe80::1]:8080", "fe80::1"},
		{"http://[fe80::1%25eth0]", "", "[fe80::1%eth0]:80", "[fe80::1]", "fe80::1"},
	} {
		at, err := Target{Node: "core1", URL: tt.url, Host: tt.host, Timeout: 1}.check()
		if err != nil || at.addr() != tt.addr || at.header != tt.header || at.server != tt.server {
			t.Errorf("%s as %q: got %+v and %v", tt.url, tt.host, at, err)
		}
	}
}

func TestEveryFaultOfATargetIsNamedInOneSentence(t *testing.T) {
	t.Parallel()
	const good = "http://192.0.2.1"
	for _, tt := range []struct {
		target Target
		want   string
	}{
		{Target{URL: ""}, `url "" must begin with http:// or https://`},
		{Target{URL: "192.0.2.1"}, `url "192.0.2.1" must begin with http:// or https://`},
		{Target{URL: "192.0.2.1:80"}, `url "192.0.2.1:80" cannot be read: first path segment in URL cannot contain colon`},
		{Target{URL: "ftp://192.0.2.1"}, `url "ftp://192.0.2.1" must begin with http:// or https://`},
		{Target{URL: "http://me:pw@192.0.2.1"}, `url "http://…@192.0.2.1" must not carry a user`},
		{Target{URL: "http://me:p%w@192.0.2.1"}, `url "http://…@192.0.2.1" cannot be read: it is malformed`},
		{Target{URL: "http://192.0.2.1/status"}, `url "http://192.0.2.1/status" must end after the host and port`},
		{Target{URL: "http://192.0.2.1?"}, `url "http://192.0.2.1?" must end after the host and port`},
		{Target{URL: "http://192.0.2.1#a"}, `url "http://192.0.2.1#a" must end after the host and port`},
		{Target{URL: "http://:80"}, `url "http://:80" needs a host: an address, or a name of ASCII letters, digits, dots and hyphens`},
		{Target{URL: "http://bücher.example"}, `url "http://bücher.example" needs a host: an address, or a name of ASCII letters, digits, dots and hyphens`},
		{Target{URL: "http://192.0.2.1:0"}, `url "http://192.0.2.1:0" needs a port between 1 and 65535, or none`},
		{Target{URL: "http://192.0.2.1:65536"}, `url "http://192.0.2.1:65536" needs a port between 1 and 65535, or none`},
		{Target{URL: "http://192.0.2.1:x"}, `url "http://192.0.2.1:x" cannot be read: invalid port ":x" after host`},
		{Target{URL: good, Host: "a b"}, `host "a b" must be an address or a name, with a port or without`},
		{Target{URL: good, Host: "a\r\nX: y"}, `host "a\r\nX: y" must be an address or a name, with a port or without`},
		{Target{URL: good, Host: "a:99999"}, `host "a:99999" must be an address or a name, with a port or without`},
		{Target{URL: good, Timeout: -1}, `timeout -1ns must be above zero`},
		{Target{URL: good, ResolveEvery: -1}, `the name cannot be looked up every -1ns`},
		{Target{URL: good, Insecure: true}, `tls_ca and tls_insecure are for https, the url is http://192.0.2.1`},
		{Target{URL: good, CAFile: "x"}, `tls_ca and tls_insecure are for https, the url is http://192.0.2.1`},
		{Target{URL: "https://192.0.2.1", CAFile: "x", Insecure: true}, `tls_ca and tls_insecure exclude one another`},
		{Target{URL: "https://192.0.2.1", CAFile: "testdata/none.pem"}, `read tls_ca: open testdata/none.pem: no such file or directory`},
		{Target{URL: "https://192.0.2.1", CAFile: "check_target.go"}, `tls_ca check_target.go holds no certificate in PEM`},
		{Target{URL: good, Profile: ha.Profile{PrimaryPath: "/"}}, `profile generic needs primary_expect`},
		{
			Target{URL: good, Profile: ha.Profile{PrimaryPath: "/a b", PrimaryExpect: "a", StandbyPath: "/", StandbyExpect: "b", ActingExpect: "c"}},
			`path "/a b" must not contain blanks, control characters, # or letters beyond ASCII`,
		},
	} {
		tt.target.Node = "core1"
		if tt.target.Timeout == 0 {
			tt.target.Timeout = time.Second
		}
		if _, err := NewChecker(tt.target); err == nil || err.Error() != "node core1: "+tt.want {
			t.Errorf("got  %v\nwant node core1: %s", err, tt.want)
		}
	}
}

func TestAllFaultsOfATargetAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := NewChecker(Target{URL: "x", Host: "/", ResolveEvery: -1})
	if err == nil || len(strings.Split(err.Error(), "\n")) != 5 {
		t.Errorf("got %v, want five lines", err)
	}
}
