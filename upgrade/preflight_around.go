package upgrade

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
)

func inWindow(p Plan, w World) Item {
	window := p.Config.Window
	switch {
	case window.From == "":
		return skip("upgrade.yaml names no window")
	case !window.Open(w.At):
		return fail("Wait for the window.", "it is %s, outside of the window: %s", w.At.UTC().Format("15:04 UTC on Monday"), window)
	}
	return pass("%s", window)
}

func diskFree(p Plan, w World) Item {
	if p.Config.Kind == config.RunSwitchover {
		return skip("a switchover installs nothing")
	}
	least, silent := "", ""
	for _, name := range []string{p.Primary, p.Secondary} {
		for _, path := range slices.Sorted(maps.Keys(w.Nodes[name].Room)) {
			free := w.Nodes[name].Room[path]
			if free < p.Config.DiskFree {
				return fail("Make room there, or say less: disk_free in upgrade.yaml.", "%s has %s free on the file system of %s; disk_free is %s", name, mebibytes(free), path, mebibytes(p.Config.DiskFree))
			}
			least += fmt.Sprintf("%s %s %s, ", name, path, mebibytes(free))
		}
		if len(w.Nodes[name].Room) == 0 {
			silent = name
		}
	}
	if silent != "" {
		return warn("Look there: df -h; over ssh, name a command for it: disk_free.", "not looked at: nobody can tell how much room %s has", silent)
	}
	return pass("free: %s", strings.TrimSuffix(least, ", "))
}

func mebibytes(n uint64) string { return fmt.Sprintf("%d MiB", n>>20) }

// soonExpires is how long a certificate should be good for still.
const soonExpires = 14 * 24 * time.Hour

func certificates(p Plan, w World) Item {
	first := time.Time{}
	for _, s := range w.Seen {
		if s.What != seenCertificate {
			continue
		}
		left := s.Until.Sub(w.At)
		switch {
		case s.Fault != "":
			return fail("Correct certificates in upgrade.yaml, or repair it.", "the certificate at %s cannot be seen: %s", s.Of, s.Fault)
		case left < 24*time.Hour:
			return fail("Renew it first.", "the certificate at %s is good until %s", s.Of, moment(s.Until))
		case first.IsZero() || s.Until.Before(first):
			first = s.Until
		}
	}
	switch {
	case first.IsZero():
		return skip("upgrade.yaml names no certificates")
	case first.Sub(w.At) < soonExpires:
		return warn("Renew it soon.", "a certificate is good only until %s", moment(first))
	}
	return pass("the first expires %s", moment(first))
}

func packageVerified(p Plan, w World) Item {
	switch {
	case p.Config.Kind == config.RunSwitchover:
		return skip("a switchover installs nothing")
	case p.Config.Package == "":
		return warn("Name the package's digest: package in upgrade.yaml, and ${DIGEST} in the lists of node.yaml.", "nobody says which package it is: a node takes what its download gives for %s", p.Config.To)
	}
	return nodesOf(p, w, func(name string, n Node) *Item {
		if n.Driver == "agent" && !n.Checks {
			return itemp(fail("Let app.download or app.upgrade there check ${DIGEST}.", "%s does not look at the package's digest: no list of its node.yaml has ${DIGEST}", name))
		}
		return nil
	}, "the nodes' own lists check "+short(p.Config.Package))
}

// queueTimeout compares how long requests have to wait in a swap, as in earlier
// runs, with how long the doors let them.
func queueTimeout(p Plan, w World) Item {
	if p.Config.Kind != config.RunSwitchover {
		return skip("only a switchover lets requests wait")
	}
	least, whose := time.Duration(-1), ""
	for _, name := range slices.Sorted(maps.Keys(w.Routers)) {
		if waits := w.Routers[name].Waits; waits != nil && (least < 0 || *waits < least) {
			least, whose = *waits, name
		}
	}
	switch {
	case least < 0:
		return warn("Clients that come by other ways see an outage as long as the swap.", "no router of the plan lets requests wait")
	case p.Expected == 0:
		return warn("Rehearse once, or raise queue_timeout well above sync, stop and start together.", "%s lets requests wait %v; how long a swap takes is not known before a first run", whose, least)
	case p.Expected > least:
		return fail("Raise queue_timeout in the Caddyfile above that.", "a swap took %v in earlier runs, and %s lets requests wait %v only", p.Expected.Round(10*time.Millisecond), whose, least)
	}
	return pass("a swap took %v in earlier runs; %s lets requests wait %v", p.Expected.Round(10*time.Millisecond), whose, least)
}
