package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/VictoriaMetrics/metrics"
	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/notify"
	"github.com/understudy-ha/understudy/internal/register"
	"github.com/understudy-ha/understudy/probes"
)

// notifySet holds the figures of notifications, of all configurations.
var notifySet = metrics.NewSet()

var notifyMetrics = sync.OnceValue(func() *notify.Metrics { return notify.NewMetrics(notifySet) })

// registerSet holds the figures of registers in etcd.
var registerSet = metrics.NewSet()

var registerMetrics = sync.OnceValue(func() *register.EtcdMetrics { return register.NewEtcdMetrics(registerSet) })

// writeCounters writes what the front counts, in the Prometheus text format.
func writeCounters(to io.Writer, w watched) {
	figures := map[string]probes.Figures{}
	for _, name := range w.Names() {
		if g := w.find(name); g != nil {
			figures[name] = g.watcher.Figures()
		}
	}
	probes.WriteFigures(to, figures)
	for _, family := range counters {
		_, _ = fmt.Fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", family.name, family.help, family.name, family.kind)
		for _, name := range w.Names() {
			if g := w.find(name); g != nil {
				family.write(to, family.name, g)
			}
		}
	}
	notifySet.WritePrometheus(to)
	registerSet.WritePrometheus(to)
}

var counters = []struct {
	name, kind, help string
	write            func(to io.Writer, name string, g *group)
}{
	{"understudy_turned_away_total", "counter", "Requests that the front answered 503 itself.", count(func(g *group) uint64 { return g.route.turnedAway.Load() })},
	{"understudy_connections_closed_total", "counter", "Connections closed at a failover.", count(func(g *group) uint64 { return g.route.closed.Load() })},
	{"understudy_requests_waiting", "gauge", "Requests that wait for a decision now.", func(to io.Writer, name string, g *group) {
		metrics.WriteGaugeUint64(to, fmt.Sprintf("%s{group=%q}", name, g.name), uint64(max(0, g.route.waiting.Load()))) // #nosec G115 -- not negative
	}},
	{"understudy_connections", "gauge", "Connections open to the serving node.", func(to io.Writer, name string, g *group) {
		open := 0
		if s := g.route.choice.Load().serving; s != nil {
			open = s.open()
		}
		metrics.WriteGaugeUint64(to, fmt.Sprintf("%s{group=%q}", name, g.name), uint64(open)) // #nosec G115 -- not negative
	}},
}

func count(of func(*group) uint64) func(io.Writer, string, *group) {
	return func(to io.Writer, name string, g *group) {
		metrics.WriteCounterUint64(to, fmt.Sprintf("%s{group=%q}", name, g.name), of(g))
	}
}

// collector shows the figures of the API at Caddy's own /metrics too. It reads
// them when it is scraped.
type collector struct{}

// registerCollector adds the figures to the registry of a configuration.
func registerCollector(ctx caddy.Context) error {
	registry := ctx.GetMetricsRegistry()
	if registry == nil {
		return nil
	}
	err := registry.Register(collector{})
	if errors.As(err, &prometheus.AlreadyRegisteredError{}) {
		return nil
	}
	return err
}

// Describe names nothing: which figures there are depends on the groups.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect gives every figure as it is now.
func (collector) Collect(to chan<- prometheus.Metric) {
	var text bytes.Buffer
	api.WriteFigures(&text, watched{})
	writeCounters(&text, watched{})
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&text)
	if err != nil {
		to <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		return
	}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			to <- convert(name, family, m)
		}
	}
}

func convert(name string, family *dto.MetricFamily, m *dto.Metric) prometheus.Metric {
	var labels, values []string
	for _, l := range m.GetLabel() {
		labels, values = append(labels, l.GetName()), append(values, l.GetValue())
	}
	kind, value := prometheus.UntypedValue, m.GetUntyped().GetValue()
	switch family.GetType() {
	case dto.MetricType_COUNTER:
		kind, value = prometheus.CounterValue, m.GetCounter().GetValue()
	case dto.MetricType_GAUGE:
		kind, value = prometheus.GaugeValue, m.GetGauge().GetValue()
	}
	metric, err := prometheus.NewConstMetric(prometheus.NewDesc(name, family.GetHelp(), labels, nil), kind, value, values...)
	if err != nil {
		return prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
	}
	return metric
}
