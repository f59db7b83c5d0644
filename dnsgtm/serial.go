package dnsgtm

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"

	"github.com/miekg/dns"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// A serial is never used twice and never goes backwards, over restarts and
// crashes too, or secondaries would stay with an old decision. What is stored
// is therefore not the serial in use but the end of a stock of serials: those
// up to it may be used without waiting for a disk, and after a crash the next
// one begins behind it. A clean end gives the rest of the stock back.
type serials struct {
	dir   string // empty: nothing is stored
	write func(path string, data []byte, perm fs.FileMode) error
}

// stock is what is stored of one zone.
type stock struct {
	Format  int    `json:"format"`
	Zone    string `json:"zone"`
	Serial  uint32 `json:"serial"`            // the last one known to be in use
	Ceiling uint32 `json:"ceiling"`           // the last one that may be
	Digest  string `json:"content,omitempty"` // of the zone at a clean end
}

const (
	stockFormat = 1
	stockSize   = 1000 // serials stored in advance
	stockLow    = 500  // left when more are stored
)

// later says whether serial a comes after b (RFC 1982).
func later(a, b uint32) bool { return int32(a-b) > 0 } // #nosec G115 -- serial arithmetic

func (s serials) path(zone string) string {
	return filepath.Join(s.dir, "zone-"+url.PathEscape(zone)+".serial")
}

// load gives what is stored of a zone, a zero stock if nothing is. The error
// says what to do.
func (s serials) load(zone string) (stock, error) {
	if s.dir == "" {
		return stock{}, nil
	}
	text, err := statefile.Read(s.path(zone), mostKey)
	if errors.Is(err, fs.ErrNotExist) {
		return stock{}, nil
	}
	if err != nil {
		return stock{}, fmt.Errorf("read the serial of %s: %w", zone, err)
	}
	var k stock
	if err := json.Unmarshal(text, &k); err != nil || k.Format != stockFormat || k.Zone != zone || later(k.Serial, k.Ceiling) {
		return stock{}, fmt.Errorf("%s is damaged, so that the last serial of %s is unknown: remove the file, and give the SOA of the zone file a serial above every one that a secondary has", s.path(zone), zone)
	}
	return k, nil
}

// first gives the serial to begin with, for content with the given digest and
// a zone file with the given serial.
func (k stock) first(file uint32, digest string) uint32 {
	serial := file
	if k.Format != 0 {
		serial = k.Ceiling + 1
		if k.Serial == k.Ceiling && k.Digest == digest {
			serial = k.Serial
		}
		if later(file, serial) {
			serial = file
		}
	}
	return serial
}

// save stores a stock of serials from the one in use on. With a digest it ends
// the stock there.
func (s serials) save(zone string, serial uint32, digest string) (ceiling uint32, err error) {
	k := stock{stockFormat, zone, serial, serial + stockSize, digest}
	if digest != "" {
		k.Ceiling = serial
	}
	if s.dir == "" {
		return k.Ceiling, nil
	}
	text, err := json.Marshal(k)
	if err != nil {
		return 0, err
	}
	if err := s.write(s.path(zone), append(text, '\n'), 0o660); err != nil {
		return 0, fmt.Errorf("store the serials of %s: %w", zone, err)
	}
	return k.Ceiling, nil
}

// digest tells two contents of a zone apart, whatever the serial and the
// signatures.
func (z *zone) digest(v *version) string {
	sum := sha256.New()
	buf := make([]byte, dns.MaxMsgSize)
	for rr := range z.records(v) {
		switch one := rr.(type) {
		case *dns.RRSIG:
			continue
		case *dns.SOA:
			c := *one
			c.Serial = 0
			rr = &c
		}
		sum.Write(packOne(rr, buf))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// packOne packs a record that others may read: the library notes the length in
// the record that it packs.
func packOne(rr dns.RR, buf []byte) []byte {
	n, err := dns.PackRR(dns.Copy(rr), buf, 0, nil, false)
	if err != nil {
		return nil
	}
	return buf[:n]
}
