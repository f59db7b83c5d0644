package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/understudy-ha/understudy/cmd/understudy/service"
	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/notify"
)

// Faulty is the error of a configuration that is refused for what it says.
type Faulty struct{ Remarks []config.Remark }

func (f *Faulty) Error() string {
	return fmt.Sprintf("the configuration has faults: %d; the first: %s", len(f.Remarks), f.Remarks[0].Error())
}

// Sidecar is one that runs. Make it with Open, run it with Run, once.
type Sidecar struct {
	file    string
	log     *slog.Logger
	init    *service.Manager
	config  *config.Sidecar // in force
	groups  *groups
	voice   *voice
	gate    *gate
	names   *names
	scribe  *scribe
	pulse   *pulse
	crier   *notify.Crier
	api     *api.API
	socket  *desk
	tcp     *desk // nil: not asked for
	pages   *pages
	told    func() // ends what tells the nodes' engines; nil: nobody is told
	refused atomic.Bool
	loaded  atomic.Int64 // Unix seconds
	running sync.WaitGroup
	cancel  context.CancelFunc
}

// Open starts a sidecar by the configuration in file: its listeners are open
// and its groups watched when it returns. The error is a *Faulty, or says what
// else stands in the way.
func Open(ctx context.Context, file string, log *slog.Logger) (*Sidecar, error) {
	return open(ctx, file, log, (*Sidecar).change)
}

