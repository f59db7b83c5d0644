package register

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Watch gives a channel that receives after every change of a group's Traffic
// by anyone, this Etcd included, and when etcd has been down for long or is up
// again; several changes may be one signal. Load after
// the last signal gives the last Traffic. The channel is closed when ctx ends
// or the Etcd is closed.
func (e *Etcd) Watch(ctx context.Context, group string) (<-chan struct{}, error) {
	if err := begin(ctx, group); err != nil {
		return nil, fmt.Errorf("watch traffic: %w", err)
	}
	return e.ears.add(ctx, group)
}

// A heard takes in what follow hears below a prefix: first all that is there
// (whole), then what changes; nil and whole when it is not known any more what
// is there.
type heard func(events []*clientv3.Event, whole bool)

// follow hears of all changes below a prefix until the Etcd is closed. Whatever
// breaks a watch, such as a compaction, a member that is cut off, or etcd that
// is gone, makes it read all anew, so that nothing is missed.
func (e *Etcd) follow(prefix string, take heard) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-pause.C:
		}
		if err := e.listen(prefix, take); err != nil && e.ctx.Err() == nil {
			e.config.Metrics.broke()
		}
		take(nil, true)
		pause.Reset(etcdPulse / 4)
	}
}

// listen reads all below a prefix and hears of changes until the watch breaks.
func (e *Etcd) listen(prefix string, take heard) error {
	var from int64
	var client *clientv3.Client
	err := e.call(e.ctx, func(ctx context.Context, c *clientv3.Client) error {
		all, err := c.Get(ctx, prefix, clientv3.WithPrefix())
		if err != nil {
			return err
		}
		events := make([]*clientv3.Event, len(all.Kvs))
		for i, kv := range all.Kvs {
			events[i] = &clientv3.Event{Type: clientv3.EventTypePut, Kv: kv}
		}
		take(events, true)
		from, client = all.Header.Revision+1, c
		return nil
	})
	if err != nil {
		return err
	}
	on := func(events []*clientv3.Event) bool {
		take(events, false)
		return false
	}
	return e.attend(e.ctx, client, on, prefix, clientv3.WithPrefix(), clientv3.WithRev(from))
}

// attend hears of changes until enough says that it need hear no more, or the
// watch breaks, which is an error.
func (e *Etcd) attend(ctx context.Context, client *clientv3.Client, enough func([]*clientv3.Event) bool, key string, which ...clientv3.OpOption) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	changes := client.Watch(ctx, key, which...)
	tick := time.NewTicker(etcdPulse)
	defer tick.Stop()
	for {
		select {
		case answer, open := <-changes:
			switch err := answer.Err(); {
			case err != nil:
				return err
			case !open:
				return errors.New("the watch has ended")
			case enough(answer.Events):
				return nil
			}
		case <-tick.C:
			e.knock(ctx, client)
		}
	}
}

// knock has a watch say something, though nobody needs the answer: from a member
// that is gone without a word nothing comes back, not even that the bytes have
// arrived, and so its connection is given up after two seconds. Where nothing is
// sent that takes twelve.
func (e *Etcd) knock(ctx context.Context, client *clientv3.Client) {
	ctx, cancel := context.WithTimeout(ctx, etcdPulse/2)
	defer cancel()
	_ = client.RequestProgress(ctx)
}

// traffics gives what tells those who watch a group that its Traffic has
// changed. It is for one goroutine.
func (e *Etcd) traffics() heard {
	seen := map[string]int64{} // revisions, by group
	return func(events []*clientv3.Event, whole bool) {
		gone := map[string]bool{}
		if whole && events != nil {
			for group := range seen {
				gone[group] = true
			}
		}
		for _, event := range events {
			group := strings.TrimPrefix(string(event.Kv.Key), e.key(trafficKeys))
			delete(gone, group)
			if seen[group] == event.Kv.ModRevision {
				continue
			}
			seen[group] = event.Kv.ModRevision
			if t, err := decode(group, event.Kv.Value); err == nil && event.Type == clientv3.EventTypePut && !e.copies.above(group, t.Epoch) {
				e.knows(group, t, event.Kv.ModRevision)
			}
			e.ears.signal(group)
		}
		for group := range gone {
			delete(seen, group)
			e.ears.signal(group)
		}
	}
}

// ears are the channels of those who wait for changes, by group.
type ears struct {
	mu     sync.Mutex // guards the fields below
	closed bool
	all    map[string]map[chan struct{}]func() bool // each with what stops waiting for its context
}

func (e *ears) add(ctx context.Context, group string) (<-chan struct{}, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errors.New("the register is closed")
	}
	if e.all[group] == nil {
		e.all[group] = map[chan struct{}]func() bool{}
	}
	ear := make(chan struct{}, 1)
	e.all[group][ear] = context.AfterFunc(ctx, func() { e.remove(group, ear) })
	return ear, nil
}

func (e *ears) remove(group string, ear chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.all[group][ear] == nil {
		return // closed meanwhile
	}
	delete(e.all[group], ear)
	close(ear)
}

func (e *ears) signal(group string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for ear := range e.all[group] {
		select {
		case ear <- struct{}{}:
		default:
		}
	}
}

func (e *ears) signalAll() {
	e.mu.Lock()
	groups := slices.Collect(maps.Keys(e.all))
	e.mu.Unlock()
	for _, group := range groups {
		e.signal(group)
	}
}

// close closes every channel for good.
func (e *ears) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, ears := range e.all {
		for ear, stop := range ears {
			stop()
			close(ear)
		}
	}
	clear(e.all)
}
