package register

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/internal/ha"
)

func TestWhatCannotBeReadIsDamaged(t *testing.T) {
	t.Parallel()
	impossible := traffic("app", 9)
	impossible.Order = nil
	envelopeOf := func(v ha.Traffic) string {
		line, err := encode(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(line)
	}
	whole := string(readable([]byte(envelopeOf(traffic("app", 9)))))
	for _, tt := range []struct {
		name, text, says string
		floor            uint64
	}{
		{"empty", "", "is cut short", 3},
		{"zeros", strings.Repeat("\x00", 4096), "is not the JSON", 3},
		{"half", whole[:len(whole)/2], "is cut short", 9},
		{"text", "hello", "is not the JSON", 3},
		{"a list", "[1]", "is not the JSON", 3},
		{"an empty object", "{}", "no format version", 3},
		{"something after the end", whole + "x", "goes on after its end", 9},
		{"zeros after the end", whole + "\x00\x00", "goes on after its end", 9},
		{"another one after the end", whole + whole, "goes on after its end", 9},
		{"a future version", strings.Replace(whole, `"version": 1`, `"version": 2`, 1), "has format version 2, and this understudy reads only 1", 9},
		{"a negative version", strings.Replace(whole, `"version": 1`, `"version": -1`, 1), "no format version", 9},
		{"changed by hand", strings.Replace(whole, `"mi2"`, `"mi3"`, 1), "does not fit its checksum", 9},
		{"no checksum", strings.Replace(whole, "sha256:", "", 1), "does not fit its checksum", 9},
		{"no traffic", `{"version":1,"checksum":""}`, "holds no traffic", 3},
		{"another thing than a traffic", envelopeWith(t, `[1]`), "does not hold a traffic", 3},
		{"an unknown state", envelopeWith(t, `{"group":"app","epoch":9,"evidence":[{"state":"Sleeping"}]}`), "does not hold a traffic", 9},
		{"an impossible traffic", envelopeOf(impossible), "holds an impossible traffic: no order", 9},
		{"another group's", envelopeOf(traffic("other", 9)), `of another group, "other"`, 9},
		{"too large", strings.Repeat(" ", mostTraffic) + whole, "has more than 1048576 bytes", 3},
		{"an old copy", string(readable([]byte(envelopeOf(traffic("app", 2))))), "has epoch 2, but app.history knows of 3", 3},
		{"an absurd epoch", `{"epoch": 9223372036854775807, "epoch": 12 `, "is cut short", 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := openFor(t, t.TempDir(), never)
			saved(t, d, "app", 3)
			write(t, d.file("app", trafficFile), []byte(tt.text))
			_, err := d.Load(t.Context(), "app")
			wantDamaged(t, err, d.file("app", trafficFile), tt.says, tt.floor)
			wantEpochs(t, d, "app", 10, 1, 2, 3)
			replaced(t, d, tt.floor, tt.text)
		})
	}
}

// replaced checks that only a forced Traffic above the floor replaces a
// damaged one, which is kept.
func replaced(t *testing.T, d *Dir, floor uint64, text string) {
	t.Helper()
	var damaged *ha.Damaged
	for _, was := range []uint64{0, 3, floor} {
		if err := d.Save(t.Context(), was, traffic("app", floor+1)); !errors.As(err, &damaged) {
			t.Errorf("save without force: got %v, want a damaged traffic", err)
		}
	}
	if err := d.Save(t.Context(), 0, forced("app", floor)); !errors.Is(err, ha.ErrStale) {
		t.Errorf("forced save of the floor's epoch: got %v, want ErrStale", err)
	}
	if got := read(t, d.file("app", trafficFile)); string(got) != text {
		t.Errorf("a refused save left %d bytes, want the %d that were there", len(got), len(text))
	}
	if err := d.Save(t.Context(), floor, forced("app", floor+5)); err != nil {
		t.Fatal(err)
	}
	wantLoad(t, d, forced("app", floor+5))
	wantEpochs(t, d, "app", 2, 3, floor+5)
	if got := read(t, d.file("app", damagedFile+"1")); string(got) != text {
		t.Errorf("%d bytes were kept beside, want the damaged file's %d", len(got), len(text))
	}
	if err := d.Save(t.Context(), floor+5, traffic("app", floor+6)); err != nil {
		t.Error(err)
	}
}

