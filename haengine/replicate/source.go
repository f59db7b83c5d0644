package replicate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// Source lets other nodes fetch the datasets of this one, one of them at a
// time. Several goroutines may use it.
type Source struct {
	Dir   string // holds the spool
	Sets  []Set
	Book  *Book // what is known of the datasets
	Facts func(ctx context.Context) (Facts, error)
	Log   *slog.Logger

	busy chan struct{} // holds one: the session that is served, or a commit of this node's own
}

// SpoolDir is the folder in which a node's dumps wait to be fetched.
func SpoolDir(dir string) string { return filepath.Join(dir, "spool") }

// Open empties the spool: what was in it belongs to sessions that are over.
func (s *Source) Open() error {
	s.busy = make(chan struct{}, 1)
	if err := os.RemoveAll(SpoolDir(s.Dir)); err != nil {
		return err
	}
	if err := statefile.MakeDir(SpoolDir(s.Dir), 0o750); err != nil {
		return err
	}
	for _, set := range s.Sets {
		if set.Tree == "" {
			if err := s.spool(set); err != nil {
				return err
			}
		}
	}
	return nil
}

// spool makes a dataset's folder for dumps, empty, so that the forced command
// can find it. It has the owner of data_dir, as whom the other node reads it.
func (s *Source) spool(set Set) error {
	dir := filepath.Join(SpoolDir(s.Dir), set.Name)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o750); err != nil {
		return err
	}
	return s.give(dir)
}

// serving is one session.
type serving struct {
	*Source
	peer   string
	offers map[string]offered
	walks  map[string]lastWalk
	began  time.Time // when what is offered began to be made ready
	active bool      // the application was writing to it
	in     bool      // it is the one that is served
	out    *json.Encoder
	mu     sync.Mutex // guards out
}

// errBusy is what a second session is told.
var errBusy = errors.New("another node fetches from this one just now; the next run tries again")

// serve holds a session with a node whose name its key has proven, until conn or
// ctx ends.
func (s *Source) serve(ctx context.Context, conn io.WriteCloser, in *bufio.Reader, peer string) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	v := &serving{Source: s, peer: peer, offers: map[string]offered{}, walks: map[string]lastWalk{}, out: json.NewEncoder(conn)}
	defer v.leave()
	for {
		var q request
		if err := line(in, &q); err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				s.Log.Debug("a session ends", "peer", peer, "error", err)
			}
			return
		}
		v.answer(ctx, q)
	}
}

// patience is how long a session waits for the one before: its end may not have
// been noticed yet.
const patience = 15 * time.Second

// enter makes this the session that is served.
func (v *serving) enter(ctx context.Context) error {
	if v.in {
		return nil
	}
	end := time.NewTimer(patience)
	defer end.Stop()
	select {
	case v.busy <- struct{}{}:
		v.in = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-end.C:
		return errBusy
	}
}

// leave lets the next one in.
func (v *serving) leave() {
	if v.in {
		v.clear()
		<-v.busy
	}
}

// clear removes what was dumped.
func (v *serving) clear() {
	for name, o := range v.offers {
		set := v.set(name)
		if set == nil || set.Tree != "" {
			continue
		}
		if err := v.spool(*set); err != nil {
			v.Log.Warn("the spool cannot be cleared", "folder", o.Tree, "error", err)
		}
	}
}

// say writes one line. That the other side is gone is found at the next read.
func (v *serving) say(r reply) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_ = v.out.Encode(r)
}

// answer does what is asked, and says that it lives meanwhile.
func (v *serving) answer(ctx context.Context, q request) {
	end := every(alive, func() { v.say(reply{Alive: true}) })
	answer, err := v.do(ctx, q)
	end()
	var no *Refused
	switch {
	case errors.As(err, &no):
		v.say(reply{Refused: no})
	case err != nil:
		v.Log.Warn("a node that fetches cannot be served", "peer", v.peer, "asks", q.Do, "dataset", q.Dataset, "error", err)
		v.say(reply{Error: err.Error()})
	default:
		text, err := json.Marshal(answer)
		if err != nil {
			v.say(reply{Error: "the answer cannot be written"})
			return
		}
		v.say(reply{Answer: text})
	}
}

