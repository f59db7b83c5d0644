package register

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

// version is the format that encode writes. It grows when an older reader
// would understand a file wrongly, not when a field is added.
const version = 1

// envelope is what stands in a file around a Traffic.
type envelope struct {
	Version  int             `json:"version"`
	Traffic  json.RawMessage `json:"traffic"`
	Checksum string          `json:"checksum"` // of the traffic without blanks
}

// encode gives t in its envelope, on one line without an end.
func encode(t ha.Traffic) ([]byte, error) {
	inner, err := marshal(plain(t))
	if err != nil {
		return nil, err
	}
	return marshal(envelope{version, inner, checksum(inner)})
}

// marshal is json.Marshal that leaves <, > and & readable.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// readable gives a line of encode as the file that people read.
func readable(line []byte) []byte {
	var b bytes.Buffer
	_ = json.Indent(&b, line, "", "  ") // line is JSON
	b.WriteByte('\n')
	return b.Bytes()
}

func checksum(compact []byte) string {
	sum := sha256.Sum256(compact)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// decode gives the Traffic of a group from what encode wrote. Its errors go on
// from the name of the file: "is not JSON".
func decode(group string, data []byte) (ha.Traffic, error) {
	inner, err := open(data)
	if err != nil {
		return ha.Traffic{}, err
	}
	var t ha.Traffic
	if err := json.Unmarshal(inner, &t); err != nil {
		return ha.Traffic{}, fmt.Errorf("does not hold a traffic: %s", cut(err.Error()))
	}
	if t.Group != group {
		return ha.Traffic{}, fmt.Errorf("holds the traffic of another group, %q", cut(t.Group))
	}
	if err := t.Check(); err != nil {
		return ha.Traffic{}, fmt.Errorf("holds an impossible traffic: %s", cut(err.Error()))
	}
	return t, nil
}

// open gives what stands in an envelope of our version, unharmed.
func open(data []byte) (json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	var e envelope
	switch err := dec.Decode(&e); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("is cut short")
	case err != nil:
		return nil, fmt.Errorf("is not the JSON that it should be: %s", cut(err.Error()))
	case e.Version > version:
		return nil, fmt.Errorf("has format version %d, and this understudy reads only %d: run the newer understudy that wrote it", e.Version, version)
	case e.Version != version:
		return nil, fmt.Errorf("names no format version that there has ever been (%d)", e.Version)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("goes on after its end")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, e.Traffic); err != nil {
		return nil, errors.New("holds no traffic")
	}
	if checksum(compact.Bytes()) != e.Checksum {
		return nil, errors.New("does not fit its checksum: a person or a fault of the disk has changed it")
	}
	return e.Traffic, nil
}

// plain gives a copy of t as it comes back from a file: every time in UTC and
// without the reading of a monotonic clock.
func plain(t ha.Traffic) ha.Traffic {
	wall := func(at time.Time) time.Time { return at.Round(0).UTC() }
	t.Since, t.At, t.QueueUntil = wall(t.Since), wall(t.At), wall(t.QueueUntil)
	t.Evidence = slices.Clone(t.Evidence)
	for i := range t.Evidence {
		t.Evidence[i].At = wall(t.Evidence[i].At)
	}
	if t.Hold != nil {
		hold := *t.Hold
		hold.Since, hold.Until, hold.OutageUntil = wall(hold.Since), wall(hold.Until), wall(hold.OutageUntil)
		t.Hold = &hold
	}
	return t
}

var epochs = regexp.MustCompile(`"epoch"\s*:\s*([0-9]{1,19})\b`)

// highest gives the highest epoch that stands anywhere in data, 0 if none does.
// It believes nothing that would leave no room above.
func highest(data []byte) uint64 {
	const most = 1 << 62
	var high uint64
	for _, found := range epochs.FindAllSubmatch(data, -1) {
		if n, err := strconv.ParseUint(string(found[1]), 10, 64); err == nil && n < most {
			high = max(high, n)
		}
	}
	return high
}

// cut shortens what a file says before it is shown.
func cut(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
