package dnsgtm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/statefile"
)

// Server is the name server. Make it with New, tell it of every group, start
// it, and close it.
type Server struct {
	log     *slog.Logger
	table   atomic.Pointer[table]
	cookies atomic.Pointer[cookies]
	limiter atomic.Pointer[limiter]
	figures figures
	logged  atomic.Int64  // the second in which a stranger last caused a line
	turn    atomic.Uint32 // of queries on the slow path, for pools with weights

	reloading  sync.Mutex // held while one table takes the place of another; taken before mu
	saving     sync.Mutex // held while serials are stored; taken before mu
	mu         sync.Mutex // guards the fields below and the making of versions
	situations map[string]ha.Situation
	choices    map[string]Choice
	ramps      map[string]*ramp
	settled    map[string]time.Time          // when every resolver has a group's answers
	announcing map[string]context.CancelFunc // ends the notifications of a zone
	stocks     map[string]uint32             // the last serial that each zone may use
	serials    serials
	door       *door // nil until it is started
	started    bool
	frozen     bool // handed over: no serial is ours any more
	tasks      tasks
}

// New reads everything that a configuration names. The error is Faults if the
// configuration is wrong; any other says what could not be read.
func New(c Config, log *slog.Logger) (*Server, error) {
	t, faults := newTable(c, time.Now(), nil)
	if err := faults.err(); err != nil {
		return nil, err
	}
	s := &Server{
		log: log, situations: map[string]ha.Situation{}, choices: map[string]Choice{}, ramps: map[string]*ramp{},
		settled: map[string]time.Time{}, announcing: map[string]context.CancelFunc{},
		stocks: map[string]uint32{}, serials: serials{c.StateDir, statefile.Write},
	}
	s.table.Store(t)
	secrets, err := readCookies(c.Cookies)
	if err != nil {
		return nil, Faults{{File: c.Cookies, What: err.Error()}}
	}
	s.cookies.Store(secrets)
	s.limiter.Store(newLimiter(c.Rate))
	return s, nil
}

// Tell says what is known and decided of a group now. Once the server has
// started, answers are new when Tell returns. A group that no name is bound to
// is ignored. It does not block: what has to be stored or sent is done later.
func (s *Server) Tell(situation ha.Situation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := situation.Traffic.Group
	g := s.table.Load().config.group(name)
	if g == nil {
		return
	}
	before, known := s.choices[name]
	s.situations[name] = situation
	c := Choose(*g, situation)
	s.choices[name] = c
	if known && before.same(c) || !s.started {
		return
	}
	if len(before.Nodes) > 0 && !slices.Equal(before.Nodes, c.Nodes) { // from nobody it is a start
		s.moved(name, time.Now())
	}
	s.publish(name, situation.Decision.Reason)
}

// publish makes the answers of a group's names new.
func (s *Server) publish(group string, why ha.Reason) {
	for _, z := range s.table.Load().zones {
		if slices.ContainsFunc(z.names, func(b *binding) bool { return b.group.Name == group }) {
			s.step(z, s.say(z, group), why)
		}
	}
}

// say gives what the dynamic names of a zone say; of those of other groups
// than the given one what they say already. An empty group means all.
func (s *Server) say(z *zone, group string) []*answer {
	names := make([]*answer, len(z.names))
	if v := z.now.Load(); v != nil {
		copy(names, v.names)
	}
	for i, b := range z.names {
		if group != "" && b.group.Name != group {
			continue
		}
		c, known := s.choices[b.group.Name]
		if !known {
			c.Reason = ha.Starting
		}
		was := names[i]
		names[i] = b.answer(c, s.ttl(b))
		if names[i].sets == nil && was != nil { // secondaries keep what they have
			names[i].sets, names[i].nsec = was.sets, was.nsec
		}
	}
	return names
}

// step puts a new version of a zone in place: one serial later if a transfer
// would differ from what secondaries were told last. Without a serial that may
// be used the answers change all the same, and secondaries are told later.
func (s *Server) step(z *zone, names []*answer, why ha.Reason) {
	old := z.told
	v := z.next(old, names, old.serial)
	if !differs(old.names, names) {
		z.told = v
		z.now.Store(v)
		return
	}
	serial := old.serial + 1
	if s.frozen || later(serial, s.stocks[z.apex]) {
		z.now.Store(v)
		s.log.Error("serial not raised: secondaries keep the old answers for now", "zone", z.apex, "serial", old.serial, "handing_over", s.frozen)
		s.figures.unserialled.Add(1)
		s.restock(z.apex, old.serial)
		return
	}
	v = z.next(old, names, serial)
	v.past = remember(old.past, z.since(old, v))
	z.told = v
	z.now.Store(v)
	s.log.Info("zone changed", "zone", z.apex, "serial", serial, "reason", string(why))
	s.changed(z, serial)
}

// changed does what follows a new serial and may take its time.
func (s *Server) changed(z *zone, serial uint32) {
	s.figures.changes.Add(1)
	if later(serial+stockLow, s.stocks[z.apex]) {
		s.restock(z.apex, serial)
	}
	s.announce(z, serial)
}

// restock stores more serials in a goroutine of its own, and without the lock:
// a slow disk holds no decision up.
func (s *Server) restock(apex string, serial uint32) {
	if s.frozen {
		return
	}
	s.tasks.run(func() {
		s.saving.Lock()
		defer s.saving.Unlock()
		ceiling, err := s.serials.save(apex, serial, "")
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stocked(apex, serial, ceiling, err)
	})
}

