package dnsgtm

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/VictoriaMetrics/metrics"
)

// WriteMetrics writes what the server counts in the Prometheus text format.
func (s *Server) WriteMetrics(to io.Writer) {
	f := s.Figures()
	metrics.WriteMetadataIfNeeded(to, "understudy_dns_replies_total", "counter")
	for _, rcode := range slices.Sorted(maps.Keys(f.Replies)) {
		metrics.WriteCounterUint64(to, fmt.Sprintf("understudy_dns_replies_total{rcode=%q}", rcode), f.Replies[rcode])
	}
	for _, one := range []struct {
		name  string
		value uint64
	}{
		{"understudy_dns_slow_queries_total", f.Slow},
		{"understudy_dns_limited_replies_total", f.Limited},
		{"understudy_dns_slipped_replies_total", f.Slipped},
		{"understudy_dns_dropped_messages_total", f.Dropped},
		{"understudy_dns_unsent_replies_total", f.Unsent},
		{"understudy_dns_zone_changes_total", f.Changes},
		{"understudy_dns_zone_changes_without_serial_total", f.Unserialled},
		{"understudy_dns_serial_store_failures_total", f.Unstored},
		{"understudy_dns_panics_total", f.Panics},
		{"understudy_dns_transfers_total", f.Transfers},
		{"understudy_dns_transfers_refused_total", f.Refused},
		{"understudy_dns_notifications_total", f.Notified},
		{"understudy_dns_notifications_unconfirmed_total", f.Unheard},
		{"understudy_dns_connections_evicted_total", f.Evicted},
	} {
		metrics.WriteMetadataIfNeeded(to, one.name, "counter")
		metrics.WriteCounterUint64(to, one.name, one.value)
	}
	metrics.WriteMetadataIfNeeded(to, "understudy_dns_connections", "gauge")
	metrics.WriteGaugeUint64(to, "understudy_dns_connections", uint64(max(0, f.Connections))) // #nosec G115 -- not negative
	s.writeZones(to)
}

// writeZones writes each zone's serial, and which node each group answers.
func (s *Server) writeZones(to io.Writer) {
	t := s.table.Load()
	metrics.WriteMetadataIfNeeded(to, "understudy_dns_zone_serial", "gauge")
	for _, apex := range slices.Sorted(maps.Keys(t.zones)) {
		if v := t.zones[apex].now.Load(); v != nil {
			metrics.WriteGaugeUint64(to, fmt.Sprintf("understudy_dns_zone_serial{zone=%q}", apex), uint64(v.serial))
		}
	}
	metrics.WriteMetadataIfNeeded(to, "understudy_dns_answers_node", "gauge")
	for _, g := range t.config.Groups {
		c := s.Choice(g.Name)
		for _, n := range g.Nodes {
			answers := uint64(0)
			if slices.Contains(c.Nodes, n.Name) {
				answers = 1
			}
			metrics.WriteGaugeUint64(to, fmt.Sprintf("understudy_dns_answers_node{group=%q,node=%q}", g.Name, n.Name), answers)
		}
	}
}
