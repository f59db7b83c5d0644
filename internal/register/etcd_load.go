package register

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/understudy-ha/understudy/internal/ha"
)

// stored is what etcd has of a group at one instant.
type stored struct {
	traffic ha.Traffic
	rev     int64 // of the traffic; 0: there is none
	last    uint64
	data    []byte
}

// Load gives the stored Traffic of a group: ha.ErrNone if none is stored,
// *ha.Damaged if it cannot be read, *ha.Adrift if etcd cannot be reached or
// holds less than this host knows. Any other error says that etcd cannot be
// reached, and nothing is known here.
func (e *Etcd) Load(ctx context.Context, group string) (ha.Traffic, error) {
	if err := begin(ctx, group); err != nil {
		return ha.Traffic{}, fmt.Errorf("load traffic: %w", err)
	}
	s, err := e.inspect(ctx, group)
	if err != nil {
		return ha.Traffic{}, err
	}
	e.knows(group, s.traffic, s.rev)
	return s.traffic, nil
}

// inspect reads what is stored of a group, and says what is wrong with it.
func (e *Etcd) inspect(ctx context.Context, group string) (s stored, err error) {
	copied, copyErr := e.copies.load(group)
	err = e.call(ctx, func(ctx context.Context, c *clientv3.Client) error {
		answer, err := c.Txn(ctx).Then(
			clientv3.OpGet(e.key(trafficKeys, group)),
			clientv3.OpGet(e.key(historyKeys, group, ""), append(clientv3.WithLastKey(), clientv3.WithKeysOnly())...),
		).Commit()
		if err != nil {
			return err
		}
		for _, kv := range answer.Responses[0].GetResponseRange().Kvs {
			s.data, s.rev = kv.Value, kv.ModRevision
		}
		for _, kv := range answer.Responses[1].GetResponseRange().Kvs {
			s.last, _ = strconv.ParseUint(path.Base(string(kv.Key)), 10, 64)
		}
		return nil
	})
	var gone *unreached
	switch {
	case errors.As(err, &gone) && copyErr == nil && copied.Epoch > 0:
		return s, &ha.Adrift{Reason: ha.RegisterLost, Why: fmt.Sprintf("load traffic of %s: %v", group, err), Last: copied}
	case err != nil:
		return s, fmt.Errorf("load traffic of %s: %w", group, err)
	case copyErr != nil:
		return s, fmt.Errorf("load traffic of %s: the last known one cannot be read: %w", group, copyErr)
	}
	return s, e.judge(group, &s, copied)
}

// judge decodes what is stored and compares it with the history and with what
// this host knows.
func (e *Etcd) judge(group string, s *stored, copied ha.Traffic) error {
	at := e.key(trafficKeys, group) + " in etcd"
	var wrong error
	if s.rev > 0 {
		s.traffic, wrong = decode(group, s.data)
	}
	floor := max(s.last, copied.Epoch)
	switch {
	case wrong != nil:
		return &ha.Damaged{Why: at + " " + wrong.Error(), Floor: max(floor, highest(s.data))}
	case s.traffic.Epoch < copied.Epoch:
		why := fmt.Sprintf("%s has epoch %d, but this host knows of %d: etcd has lost what was decided, as when an old backup is put back", at, s.traffic.Epoch, copied.Epoch)
		return &ha.Adrift{Reason: ha.RegisterBack, Why: why, Last: copied}
	case s.rev == 0 && s.last > 0:
		return &ha.Damaged{Why: at + " is missing, but its history is not: remove that too if the group shall start anew", Floor: floor}
	case s.traffic.Epoch < s.last:
		return &ha.Damaged{Why: fmt.Sprintf("%s has epoch %d, but its history knows of %d: it is an old copy", at, s.traffic.Epoch, s.last), Floor: floor}
	case s.rev == 0:
		return ha.ErrNone
	}
	return nil
}

// knows takes note of what is stored, and copies it for a start without etcd.
func (e *Etcd) knows(group string, t ha.Traffic, rev int64) {
	e.mu.Lock()
	if rev > e.known[group].rev {
		e.known[group] = known{t.Epoch, rev}
	}
	e.mu.Unlock()
	if err := e.copies.save(t); err != nil {
		e.log.Error("the last known traffic cannot be copied; a start without etcd would not know it", "group", group, "error", err)
	}
}

// History gives the newest limit Traffics of a group, oldest first. etcd keeps
// the newest few hundred. Entries that cannot be read are left out.
func (e *Etcd) History(ctx context.Context, group string, limit int) (past []ha.Traffic, err error) {
	if err := begin(ctx, group); err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	if limit <= 0 {
		return nil, nil
	}
	err = e.call(ctx, func(ctx context.Context, c *clientv3.Client) error {
		answer, err := c.Get(ctx, e.key(historyKeys, group, ""), clientv3.WithPrefix(),
			clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithLimit(int64(min(limit, 2*mostKept))))
		if err != nil {
			return err
		}
		for _, kv := range answer.Kvs {
			if t, err := decode(group, kv.Value); err == nil {
				past = append(past, t)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read history of %s: %w", group, err)
	}
	slices.Reverse(past)
	return past, nil
}
