package notify

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// Metrics is where a Notifier counts.
type Metrics struct{ set *metrics.Set }

// NewMetrics counts in set, or in one of its own if that is nil.
func NewMetrics(set *metrics.Set) *Metrics {
	if set == nil {
		set = metrics.NewSet()
	}
	return &Metrics{set}
}

// result is what became of a message, or of one attempt to deliver it.
type result string

const (
	delivered result = "delivered"
	failed    result = "failed"   // one attempt; the message is kept
	repeated  result = "repeated" // told already, not sent again
	rejected  result = "rejected" // dropped: the receiver will never take it
	expired   result = "expired"  // dropped: too old
	overflow  result = "overflow" // dropped: the queue is full
	unfiled   result = "unfiled"  // dropped: more told than could be filed
	unsaved   result = "unsaved"  // kept in memory, for it could not be written
	damaged   result = "damaged"  // set aside: its file does not hold a message
)

var results = []result{delivered, failed, repeated, rejected, expired, overflow, unfiled, unsaved, damaged}

// figures are the metrics of one sender.
type figures struct {
	by     map[result]*metrics.Counter
	queued *metrics.Gauge
}

func (m *Metrics) figures(sender string) figures {
	f := figures{by: map[result]*metrics.Counter{}}
	for _, r := range results {
		f.by[r] = m.set.GetOrCreateCounter(fmt.Sprintf("understudy_notifications_total{sender=%q,result=%q}", sender, r))
	}
	f.queued = m.set.GetOrCreateGauge(fmt.Sprintf("understudy_notifications_queued{sender=%q}", sender), nil)
	return f
}

func (f figures) count(r result) { f.by[r].Inc() }
