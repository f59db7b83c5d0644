// Package caddymodule sends clients: it puts a pair behind Caddy, by the
// failover rule of internal/ha.
//
// The app "understudy" runs one [probes.Watcher] a group, which outlives a
// reload of the configuration. A [route] a group turns every Situation into an
// immutable [choice] that requests read with one atomic load. The HTTP handler
// and the layer 4 handler choose, wait and dial by it; only the serving node
// may be dialled, and when another node is to serve the old one is fenced, the
// choice is swapped and released, and then its connections are closed, in this
// order and after the Traffic has been stored.
package caddymodule