func envelopeWith(t *testing.T, inner string) string {
	t.Helper()
	line, err := marshal(envelope{version, []byte(inner), checksum([]byte(inner))})
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

func TestEveryBeginningOfAFileIsDamaged(t *testing.T) {
	t.Parallel()
	line, err := encode(traffic("app", 17))
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.TrimSuffix(readable(line), []byte("\n"))
	for n := range whole {
		if got, err := decode("app", whole[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were read as %+v", n, len(whole), got)
		}
	}
	if got, err := decode("app", whole); err != nil || got.Epoch != 17 {
		t.Errorf("the whole file: %+v, %v", got, err)
	}
}

func TestAMissingFileIsDamagedIfThereIsAHistory(t *testing.T) {
	t.Parallel()
	d := openFor(t, t.TempDir(), never)
	saved(t, d, "app", 3)
	remove(t, d.file("app", trafficFile))
	_, err := d.Load(t.Context(), "app")
	wantDamaged(t, err, d.file("app", trafficFile), "is missing, but app.history is not", 3)
	wantDamaged(t, d.Save(t.Context(), 0, traffic("app", 4)), d.file("app", trafficFile), "is missing", 3)
	remove(t, d.file("app", historyFile))
	if _, err := d.Load(t.Context(), "app"); !errors.Is(err, ha.ErrNone) {
		t.Errorf("without both: got %v, want ErrNone", err)
	}

	saved(t, d, "app", 1)
	remove(t, d.file("app", trafficFile))
	write(t, d.file("app", historyFile), []byte("not one whole line"))
	_, err = d.Load(t.Context(), "app")
	wantDamaged(t, err, d.file("app", trafficFile), "is missing", 0)
	if err := d.Save(t.Context(), 0, forced("app", 1)); err != nil {
		t.Error(err)
	}
	wantEpochs(t, d, "app", 10, 1)

	write(t, d.file("new", historyFile), nil) // a crash in the very first Save
	if _, err := d.Load(t.Context(), "new"); !errors.Is(err, ha.ErrNone) {
		t.Errorf("with an empty history: got %v, want ErrNone", err)
	}
	saved(t, d, "new", 1)
}

func TestEveryDamagedFileIsKept(t *testing.T) {
	t.Parallel()
	d := openFor(t, t.TempDir(), never)
	for n := range 3 {
		text := fmt.Sprintf("damage %d", n)
		write(t, d.file("app", trafficFile), []byte(text))
		if n == 1 { // a Save that failed after keeping: it is not kept twice
			if err := d.keep("app"); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Save(t.Context(), 0, forced("app", uint64(n)+1)); err != nil {
			t.Fatal(err)
		}
		if got := read(t, d.file("app", fmt.Sprint(damagedFile, n+1))); string(got) != text {
			t.Errorf("kept %q, want %q", got, text)
		}
		remove(t, d.file("app", trafficFile))
	}
	if _, err := os.Stat(d.file("app", damagedFile+"4")); err == nil {
		t.Error("something is kept twice")
	}
}

// The kernel lets nobody link a file of somebody else's that he cannot write.
func TestADamagedFileOfAnotherUserIsKept(t *testing.T) {
	t.Parallel()
	d := openFor(t, t.TempDir(), never)
	write(t, d.file("app", trafficFile), []byte("damaged"))
	if err := os.Chmod(d.file("app", trafficFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(d.path, 0o777); err != nil {
		t.Fatal(err)
	}
	asNobody(t, d.path, func() {
		if err := d.Save(t.Context(), 0, forced("app", 1)); err != nil {
			t.Error(err)
		}
		wantLoad(t, d, forced("app", 1))
		if got := read(t, d.file("app", damagedFile+"1")); string(got) != "damaged" {
			t.Errorf("kept %q, want the damaged file", got)
		}
	})
}

func TestTheFloorComesFromWhateverCanBeRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want uint64
	}{
		{``, 0},
		{`"epoch": 17`, 17},
		{`{"epoch":17,"node_epoch":99,"node_epochs":{"mi1":98}}`, 17},
		{`"epoch":17} "epoch" : 21 }{ "epoch": 3`, 21},
		{`"reason": "say \"epoch\": 99", "epoch": 4`, 4},
		{`"epoch": -5, "epoch": x, "epoch": 18446744073709551615, "epoch": 2`, 2},
		{`"epoch": 1.5e3`, 1},
	} {
		if got := highest([]byte(tt.text)); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.text, got, tt.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	line, err := encode(traffic("app", 17))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add(readable(line))
	f.Add(line[:len(line)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		highest(data)
		v, err := decode("app", data)
		if err != nil {
			return
		}
		again, err := encode(v)
		if err != nil {
			t.Fatalf("%+v was read but cannot be written: %v", v, err)
		}
		if back, err := decode("app", again); err != nil || back.Epoch != v.Epoch {
			t.Fatalf("%+v came back as %+v, %v", v, back, err)
		}
	})
}
