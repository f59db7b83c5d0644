package probes

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// book has what is answered about every group. Readers take no lock.
type book struct {
	entries atomic.Pointer[map[string]*entry] // replaced when a group comes or goes

	mu sync.Mutex // held while entries is replaced
}

// entry is one group in the book.
type entry struct {
	group string
	sheet atomic.Pointer[sheet]
	until atomic.Int64 // when the group is stale, on the Proxy's clock
	stale atomic.Bool  // that has been said

	mu      sync.Mutex // guards the fields below
	told    uint64     // how often somebody told of the group
	last    ha.Situation
	drained string
	newest  int64 // when a node was read last, at first when the group was told of: a restart has its time to read
}

func newBook() *book {
	b := &book{}
	b.entries.Store(&map[string]*entry{})
	return b
}

// find gives the entry of a group, or nil.
func (b *book) find(group []byte) *entry { return (*b.entries.Load())[string(group)] }

// tell takes in a Situation of a group, known or not.
func (b *book) tell(s ha.Situation, ages ages) {
	group := s.Traffic.Group
	if e := (*b.entries.Load())[group]; e != nil {
		e.tell(s, ages)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	next := maps.Clone(*b.entries.Load())
	e := next[group]
	if e == nil {
		e = &entry{group: group, newest: ages.at(time.Now())}
		next[group] = e
	}
	e.tell(s, ages)
	b.entries.Store(&next)
}

func (b *book) drop(group string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := maps.Clone(*b.entries.Load())
	delete(next, group)
	b.entries.Store(&next)
}

// names gives the groups, sorted.
func (b *book) names() []string { return slices.Sorted(maps.Keys(*b.entries.Load())) }

// nodes gives the nodes of the group, sorted.
func (e *entry) nodes() []string { return slices.Sorted(maps.Keys(e.sheet.Load().agent)) }

// tell takes in a Situation.
func (e *entry) tell(s ha.Situation, ages ages) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told++
	e.take(s, ages)
}

// refresh takes in what look gives unless somebody tells of the group
// meanwhile. look is called without a lock.
func (e *entry) refresh(look func(string) (ha.Situation, bool), ages ages) {
	e.mu.Lock()
	told := e.told
	e.mu.Unlock()
	s, ok := look(e.group)
	e.mu.Lock()
	defer e.mu.Unlock()
	if ok && told == e.told {
		e.take(s, ages)
	}
}

// take renders the answers anew if they differ, and moves the ages on. The
// caller holds mu.
func (e *entry) take(s ha.Situation, ages ages) {
	e.drained = drain(e.last.Traffic, s.Traffic, e.drained)
	if e.sheet.Load() == nil || !alike(e.last, s) {
		e.sheet.Store(e.render(s))
	}
	e.last = s
	pages := e.sheet.Load().pages
	for _, seen := range s.View {
		if seen.Known() {
			read := ages.at(seen.Last.End())
			pages[seen.Node+"/raw"].until.Store(read + int64(ages.most))
			e.newest = max(e.newest, read) // readings that begin anew make nothing stale
		}
	}
	e.until.Store(e.newest + int64(ages.most))
}

// listing gives names for people, at most the first hundred.
func listing(names []string) string {
	const most = 100
	if len(names) > most {
		return strings.Join(names[:most], ", ") + " and more"
	}
	return strings.Join(names, ", ")
}
