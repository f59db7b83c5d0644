package register

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// EtcdMetrics are the figures of an Etcd. They outlive it, so that one that is
// opened in its place counts on.
type EtcdMetrics struct {
	up            atomic.Int64
	calls, failed *metrics.Counter
	losses        *metrics.Counter // of etcd, after it could be used
	broken        *metrics.Counter // watches
	votes         *metrics.Counter
	took          *metrics.PrometheusHistogram
}

// NewEtcdMetrics registers the figures in set, once.
func NewEtcdMetrics(set *metrics.Set) *EtcdMetrics {
	m := &EtcdMetrics{
		calls:  set.NewCounter(`understudy_register_calls_total{result="answered"}`),
		failed: set.NewCounter(`understudy_register_calls_total{result="failed"}`),
		losses: set.NewCounter("understudy_register_losses_total"),
		broken: set.NewCounter("understudy_register_watches_broken_total"),
		votes:  set.NewCounter("understudy_register_votes_published_total"),
		took:   set.NewPrometheusHistogramExt("understudy_register_call_seconds", []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}),
	}
	set.NewGauge("understudy_register_up", func() float64 { return float64(m.up.Load()) })
	return m
}

// called counts a call that etcd has answered, or has not. One that was broken
// off by ours counts for nothing.
func (m *EtcdMetrics) called(began time.Time, err error) {
	switch {
	case m == nil:
	case err == nil:
		m.calls.Inc()
		m.took.UpdateDuration(began)
	case errors.As(err, new(*unreached)):
		m.failed.Inc()
	}
}

// be notes whether etcd can be used.
func (m *EtcdMetrics) be(up bool) {
	if m == nil {
		return
	}
	now := int64(0)
	if up {
		now = 1
	}
	if m.up.Swap(now) == 1 && !up {
		m.losses.Inc()
	}
}

func (m *EtcdMetrics) broke() {
	if m != nil {
		m.broken.Inc()
	}
}

func (m *EtcdMetrics) voted(n int) {
	if m != nil {
		m.votes.Add(n)
	}
}
