package replicate

import "time"

// Progress is how far a run is.
type Progress struct {
	Phase   string        `json:"phase"`
	Dataset string        `json:"dataset,omitempty"`
	Started time.Time     `json:"started"` // of the phase
	Files   int64         `json:"files,omitempty"`
	Bytes   int64         `json:"bytes,omitempty"` // done in this phase
	Total   int64         `json:"total,omitempty"` // bytes of the phase, if known
	Rate    int64         `json:"rate,omitempty"`  // bytes a second, since the phase began
	Left    time.Duration `json:"left,omitempty"`  // until the phase ends, at that rate; 0: not known
}

// Progress gives how far the run is; false if none goes on.
func (r *Replica) Progress() (Progress, bool) {
	p := r.progress.Load()
	if p == nil {
		return Progress{}, false
	}
	return *p, true
}

func (r *Replica) phase(name, dataset string) {
	r.progress.Store(&Progress{Phase: name, Dataset: dataset, Started: time.Now().UTC()})
}

// advance tells how far a phase is.
func (r *Replica) advance(files, bytes, total int64) {
	was := r.progress.Load()
	if was == nil {
		return
	}
	p := *was
	p.Files, p.Bytes, p.Total = files, bytes, total
	if spent := time.Since(p.Started); spent > 0 && bytes > 0 {
		p.Rate = int64(float64(bytes) / spent.Seconds())
		if p.Rate > 0 && total > bytes {
			p.Left = time.Duration(float64(total-bytes)/float64(p.Rate)) * time.Second
		}
	}
	r.progress.Store(&p)
}