func (v *serving) do(ctx context.Context, q request) (any, error) {
	switch q.Do {
	case "hello":
		return v.hello(ctx)
	case "begin":
		return v.begin(ctx, q.Datasets)
	case "walk":
		return v.walk(ctx, q)
	case "digest":
		return v.digest(ctx, q)
	case "end":
		if q.Done == nil {
			return struct{}{}, nil
		}
		t := *q.Done
		t.By, t.At = v.peer, time.Now().UTC()
		return struct{}{}, v.taken(t)
	}
	return nil, errors.New("this release does not know what was asked; both nodes need the same release of Understudy")
}

func (v *serving) hello(ctx context.Context) (hello, error) {
	f, err := v.Facts(ctx)
	if err != nil {
		return hello{}, err
	}
	h := hello{Protocol: protocol, Facts: f, Boot: bootID(), Clock: time.Now().UTC(), Datasets: []known{}}
	for _, s := range v.Sets {
		if !s.enabled() {
			continue
		}
		h.Datasets = append(h.Datasets, known{s.Name, s.Type, s.Exclude, v.Book.record(s.Name).Base[v.peer].name()})
	}
	return h, nil
}

func (v *serving) set(name string) *Set {
	if i := slices.IndexFunc(v.Sets, func(s Set) bool { return s.Name == name }); i >= 0 {
		return &v.Sets[i]
	}
	return nil
}

// begin lets the datasets make their offers: databases first, files second, for
// an application that writes a file before its row, and deletes a row before
// its file, finds every row's file in the copy.
func (v *serving) begin(ctx context.Context, names []string) ([]offered, error) {
	if err := v.enter(ctx); err != nil {
		return nil, err
	}
	f, err := v.Facts(ctx)
	if err != nil {
		return nil, err
	}
	v.clear()
	v.began, v.active = time.Now().UTC(), f.Active
	clear(v.offers)
	clear(v.walks)
	for _, name := range names {
		if err := os.RemoveAll(manifestOf(v.Dir, name)); err != nil {
			return nil, err
		}
	}
	all := []offered{}
	for _, dumps := range []bool{true, false} {
		for _, name := range names {
			set := v.set(name)
			if set == nil || !set.enabled() {
				return nil, fmt.Errorf("no dataset %q is enabled here", cutWords(name))
			}
			if (set.Tree == "") != dumps {
				continue
			}
			o, err := v.offer(ctx, *set, f)
			if err != nil {
				return nil, fmt.Errorf("dataset %s: %w", name, err)
			}
			all = append(all, o)
		}
	}
	return all, nil
}

// manifestOf is where the last walk of a dataset is kept.
func manifestOf(dir, dataset string) string {
	return filepath.Join(SpoolDir(dir), filepath.Base(dataset)+".manifest")
}

func (v *serving) offer(ctx context.Context, set Set, f Facts) (o offered, err error) {
	began := time.Now()
	dir := filepath.Join(SpoolDir(v.Dir), set.Name)
	o.Dataset = set.Name
	v.offers[set.Name] = o
	if set.Tree != "" {
		if o.ID, err = v.Book.identify(set, f.Active); err != nil {
			return o, err
		}
		if o.Volume, err = volume(set.Tree); err != nil {
			return o, err
		}
		dir = ""
	}
	if o.Offer, err = set.Dataset.Offer(ctx, dir); err != nil {
		return o, err
	}
	if o.Tree != set.Tree && o.Tree != dir {
		return o, fmt.Errorf("what is offered lies at %s, where nobody may fetch it", o.Tree)
	}
	if set.Tree == "" {
		if err := v.give(dir); err != nil {
			return o, err
		}
	}
	o.Took = time.Since(began).Round(time.Millisecond)
	v.offers[set.Name] = o
	return o, nil
}

// give makes a folder and all in it readable for the owner of the data
// directory, as whom the forced command reads.
func (s *Source) give(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := ownerOf(s.Dir)
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}

// bootID names this start of the machine.
func bootID() string {
	text, _ := statefile.Read("/proc/sys/kernel/random/boot_id", 100)
	return strings.TrimSpace(string(text))
}
