package sidecar

import (
	"fmt"
	"io"
	"sync"

	"github.com/VictoriaMetrics/metrics"

	"github.com/understudy-ha/understudy/internal/notify"
	"github.com/understudy-ha/understudy/internal/register"
	"github.com/understudy-ha/understudy/probes"
)

// notifySet holds the figures of notifications, over all configurations.
var notifySet = metrics.NewSet()

// registerSet holds the figures of the shared register, if there is one.
var registerSet = metrics.NewSet()

var registerMetrics = sync.OnceValue(func() *register.EtcdMetrics { return register.NewEtcdMetrics(registerSet) })

var notifyMetrics = sync.OnceValue(func() *notify.Metrics { return notify.NewMetrics(notifySet) })

// writeMetrics writes the figures that are not of one group.
func (s *Sidecar) writeMetrics(to io.Writer) {
	gauge(to, "understudy_config_last_reload_successful", "1 if the newest configuration is in force.", flagged(!s.refused.Load()))
	gauge(to, "understudy_config_loaded_timestamp_seconds", "When the configuration in force was loaded.", float64(s.loaded.Load()))
	head(to, "understudy_watcher_stale", "gauge", "1 while a group's watcher makes no progress.")
	for _, name := range s.groups.Names() {
		fmt.Fprintf(to, "understudy_watcher_stale{group=%q} %d\n", name, int(flagged(s.pulse.isStale(name))))
	}
	s.scribe.writeMetrics(to)
	if p := s.gate.proxy(); p != nil {
		writeProxy(to, p.Figures())
	}
	if server := s.names.server(); server != nil {
		server.WriteMetrics(to)
	}
	notifySet.WritePrometheus(to)
	registerSet.WritePrometheus(to)
}

func writeProxy(to io.Writer, f probes.ProxyFigures) {
	for _, c := range []struct {
		name, help string
		value      uint64
	}{
		{"understudy_proxy_answers_total", "Health checks answered over HTTP.", f.Answers},
		{"understudy_proxy_agent_total", "Agent checks answered.", f.Agent},
		{"understudy_proxy_agent_silent_total", "Agent checks that were told nothing.", f.Silent},
		{"understudy_proxy_refused_total", "Connections closed unheard: not allowed, or too many.", f.Refused},
		{"understudy_proxy_throttled_total", "Health checks above the rate.", f.Throttled},
		{"understudy_proxy_faulty_total", "Requests that could not be read.", f.Faulty},
	} {
		head(to, c.name, "counter", c.help)
		fmt.Fprintf(to, "%s %d\n", c.name, c.value)
	}
	gauge(to, "understudy_proxy_connections", "Connections of load balancers now.", float64(f.Conns))
	gauge(to, "understudy_proxy_stale_groups", "Groups of which every answer is 503, for what is known of them is too old.", float64(f.Stale))
}

func gauge(to io.Writer, name, help string, value float64) {
	head(to, name, "gauge", help)
	fmt.Fprintf(to, "%s %.14g\n", name, value)
}

func head(to io.Writer, name, kind, help string) {
	fmt.Fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func flagged(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
