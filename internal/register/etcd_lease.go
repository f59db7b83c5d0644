package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Lease is one node's way to the right to be Active: a key in etcd that at
// most one node holds, bound to an etcd lease that ends by itself. Its epoch is
// the key's create revision, which only grows. See [Etcd.NewLease].
//
// The key is one's own by the id of the etcd lease, never by a name: a node
// that was started anew does not own what it held before. All methods may be
// called from any goroutine, one at a time does.
type Lease struct {
	etcd *Etcd
	name string
	node string
	ttl  time.Duration
	now  func() time.Time

	mu sync.Mutex // guards the field below
	id clientv3.LeaseID
}

// Term is a held lease.
type Term struct {
	Epoch    uint64
	Deadline time.Time // of the clock that NewLease was given; counted from when the answered request was sent
}

// Seen is what etcd holds of a lease at one revision.
type Seen struct {
	Holder   string // empty: nobody
	Epoch    uint64 // the holder's
	Own      bool   // this Lease holds it
	Served   Served
	Revision int64
	Cluster  uint64
}

// Served says who opened its door for clients last, and with which epoch. It
// does not end with a lease.
type Served struct {
	Node  string `json:"node"`
	Epoch uint64 `json:"epoch"`
}

// Taken is the error of Take where another holds the lease, or this node did
// before it was started anew.
type Taken struct {
	Holder string
	Epoch  uint64
}

func (t *Taken) Error() string {
	return fmt.Sprintf("the lease is held by %s since epoch %d", t.Holder, t.Epoch)
}

// ErrLost is the error of a Lease that is not held, or not any more.
var ErrLost = errors.New("the lease is not held")

// WentBack is the error of an etcd that is another cluster than before or holds
// an earlier revision: what was decided there cannot be relied on.
type WentBack struct{ Why string }

func (w *WentBack) Error() string { return w.Why }

// NewLease gives node's way to the lease called name, which etcd ends ttl
// (whole seconds) after the last renewal. now is a clock that counts on while
// the machine is suspended.
func (e *Etcd) NewLease(name, node string, ttl time.Duration, now func() time.Time) (*Lease, error) {
	for _, word := range []string{name, node} {
		if err := checkName(word); err != nil {
			return nil, err
		}
	}
	if ttl < time.Second || ttl%time.Second != 0 {
		return nil, fmt.Errorf("a lease lasts whole seconds, at least one, not %s", ttl)
	}
	return &Lease{etcd: e, name: name, node: node, ttl: ttl, now: now}, nil
}

// ID gives the etcd lease that was granted last, 0 if none is held; Adopt makes
// one that was granted to an earlier process this one's, so that Release ends
// it.
func (l *Lease) ID() int64 { return int64(l.own()) }

// Adopt does that. It is called before anything else.
func (l *Lease) Adopt(id int64) { l.keep(clientv3.LeaseID(id)) }

func (l *Lease) key() string    { return l.etcd.key(leaseKeys, l.name) }
func (l *Lease) served() string { return l.etcd.key(leaseKeys, l.name, "served") }

func (l *Lease) own() clientv3.LeaseID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.id
}

func (l *Lease) keep(id clientv3.LeaseID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.id = id
}

// Take takes the lease if nobody holds it: *Taken if somebody does, *WentBack if
// etcd did. Called again while it is held it gives the same Term with an earlier
// Deadline than Renew would. After any other error it is not known whether it is
// held: take again, or Release.
func (l *Lease) Take(ctx context.Context) (Term, error) {
	sent := l.now()
	if l.own() == 0 {
		if err := l.Grant(ctx); err != nil {
			return Term{}, err
		}
	} else if _, err := l.Renew(ctx); errors.Is(err, ErrLost) {
		return l.Take(ctx)
	} else if err != nil {
		return Term{}, err
	}
	return l.create(ctx, sent)
}

// Grant has etcd grant a lease that is not bound to the key yet. Take does it
// by itself; who has to know the lease's ID before it is used does it first.
func (l *Lease) Grant(ctx context.Context) error {
	err := l.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		granted, err := c.Grant(ctx, int64(l.ttl/time.Second))
		if err == nil {
			l.keep(granted.ID)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("take lease %s: %w", l.name, err)
	}
	return nil
}

// create makes the key under our lease, if there is none.
func (l *Lease) create(ctx context.Context, sent time.Time) (term Term, err error) {
	id := l.own()
	var taken *Taken
	err = l.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		before, err := l.etcd.seen()
		if err != nil {
			return err
		}
		answer, err := c.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(l.key()), "=", 0)).
			Then(clientv3.OpPut(l.key(), l.node, clientv3.WithLease(id))).
			Else(clientv3.OpGet(l.key())).Commit()
		if err != nil {
			return err
		}
		if taken = nil; answer.Succeeded {
			term = Term{uint64(answer.Header.Revision), sent.Add(l.ttl)}
			return l.etcd.mark(before, answer.Header, nil)
		}
		kv := answer.Responses[0].GetResponseRange().Kvs[0]
		term = Term{uint64(kv.CreateRevision), sent.Add(l.ttl)}
		if clientv3.LeaseID(kv.Lease) != id {
			taken = &Taken{string(kv.Value), uint64(kv.CreateRevision)}
		}
		return l.etcd.mark(before, answer.Header, nil)
	})
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		l.keep(0)
		return Term{}, ErrLost
	case err != nil:
		return Term{}, fmt.Errorf("take lease %s: %w", l.name, err)
	case taken != nil:
		return Term{}, taken
	}
	return term, nil
}

