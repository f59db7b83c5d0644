// Package replicate copies the datasets of a node to the node that stands by
// for it: pulled by the sink, verified, and put into force all at once.
//
// # A run
//
// The sink asks the source who it is (hello: release, epoch, datasets), lets it
// make its offers (begin: databases first, files second), fetches each offered
// tree into a staging folder, verifies it, lets the dataset prepare it, asks
// hello again, and asks its engine whether the copy may go live. Then it writes
// "commit" into its journal and switches all datasets: one [Generation]. A crash
// before that word discards what was staged; a crash after it is rolled forward
// at the next start, for each step of a switch may be done twice.
//
// # Who does what
//
// The core, this package's [Replica] and [Source], does everything that is the
// same for all types: the trees' manifests and whether they are equal, rsync
// over ssh, staging, verification of what arrived, counts, guards, journal,
// generations, retention, rollback, progress. A type of dataset stands behind
// [Dataset] and knows only its own matter:
//
//   - on the source, [Dataset.Offer] makes a consistent state of the data: a dump
//     in the spool folder that it is given, with the counts of the same snapshot.
//     What lives as a tree of files anyway is offered where it is.
//   - on the sink, [Dataset.Prepare] gets the tree, which is already verified byte
//     by byte, and makes of it what [Dataset.Switch] can put into force at once:
//     a database restores it into a new one beside the old. It also runs the
//     checks that only it knows, and counts what it restored; the core compares
//     those counts with the offer's.
//   - [Dataset.Back] undoes a switch, and [Dataset.Drop] frees what a generation
//     keeps that nobody goes back to any more, or what was prepared in vain.
//
// Everything a type has to remember from Prepare to Switch, Back and Drop goes
// into [Change].Data, which the core writes into its journal; a type keeps
// nothing in memory, for the next call may come from another process after a
// power cut. Names of what Prepare makes contain the generation's number, which
// no other attempt ever has, so that Drop finds it by that number alone.
package replicate
