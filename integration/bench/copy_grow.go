package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// copyGrow shows how the cost of a sync grows with the size of a tree, and with
// what has changed in it.
func (b *bench) copyGrow(ctx context.Context) error {
	b.say("\nWhat a sync of files costs beside rsync -a, both through the same pipe; files of %d KiB", grownFile)
	b.say("%10s %10s %12s %12s %8s %14s %14s %8s   (of the bytes at most %.1f)", "total", "changed", "rsync -a", "sync", "ratio", "rsync bytes", "sync bytes", "ratio", mostWire)
	totals := []int{100, 1024, 4096} // MiB
	if b.runs == 1 {
		totals = totals[:2]
	}
	for _, total := range totals {
		if err := b.growOf(ctx, total); err != nil {
			return err
		}
	}
	return nil
}

// grownFile is the size of each file, in KiB.
const grownFile = 256

// growOf does that for a tree of so many MiB.
func (b *bench) growOf(ctx context.Context, total int) error {
	p, err := b.newCopyPair(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	files := total << 10 / grownFile
	if err := p.fill(files, grownFile<<10); err != nil {
		return err
	}
	for _, run := range []func(context.Context) (time.Duration, error){p.ours, p.bare} {
		if _, err := run(ctx); err != nil {
			return err
		}
	}
	p.count()
	for _, percent := range []int{0, 1, 10} {
		var times [2][]time.Duration
		var wires [2]int64
		for round := range 3 {
			if err := p.change(files, percent, total+percent+round); err != nil {
				return err
			}
			for i, run := range []func(context.Context) (time.Duration, error){p.bare, p.ours} {
				took, err := run(ctx)
				if err != nil {
					return err
				}
				times[i] = append(times[i], took)
				wires[i] = p.wire()
			}
		}
		bare, ours := middle(times[0]), middle(times[1])
		b.say("%6.1f GiB %8d %% %12v %12v %8.2f %14d %14d %8.2f", float64(total)/1024, percent, bare.Round(time.Millisecond), ours.Round(time.Millisecond), ours.Seconds()/bare.Seconds(), wires[0], wires[1], float64(wires[1])/float64(wires[0]))
	}
	return nil
}

// change writes a share of the files anew, each time with a time of its own: rsync
// -a does not see a file that keeps its size and changes within the same second.
func (p *copyPair) change(files, percent, seed int) error {
	text := make([]byte, grownFile<<10)
	for i := range files * percent / 100 {
		for j := range text {
			text[j] = byte((j*j+j*i)>>5 + seed*31 + j/97)
		}
		at := filepath.Join(p.from, fmt.Sprint(i*97%files/100), fmt.Sprint(i*97%files))
		changed := time.Now().Add(-time.Duration(seed) * time.Minute)
		if err := errors.Join(os.WriteFile(at, text, 0o644), os.Chtimes(at, changed, changed)); err != nil { // #nosec G306
			return err
		}
	}
	return nil
}