func open(ctx context.Context, file string, log *slog.Logger, start func(*Sidecar, context.Context, *parts, []config.Remark) error) (*Sidecar, error) {
	p, warnings, err := load(file, log)
	if err != nil {
		return nil, err
	}
	r, err := openRegister(p.config, log)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	s := &Sidecar{file: file, log: log, init: service.NewManager(log), crier: notify.NewCrier(), voice: new(voice)}
	s.groups = newGroups(r, s.crier, log)
	s.groups.meter = s.writeMetrics
	s.gate = newGate(s.groups, log)
	s.names = newNames(s.groups, log)
	s.groups.planned, s.groups.names = s.names.lower, s.names
	s.scribe = &scribe{groups: s.groups, tell: s.voice.tell, log: log, dir: filepath.Join(p.config.StateDir, "files")}
	s.api = api.New(api.Config{Groups: s.groups, Identify: identify, Watcher: host})
	s.pages = &pages{groups: s.groups, place: host, log: log}
	s.pulse = &pulse{groups: s.groups, tell: s.voice.tell, alive: s.init.Alive, every: s.init.Pace(lookEvery), log: log}
	s.crier.Employ(s.voice.tell)
	s.begin()
	if err := start(s, ctx, p, warnings); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// begin starts what lives as long as the process.
func (s *Sidecar) begin() {
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	s.running.Go(func() { s.crier.Run(ctx) })
	s.running.Go(func() { s.api.Run(ctx) })
	s.running.Go(func() { s.pulse.run(ctx) })
}

// load reads a configuration and assembles it.
func load(file string, log *slog.Logger) (*parts, []config.Remark, error) {
	c, d, err := config.ReadSidecar(file)
	if err != nil {
		return nil, nil, err
	}
	if faults := d.Faults(); len(faults) > 0 {
		return nil, nil, &Faulty{faults}
	}
	p, faults := assemble(c, log)
	if d.Fault(faults); len(faults) > 0 {
		return nil, nil, &Faulty{d.Faults()}
	}
	d.Warn(p.unwise())
	return p, d.Warnings(), nil
}

// Run serves until ctx ends, and reloads whenever hup receives.
func (s *Sidecar) Run(ctx context.Context, hup <-chan os.Signal) {
	s.init.Ready(s.status())
	s.log.Info("the sidecar watches", "groups", s.groups.Names(), "socket", s.socket.address)
	for {
		select {
		case <-ctx.Done():
			s.log.Info("the sidecar ends; load balancers keep what they were told last")
			s.init.Stopping()
			s.close()
			return
		case <-s.names.taken:
			s.log.Info("another sidecar has taken the name server over; this one ends")
			s.init.Stopping()
			s.close()
			return
		case <-hup:
			s.reload(ctx)
		}
	}
}

// reload puts the file as it is now into force, all of it or nothing.
func (s *Sidecar) reload(ctx context.Context) {
	s.init.Reloading()
	p, warnings, err := load(s.file, s.log)
	if err == nil {
		err = s.change(ctx, p, warnings)
	}
	s.refused.Store(err != nil)
	if err == nil {
		s.log.Info("configuration reloaded", "file", s.file)
		s.init.Ready(s.status())
		return
	}
	var faulty *Faulty
	if errors.As(err, &faulty) {
		for _, r := range faulty.Remarks {
			s.log.Error("fault in the configuration", "at", fmt.Sprintf("%s:%d:%d", r.File, r.Line, r.Column), "why", r.Text)
		}
	}
	s.log.Error("the new configuration is refused; the old one stays in force", "file", s.file, "error", err)
	s.init.Ready("The new configuration is refused, the old one is in force: " + err.Error())
}

func (s *Sidecar) status() string {
	return fmt.Sprintf("Watching %d groups.", len(s.config.Groups))
}

// change puts parts into force. After an error everything is as it was.
func (s *Sidecar) change(ctx context.Context, p *parts, warnings []config.Remark) (err error) {
	var commits, aborts []func()
	defer func() {
		if err != nil {
			for _, abort := range aborts {
				abort()
			}
		}
	}()
	if s.config != nil && s.config.StateDir != p.config.StateDir {
		return fmt.Errorf("state_dir cannot be changed by a reload, from %s to %s; restart the sidecar", s.config.StateDir, p.config.StateDir)
	}
	if s.config != nil && !reflect.DeepEqual(s.config.Etcd, p.config.Etcd) {
		return errors.New("etcd cannot be changed by a reload; restart the sidecar")
	}
	speak, err := s.voice.prepare(p.config.StateDir, p.senders, s.log)
	if err != nil {
		return err
	}
	commits = append(commits, speak)
	for _, prepare := range []func(context.Context) (commit, abort func(), err error){
		func(ctx context.Context) (commit, abort func(), err error) { return s.prepareDesks(ctx, p) },
		func(ctx context.Context) (commit, abort func(), err error) {
			return s.gate.prepare(ctx, p.config.ProbeProxy)
		},
		func(ctx context.Context) (commit, abort func(), err error) { return s.names.prepare(ctx, p) },
		func(ctx context.Context) (commit, abort func(), err error) { return s.groups.prepare(ctx, p.plans) },
		func(ctx context.Context) (commit, abort func(), err error) { return s.prepareCourier(ctx, p) },
	} {
		commit, abort, err := prepare(ctx)
		if err != nil {
			return err
		}
		commits, aborts = append(commits, commit), append(aborts, abort)
	}
	s.commit(p, commits)
	for _, w := range warnings {
		s.log.Warn("unwise configuration", "at", fmt.Sprintf("%s:%d:%d", w.File, w.Line, w.Column), "why", w.Text)
	}
	return nil
}

// commit does what was prepared: the receivers of messages first, for an alarm
// may be in force from the first moment on, then the groups, then who asks for
// them.
func (s *Sidecar) commit(p *parts, commits []func()) {
	speak, desks, gate, names, groups, courier := commits[0], commits[1], commits[2], commits[3], commits[4], commits[5]
	s.scribe.stop() // it knows the old groups
	speak()
	groups()
	courier()
	gate()
	names()
	s.scribe.begin(p.renders)
	desks()
	s.config = p.config
	s.loaded.Store(time.Now().Unix())
}

// close ends everything, in the reverse order.
func (s *Sidecar) close() {
	for _, d := range []*desk{s.tcp, s.socket} {
		if d != nil {
			d.close()
		}
	}
	s.gate.close()
	s.names.close()
	s.scribe.stop()
	s.untell()
	s.groups.close()
	s.cancel()
	s.running.Wait()
	s.pages.close()
	s.voice.now.Swap(nil).stop()
	_ = s.groups.register.Close()
}
