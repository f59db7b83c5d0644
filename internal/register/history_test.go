package register

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestAHistoryThatLacksTheNewestIsHealed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spoil func(lines [][]byte) []byte // the lines of epochs 1, 2, 3 with their ends
		want  []uint64
	}{
		{"a line short", func(l [][]byte) []byte { return join(l[:2]...) }, []uint64{1, 2, 3}},
		{"a torn line", func(l [][]byte) []byte { return join(l[0], l[1], l[2][:40]) }, []uint64{1, 2, 3}},
		{"a line without its end", func(l [][]byte) []byte { return bytes.TrimSpace(join(l...)) }, []uint64{1, 2, 3}},
		{"zeros instead of a line", func(l [][]byte) []byte { return join(l[0], l[1], make([]byte, 300)) }, []uint64{1, 2, 3}},
		{"a damaged line", func(l [][]byte) []byte { return join(l[0], l[1], bytes.ToUpper(l[2])) }, []uint64{1, 2, 3}},
		{"a damaged line within", func(l [][]byte) []byte { return join(l[0], bytes.ToUpper(l[1]), l[2]) }, []uint64{1, 3}},
		{"empty", func([][]byte) []byte { return nil }, []uint64{3}},
		{"much without a line end", func([][]byte) []byte { return bytes.Repeat([]byte("x"), 5<<20) }, []uint64{3}},
		{"many useless lines", func(l [][]byte) []byte {
			return join(join(l...), bytes.Repeat([]byte(strings.Repeat("x", 999)+"\n"), 70))
		}, []uint64{1, 2, 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := openFor(t, t.TempDir(), never)
			for _, heal := range []string{"load", "save"} {
				saved(t, d, heal, 3)
				path := d.file(heal, historyFile)
				write(t, path, tt.spoil(bytes.SplitAfter(read(t, path), []byte("\n"))))
				wantEpochs(t, d, heal, 10, tt.want...) // even before
				wantEpochs(t, d, heal, 1, 3)
				switch heal {
				case "load":
					wantLoad(t, d, traffic(heal, 3))
					wantEpochs(t, d, heal, 10, tt.want...)
				case "save":
					if err := d.Save(t.Context(), 3, traffic(heal, 4)); err != nil {
						t.Fatal(err)
					}
					wantEpochs(t, d, heal, 10, append(tt.want, 4)...)
				}
				if data := read(t, path); data[len(data)-1] != '\n' {
					t.Errorf("after a %s the last line has no end", heal)
				}
				wantStored(t, path, heal, 3)
			}
		})
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// wantStored checks that a history has an epoch once.
func wantStored(t *testing.T, path, group string, epoch uint64) {
	t.Helper()
	n := 0
	for _, past := range lastLines(read(t, path), group, 1000) {
		if past.Epoch == epoch {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%s has epoch %d %d times, want once", path, epoch, n)
	}
}

func TestALostHistoryBeginsAnew(t *testing.T) {
	t.Parallel()
	d := openFor(t, t.TempDir(), never)
	saved(t, d, "app", 3)
	remove(t, d.file("app", historyFile))
	wantLoad(t, d, traffic("app", 3))
	wantStored(t, d.file("app", historyFile), "app", 3)
	wantEpochs(t, d, "app", 10, 3)
}

func TestALongHistoryIsCutToItsNewerHalf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		entries uint64
		words   int // bytes of each entry's reason
		most    int
	}{
		{"many entries", mostEntries, 0, mostEntries / 2},
		{"large entries", 100, 100_000, 100 / 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := openFor(t, t.TempDir(), never)
			last := traffic("app", tt.entries)
			last.Words = strings.Repeat("w", tt.words)
			var lines bytes.Buffer
			for n := range tt.entries {
				last.Epoch = n + 1
				line, err := encode(last)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&lines, "%s\n", line)
			}
			path := d.file("app", historyFile)
			write(t, path, lines.Bytes())
			line, err := encode(last)
			if err != nil {
				t.Fatal(err)
			}
			write(t, d.file("app", trafficFile), readable(line))
			if err := d.Save(t.Context(), tt.entries, traffic("app", tt.entries+1)); err != nil {
				t.Fatal(err)
			}
			past, err := d.History(t.Context(), "app", 2*mostEntries)
			if err != nil {
				t.Fatal(err)
			}
			first, newest := past[0].Epoch, past[len(past)-1].Epoch
			if len(past) > tt.most || len(past) < tt.most/3 || newest != tt.entries+1 || newest-first != uint64(len(past)-1) {
				t.Errorf("kept %d entries from %d to %d, want at most %d, the newest", len(past), first, newest, tt.most)
			}
			if info, err := os.Stat(path); err != nil || info.Size() > mostHistory/2 || info.Mode() != fileMode {
				t.Errorf("%v, %v; want at most %d bytes, mode %v", info, err, mostHistory/2, fileMode)
			}
			if err := d.Save(t.Context(), tt.entries+1, traffic("app", tt.entries+2)); err != nil {
				t.Error(err)
			}
			wantEpochs(t, d, "app", 2, tt.entries+1, tt.entries+2)
		})
	}
}

func TestNoLineIsShorterThanCountingAssumes(t *testing.T) {
	t.Parallel()
	line, err := encode(ha.Traffic{Group: "a", Epoch: 1, Order: []string{"b"}, Serving: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if got := mostEntries * (len(line) + 1); got < countFrom {
		t.Errorf("%d of the shortest lines have %d bytes, but they are counted only from %d", mostEntries, got, countFrom)
	}
}
