// Package lanes shows what happened over time: one row a node, one for the
// traffic, one for holds, on one axis.
//
// A [Log] remembers when a node's state changed, in one file a group; [Chart]
// draws rows of spans as SVG. Each state has a shape of its own beside its
// colour: Active fills the row, Standby its lower half, NotAvailable is
// hatched, and what nobody watched is an empty frame.
package lanes
