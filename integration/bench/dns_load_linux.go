package main

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// dnsFlows is how many sockets the questions come from, dnsBatch how many one
// system call sends or reads, dnsWindow how many may be unanswered.
const (
	dnsFlows  = 128
	dnsBatch  = 32
	dnsWindow = 512
	dnsLost   = 50 * time.Millisecond // without any answer: the window is opened again
)

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	syscall.Msghdr
	length uint32
}

// dnsLoad asks questions as fast as they are answered, or at a rate.
type dnsLoad struct {
	questions [][]byte
	rate      float64 // a second; 0: as fast as they are answered
	sockets   []int
	ins, outs [dnsBatch]mmsghdr
	inVec     [dnsBatch]syscall.Iovec
	outVec    [dnsBatch]syscall.Iovec
	bufs      [dnsBatch][4096]byte
	next      int
	good, bad int
}

// sendmmsgCall is sendmmsg(2), which package syscall does not name everywhere.
var sendmmsgCall = map[string]uintptr{"amd64": 307, "arm64": 269, "riscv64": 269}[runtime.GOARCH]

func newDNSLoad(address string, questions [][]byte, rate float64) (*dnsLoad, error) {
	at, err := net.ResolveUDPAddr("udp4", address)
	if err != nil || sendmmsgCall == 0 {
		return nil, errors.Join(err, errors.New("the generator knows amd64, arm64 and riscv64"))
	}
	l := &dnsLoad{questions: questions, rate: rate}
	for i := range dnsBatch {
		l.inVec[i].Base = &l.bufs[i][0]
		l.inVec[i].SetLen(len(l.bufs[i]))
		l.ins[i].Iov, l.ins[i].Iovlen = &l.inVec[i], 1
		l.outs[i].Iov, l.outs[i].Iovlen = &l.outVec[i], 1
	}
	to := &syscall.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}
	for range dnsFlows {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		l.sockets = append(l.sockets, fd)
		if err := syscall.Connect(fd, to); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *dnsLoad) close() {
	for _, fd := range l.sockets {
		_ = syscall.Close(fd)
	}
}

// run asks for a while and gives the answers a second and how many answers
// were not what a good server says. It keeps its core busy all the time.
func (l *dnsLoad) run(ctx context.Context, lasts time.Duration) (perSecond float64, wrong int) {
	l.good, l.bad = 0, 0
	began := time.Now()
	sent, heard, open := 0, began, 0
	for turn := 0; ; turn++ {
		now := time.Now()
		if now.Sub(began) >= lasts || ctx.Err() != nil {
			break
		}
		fd := l.sockets[turn%dnsFlows]
		due := min(dnsBatch, dnsWindow-open)
		if l.rate > 0 {
			due = min(due, int(now.Sub(began).Seconds()*l.rate)-sent)
		}
		if due > 0 {
			n := l.send(fd, due)
			sent, open = sent+n, open+n
		}
		if n := l.hear(l.sockets[(turn+dnsFlows/2)%dnsFlows]) + l.hear(fd); n > 0 {
			heard, open = now, max(0, open-n)
		} else if now.Sub(heard) > dnsLost {
			heard, open = now, 0
		}
	}
	return float64(l.good) / time.Since(began).Seconds(), l.bad
}

// send sends some questions over one socket and gives how many went out.
func (l *dnsLoad) send(fd, count int) int {
	for i := range count {
		q := l.questions[l.next%len(l.questions)]
		l.next++
		l.outVec[i].Base = &q[0]
		l.outVec[i].SetLen(len(q))
	}
	// #nosec G103 -- the kernel reads the batch
	n, _, errno := syscall.RawSyscall6(sendmmsgCall, uintptr(fd), uintptr(unsafe.Pointer(&l.outs)), uintptr(count), syscall.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// hear reads what one socket has and gives how much that was. A good answer is
// authoritative, without error and has a record.
func (l *dnsLoad) hear(fd int) int {
	// #nosec G103 -- the kernel fills the batch
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&l.ins)), dnsBatch, syscall.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	for i := range int(n) {
		b := &l.bufs[i]
		if l.ins[i].length > 12 && b[2]&0x84 == 0x84 && b[3]&0xf == 0 && binary.BigEndian.Uint16(b[6:]) > 0 {
			l.good++
		} else {
			l.bad++
		}
	}
	return int(n)
}
