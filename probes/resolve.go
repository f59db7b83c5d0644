package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	defaultEvery  = 5 * time.Second
	lookUpTimeout = 15 * time.Second // long enough for a second name server when the first is dead
	mostAddresses = 8                // that one name may have; further ones are not tried
)

// resolver knows the addresses of one host. A name is looked up when somebody
// asks and the last look-up is older than every; the asker waits for it only
// while no address is known.
type resolver struct {
	host, port string
	every      time.Duration
	lookUp     func(ctx context.Context, host string) ([]netip.Addr, error) // nil: the addresses are fixed

	mu     sync.Mutex         // guards the fields below
	addrs  []string           // host:port, the one that connected last first; replaced, never changed
	at     time.Time          // when the last look-up began
	under  chan struct{}      // closed when the look-up under way has ended, nil if none is
	stop   context.CancelFunc // of the look-up under way
	err    error              // why no address is known
	closed bool
}

// newResolver gives the resolver of a target's place. A dialler of the
// target's own is handed the name as it is.
func newResolver(at place, t Target) *resolver {
	r := &resolver{host: at.host, port: at.port, every: t.ResolveEvery, err: fmt.Errorf("%s was not looked up", at.host)}
	if r.every == 0 {
		r.every = defaultEvery
	}
	if _, err := netip.ParseAddr(at.host); err == nil || t.Dial != nil {
		r.addrs = []string{at.addr()}
		return r
	}
	system := net.Resolver{PreferGo: true} // the C library's cannot be broken off
	r.lookUp = func(ctx context.Context, host string) ([]netip.Addr, error) {
		return system.LookupNetIP(ctx, "ip", host)
	}
	return r
}

// addresses gives what is known, the best first. The error says why nothing is
// known at the deadline, or when ctx ended.
func (r *resolver) addresses(ctx context.Context, deadline time.Time) ([]string, error) {
	known, under := r.refresh()
	if len(known) > 0 {
		return known, nil
	}
	if under != nil {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		select {
		case <-under:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, fmt.Errorf("look up %s: no answer yet", r.host)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.addrs) == 0 {
		return nil, r.err
	}
	return r.addrs, nil
}

// refresh starts a look-up if one is due, and gives the known addresses and
// the look-up that is under way.
func (r *resolver) refresh() (known []string, under <-chan struct{}) {
	if r.lookUp == nil {
		return r.addrs, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	due := len(r.addrs) == 0 || time.Since(r.at) >= r.every
	if due && r.under == nil && !r.closed {
		ctx, stop := context.WithTimeout(context.Background(), lookUpTimeout)
		r.at, r.under, r.stop = time.Now(), make(chan struct{}), stop
		go r.look(ctx, r.under)
	}
	return r.addrs, r.under
}

// look looks the name up once. A failure leaves the known addresses.
func (r *resolver) look(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	found, err := r.lookUp(ctx, r.host)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop()
	r.under = nil
	switch {
	case err != nil:
		r.err = fmt.Errorf("look up %s: %s", r.host, tellDNS(err))
	case len(found) == 0:
		r.err = fmt.Errorf("look up %s: it has no address", r.host)
	default:
		r.take(found)
	}
}

// take makes the found addresses the known ones. One that connected last stays
// the first if the name still has it.
func (r *resolver) take(found []netip.Addr) {
	port, _ := strconv.ParseUint(r.port, 10, 16) // checked with the URL
	var addrs []string
	for _, ip := range found {
		if addr := netip.AddrPortFrom(ip.Unmap(), uint16(port)).String(); len(addrs) < mostAddresses && !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	if len(r.addrs) > 0 {
		addrs = promote(addrs, r.addrs[0])
	}
	r.addrs = addrs
}

// prefer notes that an address connected.
func (r *resolver) prefer(addr string) {
	if r.lookUp == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addrs = promote(r.addrs, addr)
}

// promote gives addrs with addr first, if it is among them.
func promote(addrs []string, addr string) []string {
	i := slices.Index(addrs, addr)
	if i <= 0 {
		return addrs
	}
	return slices.Concat(addrs[i:i+1], addrs[:i], addrs[i+1:])
}

// close ends the look-up under way, waits for it, and starts none any more.
func (r *resolver) close() {
	r.mu.Lock()
	r.closed = true
	under := r.under
	if under != nil {
		r.stop()
	}
	r.mu.Unlock()
	if under != nil {
		<-under
	}
}

// tellDNS says why a look-up failed, without the name server's own words.
func tellDNS(err error) string {
	var fault *net.DNSError
	switch {
	case errors.As(err, &fault) && fault.IsNotFound:
		return "no such name"
	case errors.As(err, &fault) && fault.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return "the name server does not answer"
	case errors.Is(err, context.Canceled):
		return "the look-up was given up"
	case errors.As(err, &fault):
		return fault.Err
	}
	return err.Error()
}
