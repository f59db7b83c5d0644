package register

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/understudy-ha/understudy/internal/ha"
)

// batch is how many votes go into one transaction; etcd takes 128.
const batch = 100

// mostVote is the most that a vote of another watcher may have, in bytes.
const mostVote = 64 << 10

// chorus is what the watchers say: we, to be published, and the others, as
// heard. Votes live under one lease of this process, so that those of a watcher
// that is gone go with it.
type chorus struct {
	ears ears             // of the others' votes
	news chan struct{}    // there is something to publish
	revs map[string]int64 // by group: the revision of our key, as far as we know; the herald's own

	mu     sync.Mutex // guards the fields below
	ours   map[string]ha.Vote
	unsaid map[string]bool // groups whose vote of ours is not published
	lost   map[string]bool // groups of which etcd does not have what we have published; true: for a while
	leases map[int64]bool  // all that we have had
	double bool            // it has been told that another watcher has our name
	others map[string]map[string]ha.Vote
}

func (c *chorus) init() {
	c.ears.all = map[string]map[chan struct{}]func() bool{}
	c.news, c.revs, c.lost, c.leases = make(chan struct{}, 1), map[string]int64{}, map[string]bool{}, map[int64]bool{}
	c.ours, c.unsaid = map[string]ha.Vote{}, map[string]bool{}
	c.others = map[string]map[string]ha.Vote{}
}

// Name gives this watcher's name among those who share the register.
func (e *Etcd) Name() string { return e.config.Watcher }

// Watchers gives how many watchers are configured to share the register.
func (e *Etcd) Watchers() int { return e.config.Watchers }

// Vote publishes what this watcher says of a group, in place of what it said
// before. It does not wait; what cannot be published now is later.
func (e *Etcd) Vote(v ha.Vote) {
	v.Watcher = ""
	c := &e.chorus
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ours[v.Group], c.unsaid[v.Group] = v, true
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// Votes gives what the other watchers say of a group now, by their names. While
// etcd cannot be reached nothing is known of them.
func (e *Etcd) Votes(group string) []ha.Vote {
	c := &e.chorus
	c.mu.Lock()
	defer c.mu.Unlock()
	var votes []ha.Vote
	for _, watcher := range slices.Sorted(maps.Keys(c.others[group])) {
		votes = append(votes, c.others[group][watcher])
	}
	return votes
}

// Heard gives a channel that receives after every change of what the others say
// of a group, coalesced; it is closed when ctx ends.
func (e *Etcd) Heard(ctx context.Context, group string) (<-chan struct{}, error) {
	return e.chorus.ears.add(ctx, group)
}

// herald publishes our votes under a lease, anew whenever it is lost.
func (e *Etcd) herald() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-pause.C:
		}
		_ = e.speak()
		pause.Reset(etcdPulse / 2)
	}
}

// speak publishes votes until the lease is lost, etcd cannot be reached or the
// Etcd is closed; then it withdraws them.
func (e *Etcd) speak() error {
	var client *clientv3.Client
	var lease clientv3.LeaseID
	err := e.call(e.ctx, func(ctx context.Context, c *clientv3.Client) error {
		granted, err := c.Grant(ctx, int64(voteTTL/time.Second))
		if err == nil {
			client, lease = c, granted.ID
		}
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), etcdPulse)
		defer cancel()
		_, _ = client.Revoke(ctx, lease)
	}()
	ctx, cancel := context.WithCancel(e.ctx) // a lease that we have left must end
	defer cancel()
	alive, err := client.KeepAlive(ctx, lease)
	if err != nil {
		return err
	}
	e.chorus.again(lease)
	tick := time.NewTicker(etcdPulse)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return e.ctx.Err()
		case _, ok := <-alive:
			if !ok {
				return nil
			}
		case <-tick.C:
			e.chorus.repeat()
		case <-e.chorus.news:
			if err := e.publish(lease); err != nil {
				return err
			}
		}
	}
}

