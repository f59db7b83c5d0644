package probes

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Target is a node as a probe sees it.
type Target struct {
	Node         string
	URL          string        // http(s)://host[:port], no path, no userinfo
	Host         string        // Host header and TLS server name; empty: the URL's
	Profile      ha.Profile    // where the pages are and what they must say
	Timeout      time.Duration // of a whole probe, all phases together
	ResolveEvery time.Duration // how old a look-up of the URL's name may get; 0: 5 s
	CAFile       string        // PEM file of the authorities to trust, https only; empty: the system's
	Insecure     bool          // any certificate will do, https only

	// Dial connects to the URL's host:port in place of the network and of its
	// names, for at most timeout. Nil: the network.
	Dial func(addr string, timeout time.Duration) (net.Conn, error)
}

// place is what a URL says.
type place struct {
	secure bool
	host   string // a name, or an address without brackets
	port   string
	header string // for Host
	server string // for the certificate
}

// addr is the place as a dialler takes it.
func (p place) addr() string { return net.JoinHostPort(p.host, p.port) }

// check gives the place of the target, or every fault of it.
func (t Target) check() (place, error) {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("node %s: "+format, append([]any{t.Node}, args...)...))
	}
	if t.Node == "" {
		faults = append(faults, errors.New("a node to probe needs a name"))
	}
	at, err := readURL(t.URL)
	if err != nil {
		fault("url %q %w", public(t.URL), err)
	}
	if err := at.call(t.Host); err != nil {
		fault("host %q %w", t.Host, err)
	}
	if err := t.Profile.Check(); err != nil {
		fault("%w", err)
	}
	for _, page := range []ha.Page{ha.StatusPage, ha.HAStatusPage} {
		if path := t.Profile.Path(page); strings.ContainsFunc(path, unsendable) {
			fault("path %q must not contain blanks, control characters, # or letters beyond ASCII", path)
		}
	}
	if t.Timeout <= 0 {
		fault("timeout %s must be above zero", t.Timeout)
	}
	if t.ResolveEvery < 0 {
		fault("the name cannot be looked up every %s", t.ResolveEvery)
	}
	if !at.secure && err == nil && (t.CAFile != "" || t.Insecure) {
		fault("tls_ca and tls_insecure are for https, the url is %s", t.URL)
	}
	if t.CAFile != "" && t.Insecure {
		fault("tls_ca and tls_insecure exclude one another")
	}
	return at, errors.Join(faults...)
}

// readURL reads the URL of a target. The error completes the sentence that
// begins with the URL.
func readURL(text string) (place, error) {
	u, err := url.Parse(text)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		if public(text) != text {
			err = errors.New("it is malformed") // and no part of a password is shown
		}
		return place{}, fmt.Errorf("cannot be read: %w", err)
	}
	at := place{secure: u.Scheme == "https", host: u.Hostname(), port: u.Port()}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return at, errors.New("must begin with http:// or https://")
	case u.User != nil:
		return at, errors.New("must not carry a user")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return at, errors.New("must end after the host and port")
	case !hostlike(at.host):
		return at, errors.New("needs a host: an address, or a name of ASCII letters, digits, dots and hyphens")
	}
	if at.port == "" {
		at.port = map[bool]string{false: "80", true: "443"}[at.secure]
	}
	if n, err := strconv.ParseUint(at.port, 10, 16); err != nil || n == 0 {
		return at, errors.New("needs a port between 1 and 65535, or none")
	}
	return at, at.call(strings.Replace(u.Host, "%"+zone(at.host), "", 1))
}

// public gives a URL without the user and password that it may carry.
func public(text string) string {
	scheme, rest, found := strings.Cut(text, "://")
	at := strings.LastIndex(rest, "@")
	if !found || at < 0 {
		return text
	}
	return scheme + "://…" + rest[at:]
}

// zone gives what stands after the % of an address; it means something only on
// the machine that probes, so that the node is not told.
func zone(host string) string {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	return ip.Zone()
}

// call names the node to itself by host, which may have a port.
func (p *place) call(host string) error {
	if host == "" {
		return nil
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), "80"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || !hostlike(name) {
		return errors.New("must be an address or a name, with a port or without")
	}
	if name == host && strings.Contains(name, ":") {
		host = "[" + name + "]"
	}
	p.header, p.server = host, name
	return nil
}

// hostlike says whether host is an address or could be a name.
func hostlike(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host == "" || len(host) > 253 {
		return false
	}
	return !strings.ContainsFunc(host, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".-_", r))
	})
}

// unsendable says whether r may not stand in a request line as it is.
func unsendable(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }

// request is what is sent for a page.
func request(host, path string) string {
	return "GET " + path + " HTTP/1.1\r\n" +
		"Host: " + host + "\r\n" +
		"User-Agent: understudy-probe/1\r\n" +
		"Accept: */*\r\n" +
		"Accept-Encoding: identity\r\n" +
		"Connection: close\r\n\r\n"
}