// Renew makes the lease last its whole time again and gives the deadline, from
// when the request was sent. ErrLost says that it has ended. After any other
// error the old deadline stands.
func (l *Lease) Renew(ctx context.Context) (deadline time.Time, err error) {
	id := l.own()
	if id == 0 {
		return time.Time{}, ErrLost
	}
	err = l.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		sent := l.now() // of this try: one that was not answered may never have come
		answer, err := c.KeepAliveOnce(ctx, id)
		if err != nil {
			return err
		}
		deadline = sent.Add(min(l.ttl, time.Duration(answer.TTL)*time.Second))
		return nil
	})
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		l.keep(0)
		return time.Time{}, ErrLost
	case err != nil:
		return time.Time{}, fmt.Errorf("renew lease %s: %w", l.name, err)
	}
	return deadline, nil
}

// Release ends our own etcd lease, and with it our key. It never deletes a key:
// one that is there by then may be another's. It is done also when the lease has
// ended by itself.
func (l *Lease) Release(ctx context.Context) error {
	id := l.own()
	if id == 0 {
		return nil
	}
	err := l.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Revoke(ctx, id)
		return err
	})
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("release lease %s: %w", l.name, err)
	}
	l.keep(0)
	return nil
}

// Serve writes down, before the door for clients opens, that this node serves
// with its epoch. ErrLost says that the lease is not held: the door must stay
// closed.
func (l *Lease) Serve(ctx context.Context, epoch uint64) error {
	id := l.own()
	if id == 0 {
		return ErrLost
	}
	text, err := json.Marshal(Served{l.node, epoch})
	if err != nil {
		return err
	}
	held := false
	err = l.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		before, err := l.etcd.seen()
		if err != nil {
			return err
		}
		answer, err := c.Txn(ctx).If(
			clientv3.Compare(clientv3.CreateRevision(l.key()), "=", int64(epoch)),
			clientv3.Compare(clientv3.LeaseValue(l.key()), "=", id),
		).Then(clientv3.OpPut(l.served(), string(text))).Commit()
		if err != nil {
			return err
		}
		if held = answer.Succeeded; !held {
			return l.etcd.mark(before, answer.Header, nil)
		}
		return l.etcd.mark(before, answer.Header, map[string]uint64{l.name: epoch})
	})
	switch {
	case err != nil:
		return fmt.Errorf("serve by lease %s: %w", l.name, err)
	case !held:
		return ErrLost
	}
	return nil
}

// Look gives what etcd holds now; *WentBack if that cannot be relied on.
func (l *Lease) Look(ctx context.Context) (seen Seen, err error) {
	id := l.own()
	err = l.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		before, err := l.etcd.seen()
		if err != nil {
			return err
		}
		answer, err := c.Txn(ctx).Then(clientv3.OpGet(l.key()), clientv3.OpGet(l.served())).Commit()
		if err != nil {
			return err
		}
		seen = Seen{Revision: answer.Header.Revision, Cluster: answer.Header.ClusterId}
		for _, kv := range answer.Responses[0].GetResponseRange().Kvs {
			seen.Holder, seen.Epoch = string(kv.Value), uint64(kv.CreateRevision)
			seen.Own = id != 0 && clientv3.LeaseID(kv.Lease) == id
		}
		for _, kv := range answer.Responses[1].GetResponseRange().Kvs {
			if err := json.Unmarshal(kv.Value, &seen.Served); err != nil {
				return &WentBack{fmt.Sprintf("%s in etcd cannot be read: who served last is not known", l.served())}
			}
		}
		return l.etcd.mark(before, answer.Header, map[string]uint64{l.name: seen.Served.Epoch})
	})
	if err != nil {
		return Seen{}, fmt.Errorf("look at lease %s: %w", l.name, err)
	}
	return seen, nil
}

// Await returns nil when nobody holds the lease. The error says that this cannot
// be seen any more.
func (l *Lease) Await(ctx context.Context) error {
	var from int64
	var client *clientv3.Client
	held := false
	err := l.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		answer, err := c.Get(ctx, l.key())
		if err != nil {
			return err
		}
		held, from, client = len(answer.Kvs) > 0, answer.Header.Revision+1, c
		return nil
	})
	if err != nil || !held {
		return err
	}
	gone := func(events []*clientv3.Event) bool { return len(events) > 0 }
	return l.etcd.attend(ctx, client, gone, l.key(), clientv3.WithRev(from), clientv3.WithFilterPut())
}

// Raise brings etcd's revision above floor, so that the next epoch is above it
// too, and makes this etcd the one to rely on: what a person orders after etcd
// went back.
func (l *Lease) Raise(ctx context.Context, floor uint64) error {
	for {
		var at uint64
		err := l.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
			answer, err := c.Put(ctx, l.etcd.key(leaseKeys, l.name, "raised"), l.node)
			if err != nil {
				return err
			}
			at = uint64(answer.Header.Revision)
			return l.etcd.trust(answer.Header)
		})
		if err != nil {
			return fmt.Errorf("raise lease %s: %w", l.name, err)
		}
		if at > floor {
			return nil
		}
	}
}

// ask is Etcd.insist, but what etcd says of the lease itself is no sign that etcd
// is gone.
func (l *Lease) ask(ctx context.Context, ask func(context.Context, *clientv3.Client) error) error {
	var said error
	err := l.etcd.insist(ctx, func(ctx context.Context, c *clientv3.Client) error {
		err := ask(ctx, c)
		var back *WentBack
		if errors.Is(err, rpctypes.ErrLeaseNotFound) || errors.As(err, &back) {
			said = err
			return nil
		}
		said = nil
		return err
	})
	return errors.Join(err, said)
}
