package replicate

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// entry is one file, folder or link of a tree, as two nodes compare it. Other
// things, sockets and devices, belong to a machine and are left out.
type entry struct {
	path  string // from the tree's root; the root itself is ""
	kind  kind
	mode  uint32 // permissions; of a link 0
	uid   uint32 // 0 where owners are not compared
	gid   uint32
	size  int64  // of a file
	mtime int64  // in nanoseconds; of a folder 0, for what is in it says more
	link  string // where a link leads
	hard  uint64 // names the first path of the same file, in the walk's order; 0: it has one only
	attrs uint64 // names the extended attributes and access lists; 0: none

	// These are a machine's own and tell whether a file was touched in between.
	inode uint64
	ctime int64
}

type kind byte

const (
	file   kind = 'f'
	folder kind = 'd'
	link   kind = 'l'
)

// same says whether two entries are equal on two machines.
func (e entry) same(o entry) bool {
	e.inode, e.ctime, o.inode, o.ctime = 0, 0, 0, 0
	return e == o
}

// untouched says whether two entries of one machine are the same file that
// nobody has touched.
func (e entry) untouched(o entry) bool { return e == o || e.kind == folder && e.same(o) }

// put appends what two machines compare. Every part has its length or is of
// fixed length, so that no two entries are written alike.
func (e entry) put(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(e.path)))
	b = append(b, e.path...)
	b = append(b, byte(e.kind))
	b = binary.AppendUvarint(b, uint64(e.mode))
	b = binary.AppendUvarint(b, uint64(e.uid))
	b = binary.AppendUvarint(b, uint64(e.gid))
	b = binary.AppendVarint(b, e.size)
	b = binary.AppendVarint(b, e.mtime)
	b = binary.AppendUvarint(b, uint64(len(e.link)))
	b = append(b, e.link...)
	b = binary.BigEndian.AppendUint64(b, e.hard)
	return binary.BigEndian.AppendUint64(b, e.attrs)
}

// order compares two paths as a walk meets them: a folder, then what is in it,
// then its neighbours.
func order(a, b string) int {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		switch {
		case x == y:
		case x == '/':
			return -1
		case y == '/':
			return 1
		case x < y:
			return -1
		default:
			return 1
		}
	}
	return len(a) - len(b)
}

// sum gathers what a walk meets into one digest, the tree's root, and counts.
type sum struct {
	hash hash.Hash
	buf  []byte
	Totals
}

// Totals are the figures of a tree.
type Totals struct {
	Root    string `json:"root"` // digest of the manifest
	Entries int64  `json:"entries"`
	Files   int64  `json:"files"`
	Bytes   int64  `json:"bytes"`
}

func newSum() *sum { return &sum{hash: sha256.New()} }

func (s *sum) add(e entry) {
	s.buf = e.put(s.buf[:0])
	s.hash.Write(s.buf)
	s.Entries++
	if e.kind == file {
		s.Files++
		s.Bytes += e.size
	}
}

func (s *sum) totals() Totals {
	t := s.Totals
	t.Root = fmt.Sprintf("%x", s.hash.Sum(nil))
	return t
}

// manifestWriter writes a manifest to disk: a tree may have more entries than
// memory should.
type manifestWriter struct {
	f   *os.File
	w   *bufio.Writer
	buf []byte
}

func newManifest(path string) (*manifestWriter, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &manifestWriter{f: f, w: bufio.NewWriterSize(f, 64<<10)}, nil
}

func (m *manifestWriter) add(e entry) error {
	m.buf = e.put(m.buf[:0])
	m.buf = binary.AppendUvarint(m.buf, e.inode)
	m.buf = binary.AppendVarint(m.buf, e.ctime)
	_, err := m.w.Write(m.buf)
	return err
}

func (m *manifestWriter) close() error { return errors.Join(m.w.Flush(), m.f.Close()) }

// manifest reads one back, entry by entry.
type manifest struct {
	f *os.File
	r *bufio.Reader
}

func openManifest(path string) (*manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &manifest{f, bufio.NewReaderSize(f, 64<<10)}, nil
}

func (m *manifest) close() { _ = m.f.Close() }

// next gives the next entry; io.EOF at the end.
func (m *manifest) next() (e entry, err error) {
	if _, err = m.r.Peek(1); err != nil {
		return e, err
	}
	p := parts{r: m.r}
	e.path = p.text()
	e.kind = kind(p.octet())
	e.mode, e.uid, e.gid = uint32(p.number()), uint32(p.number()), uint32(p.number()) // #nosec G115 -- written from 32 bits
	e.size, e.mtime = p.signed(), p.signed()
	e.link = p.text()
	e.hard, e.attrs = p.fixed(), p.fixed()
	e.inode, e.ctime = p.number(), p.signed()
	return e, p.err
}

// parts reads the parts of an entry; the first error stays.
type parts struct {
	r   *bufio.Reader
	err error
}

func (p *parts) fail(err error) {
	if p.err == nil && err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		p.err = err
	}
}

func (p *parts) number() uint64 {
	n, err := binary.ReadUvarint(p.r)
	p.fail(err)
	return n
}

func (p *parts) signed() int64 {
	n, err := binary.ReadVarint(p.r)
	p.fail(err)
	return n
}

func (p *parts) octet() byte {
	b, err := p.r.ReadByte()
	p.fail(err)
	return b
}

func (p *parts) fixed() uint64 {
	var b [8]byte
	_, err := io.ReadFull(p.r, b[:])
	p.fail(err)
	return binary.BigEndian.Uint64(b[:])
}

// mostPath bounds a path and where a link leads: the kernel takes 4096 bytes of
// each, and a walk may meet longer paths than that.
const mostPath = 64 << 10

func (p *parts) text() string {
	n := p.number()
	if n > mostPath {
		p.fail(errors.New("a path in a manifest is longer than any"))
		return ""
	}
	b := make([]byte, n)
	_, err := io.ReadFull(p.r, b)
	p.fail(err)
	return string(b)
}
