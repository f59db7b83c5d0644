// Package probes looks: it asks nodes for their pages, keeps what the answers
// say of a group, and lets internal/ha decide.
//
// One [Checker] makes one [ha.Reading] of one GET. One [Watcher] a group runs
// the loop: a single goroutine owns the group's Traffic and View, takes
// readings, evidence of live traffic, a person's wishes and the register's
// changes one after the other, asks [ha.Next], stores, and then tells its
// followers. Everybody else reads the Situation, an atomic snapshot.
package probes
