package dnsgtm

import (
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is how many messages are read or sent by one system call. More
// cost latency and win nothing.
const batchSize = 32

// idle is how often a worker that hears nothing looks whether it shall end.
const idle = 100 * time.Millisecond

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	length uint32
}

// batch is the memory that the kernel reads messages into and takes replies
// from: message i comes in ins[i], and its sender and the address it was sent to
// stay where they are for the reply.
type batch struct {
	ins, outs [batchSize]mmsghdr
	inVec     [batchSize]unix.Iovec
	outVec    [batchSize]unix.Iovec
	names     [batchSize]unix.RawSockaddrInet6 // the larger of both kinds
	controls  [batchSize][64]byte
	bufs      [batchSize][mostUDP]byte
	pktinfo   bool // the socket is bound to every address, so replies must say from which they come
}

func newBatch(pktinfo bool) *batch {
	b := &batch{pktinfo: pktinfo}
	for i := range batchSize {
		b.inVec[i].Base = &b.bufs[i][0]
		b.inVec[i].SetLen(mostUDP)
		in, out := &b.ins[i].Msghdr, &b.outs[i].Msghdr
		in.Name = (*byte)(unsafe.Pointer(&b.names[i])) // #nosec G103 -- the kernel's interface
		in.Iov, out.Iov = &b.inVec[i], &b.outVec[i]
		in.SetIovlen(1)
		out.SetIovlen(1)
		b.arm(i)
	}
	return b
}

// arm makes a slot ready for the next message. The kernel has changed only the
// lengths.
func (b *batch) arm(i int) {
	in := &b.ins[i].Msghdr
	in.Namelen = uint32(unsafe.Sizeof(b.names[i])) // #nosec G103
	if b.pktinfo {
		in.Control = &b.controls[i][0]
		in.SetControllen(len(b.controls[i]))
	}
	in.Flags = 0
}

// from gives the sender of message i.
func (b *batch) from(i int) netip.AddrPort {
	n := &b.names[i]
	switch n.Family {
	case unix.AF_INET:
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(n)) // #nosec G103
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), swap(four.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(n.Addr).Unmap(), swap(n.Port))
	}
	return netip.AddrPort{}
}

// swap turns a port from the order of the network into ours.
func swap(port uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&port)) // #nosec G103
	return uint16(b[0])<<8 | uint16(b[1])
}

// put makes reply number out the answer to message in.
func (b *batch) put(out, in int, reply []byte) {
	b.outVec[out].Base = &reply[0]
	b.outVec[out].SetLen(len(reply))
	to, from := &b.outs[out].Msghdr, &b.ins[in].Msghdr
	to.Name, to.Namelen = from.Name, from.Namelen
	if b.pktinfo {
		to.Control = from.Control
		to.Controllen = from.Controllen
		b.source(in, int(from.Controllen)) // #nosec G115 -- at most 64
	}
}

// source turns what the kernel says of the address that message i was sent to
// into the address that its reply comes from, by whatever interface.
func (b *batch) source(i, length int) {
	const head = unix.SizeofCmsghdr
	c := (*unix.Cmsghdr)(unsafe.Pointer(&b.controls[i])) // #nosec G103
	if length < head || c.Level != unix.IPPROTO_IP || c.Type != unix.IP_PKTINFO {
		return // in6_pktinfo is the same in both directions
	}
	info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&b.controls[i][head])) // #nosec G103
	info.Ifindex, info.Spec_dst = 0, info.Addr
}