// again has all our votes published, under another lease.
func (c *chorus) again(lease clientv3.LeaseID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leases[int64(lease)] = true
	for group := range c.ours {
		c.unsaid[group] = true
	}
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// publish stores what is not published yet.
func (e *Etcd) publish(lease clientv3.LeaseID) error {
	for {
		votes := e.chorus.take()
		if len(votes) == 0 {
			return nil
		}
		if err := e.replace(lease, votes); err != nil {
			return err
		}
		e.config.Metrics.voted(len(votes))
	}
}

// replace stores votes in place of those that we know to be there. One that was
// sent before and arrives late finds another in its place, and changes nothing.
func (e *Etcd) replace(lease clientv3.LeaseID, votes []ha.Vote) error {
	keys, puts, gets := make([]string, len(votes)), make([]clientv3.Op, len(votes)), make([]clientv3.Op, len(votes))
	for i, v := range votes {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		keys[i] = e.key(voteKeys, v.Group, e.config.Watcher)
		puts[i], gets[i] = clientv3.OpPut(keys[i], string(text), clientv3.WithLease(lease)), clientv3.OpGet(keys[i])
	}
	revs := e.chorus.revs
	for range 3 {
		unchanged := make([]clientv3.Cmp, len(votes))
		for i, v := range votes {
			unchanged[i] = clientv3.Compare(clientv3.ModRevision(keys[i]), "=", revs[v.Group])
		}
		var answer *clientv3.TxnResponse
		err := e.call(e.ctx, func(ctx context.Context, c *clientv3.Client) (err error) {
			answer, err = c.Txn(ctx).If(unchanged...).Then(puts...).Else(gets...).Commit()
			return err
		})
		if err != nil {
			return err
		}
		for i, v := range votes {
			revs[v.Group] = answer.Header.Revision
			if !answer.Succeeded {
				revs[v.Group] = 0
				for _, kv := range answer.Responses[i].GetResponseRange().Kvs {
					revs[v.Group] = kv.ModRevision
				}
			}
		}
		if answer.Succeeded {
			return nil
		}
	}
	return errors.New("the votes of this watcher change under it")
}

// repeat has those of our votes published again that etcd does not have: what
// was sent before may arrive late, and a person may delete anything.
func (c *chorus) repeat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for group, before := range c.lost {
		if c.lost[group] = true; !before {
			continue // it may be on its way
		}
		delete(c.lost, group)
		c.unsaid[group] = true
		select {
		case c.news <- struct{}{}:
		default:
		}
	}
}

// take gives some votes that are not published yet. If publishing fails, all
// are published under the next lease.
func (c *chorus) take() []ha.Vote {
	c.mu.Lock()
	defer c.mu.Unlock()
	var votes []ha.Vote
	for group := range c.unsaid {
		if len(votes) == batch {
			break
		}
		votes = append(votes, c.ours[group])
		delete(c.unsaid, group)
	}
	return votes
}

// heardVotes takes in what the others say. What is not a vote counts for
// nothing; by what is there of us we see whether it is what we say.
func (e *Etcd) heardVotes(events []*clientv3.Event, whole bool) {
	c := &e.chorus
	changed := map[string]bool{}
	c.mu.Lock()
	if whole {
		for group := range c.others {
			changed[group] = true
		}
		clear(c.others)
		if events != nil {
			for group := range c.ours { // those that are there follow
				c.hearOurs(group, false)
			}
		}
	}
	for _, event := range events {
		group, watcher := path.Split(strings.TrimPrefix(string(event.Kv.Key), e.key(voteKeys)))
		group = strings.TrimSuffix(group, "/")
		v, ok := voteOf(group, event)
		if watcher == e.config.Watcher {
			c.hearOurs(group, ok && v.Same(c.ours[group]))
			if ok && !whole && !c.leases[event.Kv.Lease] && !c.double {
				c.double = true
				e.log.Error("another watcher has this one's name, so neither counts beside the other; give each a name of its own", "watcher", watcher)
			}
			continue
		}
		changed[group] = true
		if !ok {
			delete(c.others[group], watcher)
			continue
		}
		if c.others[group] == nil {
			c.others[group] = map[string]ha.Vote{}
		}
		v.Watcher = watcher
		c.others[group][watcher] = v
	}
	c.mu.Unlock()
	for group := range changed {
		c.ears.signal(group)
	}
}

// hearOurs takes note whether etcd has what we say of a group. It is called with
// mu held.
func (c *chorus) hearOurs(group string, same bool) {
	_, ours := c.ours[group]
	_, noted := c.lost[group]
	switch {
	case !ours || same:
		delete(c.lost, group)
	case !noted:
		c.lost[group] = false
	}
}

func voteOf(group string, event *clientv3.Event) (v ha.Vote, ok bool) {
	if event.Type != clientv3.EventTypePut || len(event.Kv.Value) > mostVote {
		return v, false
	}
	err := json.Unmarshal(event.Kv.Value, &v)
	return v, err == nil && v.Group == group
}
