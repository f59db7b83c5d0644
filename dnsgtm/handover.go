package dnsgtm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// heirloom is what one process tells the next of a zone's serial.
type heirloom struct {
	Serial uint32 `json:"serial"`
	Digest string `json:"content"`
}

// estate is what one process hands over to the next, beside the sockets, which
// go with it in the order of Keys.
type estate struct {
	Format  int                 `json:"format"`
	Keys    []string            `json:"sockets"`
	Serials map[string]heirloom `json:"serials"`
	Cookies [][2]uint64         `json:"cookies"`
}

const (
	estateFormat = 1
	mostEstate   = 16 << 20
	socketsOnce  = 200 // that go with one message; the kernel takes 253
	handoverTime = 30 * time.Second
)

// ErrNobody is Take's error where no process offers its sockets.
var ErrNobody = errors.New("no process hands its sockets over")

// Offer hands the sockets of the server over to the process that asks for them
// at a unix socket, which only our own user may. The channel is closed when the
// other one answers queries and this server has stopped; until then it answers
// itself, also if the other one fails. It ends with the context.
func (s *Server) Offer(ctx context.Context, path string) (taken <-chan struct{}, err error) {
	_ = os.Remove(path) // of a process that was killed
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("offer sockets: %w", err)
	}
	l.SetUnlinkOnClose(false) // the next process has put its own in place by then
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("offer sockets: %w", err)
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { l.Close() })
	go func() { // ends with the listener, which ends with ctx or a hand-over
		defer stop()
		defer l.Close()
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			err = s.bequeath(conn)
			conn.Close()
			if err == nil {
				close(done)
				return
			}
			s.log.Warn("sockets not handed over: this process goes on", "error", err)
		}
	}()
	return done, nil
}

// bequeath hands everything over to one process, and ends our serving when that
// one says that it has begun.
func (s *Server) bequeath(conn *net.UnixConn) (err error) {
	if !ownUser(conn) {
		return errors.New("another user asked for them")
	}
	_ = conn.SetDeadline(time.Now().Add(handoverTime))
	e, files, err := s.freeze()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.thaw()
		}
	}()
	if err := give(conn, e, files); err != nil {
		return err
	}
	word, err := bufio.NewReader(io.LimitReader(conn, 64)).ReadString('\n')
	if err != nil || word != "serving\n" {
		return fmt.Errorf("the other process did not begin to serve: %w", err)
	}
	return s.Close()
}

// freeze leaves the serials to another process, and gives what it needs.
func (s *Server) freeze() (estate, []int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		return estate{}, nil, errors.New("the server has not started")
	}
	s.frozen = true
	e := estate{Format: estateFormat, Serials: map[string]heirloom{}, Cookies: s.cookies.Load().secrets}
	for apex, z := range s.table.Load().zones {
		e.Serials[apex] = heirloom{z.told.serial, z.digest(z.told)}
	}
	files, err := s.door.descriptors(&e)
	return e, files, err
}

// thaw takes the serials back, and tells secondaries what they missed.
func (s *Server) thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = false
	for _, z := range s.table.Load().zones {
		s.step(z, z.now.Load().names, "handover_failed")
	}
}

// descriptors gives the sockets and notes their keys.
func (d *door) descriptors(e *estate) (files []int, err error) {
	add := func(key string, conn any) {
		c, is := conn.(syscall.Conn)
		if !is {
			err = errors.Join(err, fmt.Errorf("%s has no descriptor", key))
			return
		}
		raw, failed := c.SyscallConn()
		if failed == nil {
			failed = raw.Control(func(fd uintptr) { files = append(files, int(fd)) }) // #nosec G115 -- a descriptor
		}
		err = errors.Join(err, failed)
		e.Keys = append(e.Keys, key)
	}
	for _, w := range d.packets {
		add(w.key, w.conn)
	}
	for _, l := range d.streams {
		add(l.key, l.Listener)
	}
	return files, err
}

// give sends an estate: its length as a line, the text, and the sockets in as
// many messages of one byte as it takes.
func give(conn *net.UnixConn, e estate, files []int) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "%d\n%s", len(text), text); err != nil {
		return err
	}
	for len(files) > 0 {
		n := min(socketsOnce, len(files))
		if _, _, err := conn.WriteMsgUnix([]byte{'.'}, syscall.UnixRights(files[:n]...), nil); err != nil {
			return err
		}
		files = files[n:]
	}
	return nil
}

// Take starts the server with the sockets of the process that offers them at a
// path, which stops when this one has begun: no query is lost. ErrNobody if
// there is none; after any error the other one goes on.
func (s *Server) Take(ctx context.Context, path string) error {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNobody, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(handoverTime))
	e, given, err := receive(conn)
	defer func() {
		for _, f := range given {
			f.Close()
		}
	}()
	if err != nil {
		return fmt.Errorf("take sockets: %w", err)
	}
	if s.table.Load().config.Cookies == "" && len(e.Cookies) > 0 {
		s.cookies.Store(&cookies{e.Cookies})
	}
	if err := s.start(ctx, given, e.Serials); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "serving\n"); err != nil {
		_ = s.Close()
		return fmt.Errorf("take sockets: %w", err)
	}
	_, _ = io.Copy(io.Discard, conn) // until the other one has stopped
	return nil
}

// receive is the other end of give. The length is read byte by byte: what
// follows must not be read into a buffer, for sockets come with it.
func receive(conn *net.UnixConn) (e estate, given sockets, err error) {
	var length int
	var one [1]byte
	for {
		if _, err := io.ReadFull(conn, one[:]); err != nil {
			return e, nil, err
		}
		if one[0] == '\n' {
			break
		}
		if one[0] < '0' || one[0] > '9' || length > mostEstate {
			return e, nil, errors.New("what was handed over cannot be understood")
		}
		length = 10*length + int(one[0]-'0')
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(conn, text); err != nil {
		return e, nil, err
	}
	if err := json.Unmarshal(text, &e); err != nil || e.Format != estateFormat {
		return e, nil, errors.New("the other process is of another version: restart instead")
	}
	given = sockets{}
	for len(given) < len(e.Keys) {
		if err := receiveSome(conn, e.Keys, given); err != nil {
			return e, given, err
		}
	}
	return e, given, nil
}

func receiveSome(conn *net.UnixConn, keys []string, into sockets) error {
	control := make([]byte, syscall.CmsgSpace(4*socketsOnce))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 1), control)
	if err != nil {
		return err
	}
	messages, err := syscall.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) == 0 {
		return errors.Join(errors.New("sockets are missing"), err)
	}
	for _, m := range messages {
		files, err := syscall.ParseUnixRights(&m)
		if err != nil {
			return err
		}
		for _, fd := range files {
			if len(into) == len(keys) {
				return errors.New("there are more sockets than names for them")
			}
			syscall.CloseOnExec(fd)
			key := keys[len(into)]
			into[key] = os.NewFile(uintptr(fd), key) // #nosec G115 -- a descriptor
		}
	}
	return nil
}
