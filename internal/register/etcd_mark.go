package register

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"sync"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// marks remembers how far this host has seen etcd to be, so that an etcd that
// went back, or another one, is told from the one that decided.
type marks struct {
	mu   sync.Mutex // guards the fields below, held while the file is written
	read bool
	last mark
}

// mark is a revision of a cluster, and the epoch that was served last by each
// lease's record: what is written after an old backup was put back may bring the
// revision above the mark again, but not the record.
type mark struct {
	Cluster  uint64            `json:"cluster"`
	Revision int64             `json:"revision"`
	Served   map[string]uint64 `json:"served,omitempty"`
}

const markFile = "register.mark"

// seen gives the highest mark, zero if etcd was never seen.
func (e *Etcd) seen() (mark, error) {
	m := &e.marks
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.read {
		return m.last, nil
	}
	data, err := statefile.Read(e.markPath(), 4096)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return mark{}, err
	case json.Unmarshal(data, &m.last) != nil:
		return mark{}, &WentBack{e.markPath() + " cannot be read: how far etcd was is not known"}
	}
	m.read = true
	return m.last, nil
}

// mark compares what an answer of etcd shows with what was seen before it was
// asked, and raises the highest mark. That is stored before anybody acts on the
// answer. served is the record of who has served, of the leases of which the
// answer tells.
func (e *Etcd) mark(before mark, answer *etcdserverpb.ResponseHeader, served map[string]uint64) error {
	switch {
	case before.Cluster != 0 && before.Cluster != answer.ClusterId:
		return &WentBack{fmt.Sprintf("etcd is another cluster (%x) than the one that decided before (%x)", answer.ClusterId, before.Cluster)}
	case answer.Revision < before.Revision:
		return &WentBack{fmt.Sprintf("etcd is at revision %d and was at %d before: an old backup was put back", answer.Revision, before.Revision)}
	}
	for lease, epoch := range served {
		if was := before.Served[lease]; epoch < was {
			return &WentBack{fmt.Sprintf("etcd has %d as the epoch that lease %s served last and had %d before: an old backup was put back", epoch, lease, was)}
		}
	}
	m := &e.marks
	m.mu.Lock()
	defer m.mu.Unlock()
	next := mark{answer.ClusterId, max(answer.Revision, m.last.Revision), maps.Clone(m.last.Served)}
	for lease, epoch := range served {
		if epoch > next.Served[lease] {
			if next.Served == nil {
				next.Served = map[string]uint64{}
			}
			next.Served[lease] = epoch
		}
	}
	if next.Revision == m.last.Revision && maps.Equal(next.Served, m.last.Served) {
		return nil
	}
	return m.store(e.markPath(), next)
}

// trust makes the etcd that gave an answer the one to rely on.
func (e *Etcd) trust(answer *etcdserverpb.ResponseHeader) error {
	e.marks.mu.Lock()
	defer e.marks.mu.Unlock()
	e.marks.read = true
	return e.marks.store(e.markPath(), mark{Cluster: answer.ClusterId, Revision: answer.Revision})
}

func (e *Etcd) markPath() string { return filepath.Join(e.config.Copies, markFile) }

// store is called with mu held.
func (m *marks) store(path string, next mark) error {
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := statefile.Write(path, text, fileMode); err != nil {
		return err
	}
	m.last = next
	return nil
}
