package register

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/understudy-ha/understudy/internal/ha"
)

// The bounds of what etcd keeps: a request may have 1.5 MiB and a Save has the
// Traffic twice; the whole store may have 2 GiB.
const (
	mostLine = 600 << 10
	mostKept = 200 // entries of a group's history
)

// Save stores t durably, if the stored epoch is was (0: none is stored), and
// adds it to the history, in one transaction. Otherwise it gives ha.ErrStale.
// t.Epoch must be above was.
//
// What is damaged, or less than this host knows, is replaced, whatever was is,
// only by a t that is Forced and has an epoch above all known (ha.ErrStale if
// not); for any other t Save gives the *ha.Damaged or *ha.Adrift.
//
// After any other error it is not known whether t is stored: Load tells, and so
// does a watch.
func (e *Etcd) Save(ctx context.Context, was uint64, t ha.Traffic) error {
	if err := begin(ctx, t.Group); err != nil {
		return fmt.Errorf("save traffic: %w", err)
	}
	line, err := prepare(was, t)
	if err == nil && len(line) > mostLine {
		err = fmt.Errorf("it has more than %d bytes", mostLine)
	}
	if err != nil {
		return fmt.Errorf("save traffic of %s: %w", t.Group, err)
	}
	e.mu.Lock()
	last := e.known[t.Group]
	e.mu.Unlock()
	if last.rev > 0 && last.epoch == was && !e.copies.above(t.Group, was) {
		if err := e.put(ctx, last.rev, t, line); !errors.Is(err, ha.ErrStale) {
			return err
		}
	}
	rev, err := e.compare(ctx, was, t)
	if err != nil {
		return err
	}
	return e.put(ctx, rev, t, line)
}

// compare says why t may not replace what is stored, or gives the revision of
// what it replaces, 0 for nothing.
func (e *Etcd) compare(ctx context.Context, was uint64, t ha.Traffic) (rev int64, err error) {
	s, err := e.inspect(ctx, t.Group)
	var damaged *ha.Damaged
	var adrift *ha.Adrift
	var floor uint64
	switch {
	case errors.As(err, &damaged):
		floor = damaged.Floor
	case errors.As(err, &adrift) && adrift.Reason == ha.RegisterBack:
		floor = max(adrift.Last.Epoch, s.traffic.Epoch, s.last)
	case errors.Is(err, ha.ErrNone) && was == 0:
		return 0, nil
	case errors.Is(err, ha.ErrNone):
		return 0, ha.ErrStale
	case err != nil:
		return 0, err
	case s.traffic.Epoch != was:
		return 0, ha.ErrStale
	default:
		return s.rev, nil
	}
	switch {
	case !t.Forced:
		return 0, err
	case t.Epoch <= floor:
		return 0, ha.ErrStale
	}
	return s.rev, nil
}

// put stores line if the group's traffic still has the revision rev.
func (e *Etcd) put(ctx context.Context, rev int64, t ha.Traffic, line []byte) error {
	key := e.key(trafficKeys, t.Group)
	tries, stale := 0, false
	err := e.call(ctx, func(ctx context.Context, c *clientv3.Client) error {
		tries++
		answer, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", rev)).Then(
			clientv3.OpPut(key, string(line)),
			clientv3.OpPut(e.key(historyKeys, t.Group, epochKey(t.Epoch)), string(line)),
		).Else(clientv3.OpGet(key)).Commit()
		if err != nil {
			return err
		}
		now := answer.Header.Revision
		if stale = !answer.Succeeded; stale && tries > 1 {
			for _, kv := range answer.Responses[0].GetResponseRange().Kvs { // the first try may have been done, though not answered
				stale, now = string(kv.Value) != string(line), kv.ModRevision
			}
		}
		if !stale {
			e.knows(t.Group, t, now)
			e.trim(ctx, c, t)
		}
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("save traffic of %s: %w", t.Group, err)
	case stale:
		return ha.ErrStale
	}
	return nil
}

// epochKey gives an epoch so that keys sort as epochs do.
func epochKey(epoch uint64) string { return fmt.Sprintf("%020d", epoch) }

// trim cuts a group's history to its newer part from time to time. Where it
// fails the next one tries.
func (e *Etcd) trim(ctx context.Context, c *clientv3.Client, t ha.Traffic) {
	if t.Epoch%16 != 0 {
		return
	}
	from := e.key(historyKeys, t.Group, "")
	kept, err := c.Get(ctx, from, clientv3.WithPrefix(), clientv3.WithKeysOnly(),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithLimit(mostKept+1))
	if err == nil && len(kept.Kvs) > mostKept {
		_, _ = c.Delete(ctx, from, clientv3.WithRange(string(kept.Kvs[mostKept-1].Key)))
	}
}