// serve serves the socket until the door closes: it reads what there is, with
// one call, answers it, and sends the replies with another. It keeps a thread
// for itself, so that the first call may block.
func (w *worker) serve(closing *atomic.Bool) {
	raw, err := w.conn.SyscallConn()
	if err != nil {
		w.servePortable(closing)
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	works := true
	_ = raw.Control(func(fd uintptr) { works = w.serveBatches(int(fd), closing) }) // #nosec G115 -- a descriptor
	if !works {
		w.servePortable(closing)
	}
}

// serveBatches is serve on a descriptor. It is false if the kernel does not
// know the calls.
func (w *worker) serveBatches(fd int, closing *atomic.Bool) bool {
	local, _ := w.conn.LocalAddr().(*net.UDPAddr)
	b := newBatch(local != nil && local.IP.IsUnspecified())
	limit := unix.NsecToTimeval(int64(idle))
	if unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit) != nil || unix.SetNonblock(fd, false) != nil {
		return false
	}
	var k quick
	for !closing.Load() {
		// #nosec G103 -- the kernel fills the batch
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.ins)), batchSize, unix.MSG_WAITFORONE, 0, 0)
		switch errno {
		case 0:
			w.turn(&k, b, fd, int(n)) // #nosec G115 -- at most batchSize
		case unix.EAGAIN: // nothing came; or another process that took the socket over made it non-blocking
			_ = unix.SetNonblock(fd, false)
		case unix.ENOSYS, unix.EPERM: // a sandbox
			return unix.SetNonblock(fd, true) != nil
		}
	}
	return true
}

// turn answers the messages of a batch.
func (w *worker) turn(k *quick, b *batch, fd, n int) {
	now := time.Now()
	d := w.s.desk(now)
	nano := now.UnixNano()
	out := 0
	for i := range n {
		in := &b.ins[i]
		if in.Flags&unix.MSG_TRUNC == 0 {
			if reply := w.work(k, b.bufs[i][:in.length], &d, b.from(i), nano); len(reply) > 0 {
				b.put(out, i, reply)
				out++
			}
		} else {
			w.tally.dropped.Add(1)
		}
	}
	w.send(b, fd, out)
	for i := range n {
		b.arm(i)
	}
}

// send sends the first replies of a batch. One that cannot be sent is counted
// and left out; what a full socket does not take is lost, as the network may
// lose it.
func (w *worker) send(b *batch, fd, count int) {
	for first := 0; first < count; {
		// #nosec G103 -- the kernel reads the batch
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.outs[first])), uintptr(count-first), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == 0:
			first += int(n) // #nosec G115 -- at most batchSize
		case errno == unix.EINTR:
		case errno == unix.EAGAIN || errno == unix.ENOBUFS:
			w.tally.unsent.Add(uint64(count - first)) // #nosec G115 -- not negative
			return
		default:
			w.tally.unsent.Add(1)
			first++
		}
	}
}

// wake does nothing: a worker looks by itself every so often.
func (w *worker) wake() {}

// shareStream lets the next process of ours listen beside us for a moment.
func shareStream(_, _ string, c syscall.RawConn) error {
	return setOptions(c, []option3{{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}})
}

// sharePacket lets every worker have a socket, asks for the address that each
// message was sent to, and keeps path MTU discovery, which can be forged, away
// from replies that always fit (RFC 9715, 3.1).
func sharePacket(network, address string, c syscall.RawConn) error {
	host, _, _ := net.SplitHostPort(address)
	every := 0
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		every = 1
	}
	options := []option3{{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1}, {unix.SOL_SOCKET, unix.SO_RCVBUF, 4 << 20}}
	if network == "udp6" {
		options = append(options, option3{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1},
			option3{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, every}, option3{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT})
	} else {
		options = append(options, option3{unix.IPPROTO_IP, unix.IP_PKTINFO, every}, option3{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT})
	}
	return setOptions(c, options)
}

// ownUser says whether the other end of a unix socket is a process of our own
// user, or of root.
func ownUser(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	own := false
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) // #nosec G115 -- a descriptor
		own = err == nil && (cred.Uid == 0 || int(cred.Uid) == unix.Getuid())
	})
	return err == nil && own
}

type option3 struct{ level, name, value int }

func setOptions(c syscall.RawConn, options []option3) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		for _, o := range options {
			if e := unix.SetsockoptInt(int(fd), o.level, o.name, o.value); e != nil && failed == nil { // #nosec G115 -- a descriptor
				failed = e
			}
		}
	})
	if err != nil {
		return err
	}
	return failed
}