// save is restock while the server begins or reads a configuration: it waits.
func (s *Server) save(apex string, serial uint32) {
	ceiling, err := s.serials.save(apex, serial, "")
	s.stocked(apex, serial, ceiling, err)
}

// stocked notes the serials that may be used. Where they could not be stored,
// the ones stored before are all there is.
func (s *Server) stocked(apex string, serial, ceiling uint32, err error) {
	if err != nil {
		s.log.Error("serials not stored", "zone", apex, "left", int32(s.stocks[apex]-serial), "error", err) // #nosec G115 -- serial arithmetic
		s.figures.unstored.Add(1)
		return
	}
	if later(ceiling, s.stocks[apex]) {
		s.stocks[apex] = ceiling
	}
	if z := s.table.Load().zones[apex]; z != nil && z.told != nil && z.told.serial == serial {
		s.step(z, z.now.Load().names, "serials_stored")
	}
}

// roots are where the first versions of a table's zones come from: the table
// before it, with what is different in static records, or what another process
// handed over, or the disk.
type roots struct {
	before *table
	static map[string]difference
	given  map[string]heirloom
}

// enter gives every zone of a table its first version: the one that follows
// the version of the table before, if there was one.
func (s *Server) enter(t *table, r roots) error {
	firsts := map[*zone]*version{}
	for _, z := range t.zones {
		names := s.say(z, "")
		v, err := s.first(z, names, r)
		if err != nil {
			return err
		}
		firsts[z] = v
	}
	for z, v := range firsts {
		z.told = v
		z.now.Store(v)
	}
	return nil
}

// first makes the first version of a zone that was just read.
func (s *Server) first(z *zone, names []*answer, r roots) (*version, error) {
	var from *zone
	if r.before != nil {
		from = r.before.zones[z.apex]
	}
	if from == nil {
		kept, err := s.serials.load(z.apex)
		if err != nil {
			return nil, err
		}
		digest := z.digest(z.next(nil, names, 0))
		if given := r.given[z.apex]; given.Digest != "" {
			kept = stock{stockFormat, z.apex, given.Serial, given.Serial, given.Digest}
		}
		serial := kept.first(z.soa.Serial, digest)
		s.stocks[z.apex] = serial
		s.save(z.apex, serial)
		return z.next(nil, names, serial), nil
	}
	old := from.told
	same := z.next(nil, names, old.serial)
	c := reloaded(old, same, r.static[z.apex])
	if len(c.gone) == 0 && len(c.come) == 0 && z.sameSOA(from) {
		same.past = old.past
		return same, nil
	}
	serial := old.serial + 1
	if later(z.soa.Serial, serial) {
		serial = z.soa.Serial
	}
	if later(serial, s.stocks[z.apex]) {
		if s.save(z.apex, serial); later(serial, s.stocks[z.apex]) {
			return nil, fmt.Errorf("the new serial of %s cannot be stored: nothing was changed", z.apex)
		}
	}
	v := z.next(nil, names, serial)
	v.past = remember(old.past, reloaded(old, v, r.static[z.apex]))
	return v, nil
}

// sameSOA says whether two loads of a zone have the same SOA; a serial counts
// only where it is larger than that in use.
func (z *zone) sameSOA(o *zone) bool {
	a, b := *z.soa, *o.soa
	if later(a.Serial, o.told.serial) {
		return false
	}
	a.Serial, b.Serial = 0, 0
	return a.String() == b.String()
}

// Reload puts another configuration in place, all of it or, after an error,
// nothing. Listeners are not opened or closed by it.
func (s *Server) Reload(c Config) error {
	t, faults := newTable(c, time.Now(), nil)
	if err := faults.err(); err != nil {
		return err
	}
	secrets := s.cookies.Load()
	if c.Cookies != "" {
		var err error
		if secrets, err = readCookies(c.Cookies); err != nil {
			return Faults{{File: c.Cookies, What: err.Error()}}
		}
	}
	before := s.table.Load().config
	if !slices.Equal(before.Listen, c.Listen) || !sameTLS(before.TLS, c.TLS) {
		return errors.New("other addresses to listen on need a restart or a replace")
	}
	s.mu.Lock()
	d := s.door
	s.mu.Unlock()
	if d != nil {
		if err := d.reload(c); err != nil {
			return err
		}
	}
	s.cookies.Store(secrets)
	if before.Rate.key() != c.Rate.key() {
		s.limiter.Store(newLimiter(c.Rate))
	}
	return s.put(t)
}

// put puts a table in place of the one in force.
func (s *Server) put(t *table) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	before := s.table.Load()
	static := differences(before, t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen {
		return errors.New("the sockets are being handed over to another process: reload that one")
	}
	choices := map[string]Choice{}
	for _, g := range t.config.Groups {
		if situation, known := s.situations[g.Name]; known {
			choices[g.Name] = Choose(g, situation)
		}
	}
	was := s.choices
	s.choices = choices
	if !s.started {
		s.table.Store(t)
		return nil
	}
	if err := s.enter(t, roots{before: before, static: static}); err != nil {
		s.choices = was
		return err
	}
	s.table.Store(t)
	for apex, stop := range s.announcing {
		if t.zones[apex] == nil {
			stop()
		}
	}
	for apex, z := range t.zones {
		v := z.now.Load()
		if from := before.zones[apex]; from == nil || from.told.serial != v.serial {
			s.changed(z, v.serial)
		}
	}
	return nil
}

// sameTLS says whether two configurations listen at the same places for TLS;
// the certificate may be another.
func sameTLS(a, b *TLS) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.Listen, b.Listen)
}
