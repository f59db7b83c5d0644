package register

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// pulse looks at etcd once a second: whether it answers, and with a quorum.
func (e *Etcd) pulse() {
	checked := map[string]bool{} // members whose version we know to be fit
	tick := time.NewTicker(etcdPulse)
	defer tick.Stop()
	for first := true; ; first = false {
		began := time.Now()
		err := e.look(checked)
		if e.ctx.Err() != nil {
			return
		}
		e.found(err, began)
		if first {
			close(e.looked)
		}
		select {
		case <-e.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look says why etcd cannot be used now, or nil.
func (e *Etcd) look(checked map[string]bool) error {
	ctx, cancel := context.WithTimeout(e.ctx, etcdCall)
	defer cancel()
	client, err := e.connect()
	if err != nil {
		return e.advise(err)
	}
	if _, err := client.Get(ctx, e.key(trafficKeys), clientv3.WithPrefix(), clientv3.WithCountOnly()); err != nil {
		clear(checked) // what comes back may be another version
		if errors.Is(err, context.DeadlineExceeded) && e.ctx.Err() == nil {
			if why := e.config.faults(e.ctx); why != "" {
				return fmt.Errorf("%w: %s", e.advise(err), why)
			}
		}
		return e.advise(err)
	}
	for _, endpoint := range e.config.Endpoints {
		if checked[endpoint] {
			continue
		}
		short, cancel := context.WithTimeout(ctx, etcdPulse)
		status, err := client.Status(short, endpoint)
		cancel()
		if err != nil {
			continue // a member may be gone; it is asked again
		}
		if err := fit(status.Version); err != nil {
			return &unfit{fmt.Errorf("%s runs etcd %s: %w", endpoint, cut(status.Version), err)}
		}
		checked[endpoint] = true
	}
	return nil
}

// connect gives the client, made when it is first needed: with a user that
// needs etcd's answer.
func (e *Etcd) connect() (*clientv3.Client, error) {
	e.mu.Lock()
	client := e.client
	e.mu.Unlock()
	if client != nil {
		return client, nil
	}
	client, err := e.config.client(e.ctx)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.client = client
	return client, nil
}

var errUnasked = errors.New("etcd has not been asked yet")

// unfit is the error of an etcd that answers, and must not be relied on.
type unfit struct{ error }

// found takes in what a look gave that began at the given time; what a call has
// learned since is newer than its failure. Whoever waits for changes is told when etcd
// has been down for long, and when it is up again after that: Load then gives
// something else.
func (e *Etcd) found(err error, began time.Time) {
	if err != nil && !errors.As(err, new(*unfit)) && e.answeredSince(began) {
		return
	}
	if err != nil {
		e.fell(err)
	}
	e.mu.Lock()
	was, told := e.down, e.told
	e.down = err
	e.told = err != nil && time.Since(e.since) > etcdLong
	changed := e.told != told
	e.mu.Unlock()
	e.config.Metrics.be(err == nil)
	if err == nil && was != nil {
		e.log.Info("the register can be reached", "endpoints", strings.Join(e.config.Endpoints, " "))
	}
	if changed {
		e.ears.signalAll()
	}
}

func (e *Etcd) answeredSince(t time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.down == nil && e.answered.After(t)
}

// fell notes that etcd does not answer, until the next look finds otherwise.
func (e *Etcd) fell(err error) {
	e.mu.Lock()
	was := e.down
	if e.down = err; was == nil || was == errUnasked {
		e.since = time.Now()
	}
	e.mu.Unlock()
	e.config.Metrics.be(false)
	if was == nil || was.Error() != err.Error() {
		e.log.Error("the register cannot be used; traffic stays as it is and nothing is decided", "error", err)
	}
}

// advise gives the error of a call with what a person can do about it.
func (e *Etcd) advise(err error) error {
	at := strings.Join(e.config.Endpoints, ", ")
	switch {
	case errors.Is(err, rpctypes.ErrAuthFailed), errors.Is(err, rpctypes.ErrUserEmpty), errors.Is(err, rpctypes.ErrUserNotFound), errors.Is(err, rpctypes.ErrInvalidAuthToken):
		return fmt.Errorf("etcd at %s refuses user %q; check user and password_file, and the users of etcd", at, e.config.User)
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return fmt.Errorf("etcd at %s does not let user %q read and write below %s; grant it the role for that prefix", at, e.config.User, e.config.Prefix)
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("etcd at %s has reached its space quota; compact, defragment and disarm the alarm (etcdctl alarm list)", at)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, rpctypes.ErrTimeout), errors.Is(err, rpctypes.ErrNoLeader), errors.Is(err, rpctypes.ErrTimeoutDueToLeaderFail):
		return fmt.Errorf("etcd at %s does not answer within %s; more than half of its members must run and reach one another", at, etcdCall)
	}
	return fmt.Errorf("etcd at %s cannot be used: %s", at, cut(err.Error()))
}

// oldest are the first versions of etcd that can be relied on: before them a
// stalled old leader can revoke leases that the new one has renewed
// (etcd #15247), and revisions can go back after a crash during compaction.
var oldest = [][3]int{{3, 4, 32}, {3, 5, 14}, {3, 6, 0}}

// fit says why a version of etcd is refused, or nil.
func fit(version string) error {
	release, _, _ := strings.Cut(version, "-")
	words := strings.Split(release, ".")
	var v [3]int
	for i := range v {
		n, err := strconv.Atoi(strings.TrimPrefix(cmp.Or(at(words, i), "?"), "v"))
		if err != nil {
			return fmt.Errorf("its version cannot be read; 3.4.32, 3.5.14, 3.6 or newer is needed")
		}
		v[i] = n
	}
	for _, least := range oldest {
		if v[0] == least[0] && v[1] == least[1] && v[2] >= least[2] {
			return nil
		}
	}
	if v[0] > 3 || v[0] == 3 && v[1] > 6 {
		return nil
	}
	return errors.New("its leases and revisions cannot be relied on (etcd issue 15247); run 3.4.32, 3.5.14, 3.6 or newer, or understudy register")
}

func at(words []string, i int) string {
	if i < len(words) {
		return words[i]
	}
	return ""
}
