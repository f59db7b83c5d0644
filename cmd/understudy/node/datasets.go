package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"

	"github.com/understudy-ha/understudy/haengine"
	"github.com/understudy-ha/understudy/haengine/replicate"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/remote"
)

// copier is replication as the engine knows it.
type copier struct {
	replica *replicate.Replica
	source  *replicate.Source
	book    *replicate.Book
	peer    string
	trust   *remote.Trust
	sets    []replicate.Set
}

// copyDir is where replication keeps what it knows, below data_dir.
func copyDir(c *config.NodeFile) string { return filepath.Join(c.DataDir, "copy") }

// copySocket is where sshd's forced command brings sessions.
func copySocket(c *config.NodeFile) string {
	return strings.TrimSuffix(c.Socket, ".sock") + "-copy.sock"
}

// roots gives the folders that trusted nodes may fetch.
func roots(c *config.NodeFile) (all []remote.Dataset) {
	for _, d := range c.Datasets {
		if d.Disabled && !d.Optional {
			continue
		}
		at := d.Path
		if d.Type != config.FilesDataset {
			at = filepath.Join(replicate.SpoolDir(copyDir(c)), d.Name)
		}
		all = append(all, remote.Dataset{Name: d.Name, Path: at})
	}
	return all
}

// sets gives the datasets of a configuration that are enabled, or may be.
func sets(c *config.NodeFile, people replicate.Accounts, enabled func(string) bool, log *slog.Logger) (all []replicate.Set, err error) {
	for _, d := range c.Datasets {
		if d.Disabled && !d.Optional {
			continue
		}
		s := replicate.Set{Name: d.Name, Type: string(d.Type), Exclude: d.Exclude, Volatile: d.Volatile, Enabled: func() bool { return enabled(d.Name) }}
		if d.Type == config.SystemDataset {
			s.Dataset = &replicate.System{Accounts: people, Files: d.Certificates, Reload: d.Reload, Dir: filepath.Join(copyDir(c), "system"), Log: log}
		} else if d.Type == config.FilesDataset {
			s.Tree, s.Dataset = d.Path, replicate.NewFiles(d.Path)
		} else if s.Dataset, err = dumped(d); err != nil {
			return nil, fmt.Errorf("dataset %s: %w", d.Name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// openCopier gives replication; nil if no dataset is configured. engine is asked
// for, from the first run on.
func openCopier(c *config.NodeFile, t *remote.Trust, people replicate.Accounts, engine func() *haengine.Engine, log *slog.Logger) (*copier, error) {
	if len(c.Datasets) == 0 || t == nil {
		return nil, nil
	}
	all, err := sets(c, people, func(name string) bool { return engine().ServiceEnabled(name) }, log)
	if err != nil {
		return nil, err
	}
	dir := copyDir(c)
	p := &copier{peer: c.Peer.Name, trust: t, sets: all}
	if p.book, err = replicate.OpenBook(dir); err != nil {
		return nil, err
	}
	tell := func(ctx context.Context) (replicate.Facts, error) {
		f, err := engine().Facts(ctx)
		return replicate.Facts{Name: c.Name, Release: f.Release, Epoch: f.Epoch, Active: f.Active, Standby: f.Standby}, err
	}
	p.source = &replicate.Source{Dir: dir, Sets: all, Book: p.book, Facts: tell, Log: log}
	if err := p.source.Open(); err != nil {
		return nil, err
	}
	if p.replica, err = replicate.Open(replicate.Config{Dir: dir, Sets: all, Book: p.book, Facts: tell, Log: log}); err != nil {
		return nil, err
	}
	p.replica.Behind(p.source)
	return p, nil
}

// serve lets trusted nodes fetch until ctx ends.
func (p *copier) serve(ctx context.Context, l net.Listener) error { return p.source.Listen(ctx, l) }

// remote gives how the peer is called now: its keys may have changed.
func (p *copier) remote() (replicate.Remote, error) {
	h, err := p.trust.Hosts.Get(p.peer)
	if err != nil {
		return replicate.Remote{}, err
	}
	if len(h.SSH.HostKeys) == 0 {
		return replicate.Remote{}, fmt.Errorf("the SSH host key of %s is not known: pair by string, or failover deploy-ssh-key %s", h.Name, h.Name)
	}
	return replicate.Remote{Args: p.trust.SSHArgs(h), Address: h.Address()}, nil
}

// isPeer says whether a name or an address is the peer's.
func (p *copier) isPeer(host string) bool {
	h, err := p.trust.Hosts.Get(host)
	return err == nil && h.Name == p.peer
}

// Run is one sync.
func (p *copier) Run(ctx context.Context, o haengine.SyncOrder) nodeapi.Sync {
	order := replicate.Order{From: p.peer, AcceptDeletions: o.Accept, Discard: o.Discard, Allow: o.Allow, Over: o.Over}
	r := p.replica.Run(ctx, order, p.remote)
	s := nodeapi.Sync{At: r.Completed, Started: r.Started, From: r.From, Result: r.Result, Detail: r.Detail, Generation: r.Generation}
	for _, t := range r.Tasks {
		s.Tasks = append(s.Tasks, nodeapi.SyncTask{Name: t.Name, Dataset: t.Dataset, Result: t.Result, Started: t.Started, Duration: nodeapi.Span(t.Duration), Detail: t.Detail})
	}
	return s
}

// Recover ends what a crash has left.
func (p *copier) Recover(ctx context.Context) error { return p.replica.Recover(ctx) }

// Unfinished says whether a commit has begun and not ended.
func (p *copier) Unfinished() bool { return p.replica.Unfinished() }

// Rollback puts an older generation into force.
func (p *copier) Rollback(ctx context.Context, to uint64) (nodeapi.Rolled, error) {
	g, err := p.replica.Rollback(ctx, to)
	return nodeapi.Rolled{Generation: g.Number, AsOf: g.AsOf}, err
}

// Look tells how far the run is and who has fetched from here.
func (p *copier) Look() (*nodeapi.SyncNow, *nodeapi.SyncTaken) {
	var now *nodeapi.SyncNow
	if g, on := p.replica.Progress(); on {
		now = &nodeapi.SyncNow{Phase: g.Phase, Dataset: g.Dataset, Since: g.Started, Files: g.Files, Bytes: g.Bytes, Total: g.Total, Rate: g.Rate, ETA: nodeapi.Span(g.Left)}
	}
	if t := p.replica.State().Taken; t != nil {
		return now, &nodeapi.SyncTaken{By: t.By, At: t.At, Generation: t.Generation}
	}
	return now, nil
}

// Loss says what a promotion may cost now.
func (p *copier) Loss() nodeapi.Loss {
	s, on := p.replica.State(), 0
	for _, one := range p.sets {
		if one.Enabled() {
			on++
		}
	}
	l := nodeapi.Loss{Datasets: on, At: s.AsOf, Generation: s.Current, Generations: len(s.Generations)}
	if s.Dirty { // the application may have written to what they share with the copy
		l.Generations = 0
	}
	return l
}

// Counts gives the rows and files of the copy in force.
func (p *copier) Counts() map[string]int64 { return p.replica.Book.Counts() }

// beforeApp notes that the application is going to write to the data: to be looked
// at only, on a node that was never Active, or to serve.
func (p *copier) beforeApp(trying, alone bool) error {
	switch {
	case trying:
		return p.replica.Try()
	case alone:
		return p.replica.Alone()
	}
	return p.replica.Serve()
}

// services gives the datasets of a configuration as the engine's API names them.
func services(c *config.NodeFile) (all []nodeapi.Service) {
	for _, d := range c.Datasets {
		all = append(all, nodeapi.Service{Name: d.Name, Type: string(d.Type), Optional: d.Optional, Enabled: !d.Disabled})
	}
	return all
}
