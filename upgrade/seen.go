package upgrade

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
)

// Seen is something that is looked at from the machine of a run, before and
// after it: a certificate, the answer of a name.
type Seen struct {
	What  string    `json:"what"` // certificate, name
	Of    string    `json:"of"`
	Value string    `json:"value,omitempty"`
	Until time.Time `json:"until,omitzero"` // of a certificate
	Fault string    `json:"fault,omitempty"`
}

// The kinds of what is Seen.
const (
	seenCertificate = "certificate"
	seenName        = "name"
)

// seenWithin is how long looking may take.
const seenWithin = 5 * time.Second

// Around looks at what the configuration names beside nodes and routers.
func Around(ctx context.Context, c config.Upgrade) []Seen {
	ctx, cancel := context.WithTimeout(ctx, seenWithin)
	defer cancel()
	all := make([]Seen, len(c.Certificates)+len(c.Names))
	var looks sync.WaitGroup
	for i, at := range c.Certificates {
		looks.Go(func() { all[i] = certificate(ctx, at) })
	}
	for i, name := range c.Names {
		looks.Go(func() { all[len(c.Certificates)+i] = answer(ctx, name) })
	}
	looks.Wait()
	return all
}

// certificate tells what is shown at an address. It is not judged here: one that
// clients would not take is told as it is.
func certificate(ctx context.Context, at string) Seen {
	s := Seen{What: seenCertificate, Of: at}
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // #nosec G402 -- it is looked at, nothing is sent
	conn, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		s.Fault = err.Error()
		return s
	}
	defer conn.Close()
	shown := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	sum := sha256.Sum256(shown.Raw)
	name := shown.Subject.CommonName
	if len(shown.DNSNames) > 0 {
		name = shown.DNSNames[0]
	}
	s.Until = shown.NotAfter.UTC()
	s.Value = fmt.Sprintf("%s, sha256:%s, until %s", cut(name, 80), hex.EncodeToString(sum[:8]), s.Until.Format("2006-01-02"))
	return s
}

// answer tells the addresses of a name, sorted: by this machine's resolver, or
// NAME@SERVER by a name server.
func answer(ctx context.Context, asked string) Seen {
	s := Seen{What: seenName, Of: asked}
	name, server, direct := strings.Cut(asked, "@")
	r := net.DefaultResolver
	if direct {
		r = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server)
		}}
		name = strings.TrimSuffix(name, ".") + "." // no search list of this machine
	}
	found, err := r.LookupHost(ctx, name)
	if err != nil {
		s.Fault = err.Error()
		return s
	}
	slices.Sort(found)
	s.Value = strings.Join(found, " ")
	return s
}

// shows is what a report says of it.
func (s Seen) shows() string {
	if s.Fault != "" {
		return "not seen: " + s.Fault
	}
	return s.Value
}
