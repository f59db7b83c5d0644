package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
	"github.com/understudy-ha/understudy/internal/statefile"
)

const (
	// sameAlarm is how far apart two messages may be that tell of one alarm,
	// seen by two processes. Later ones are told again though its end was not.
	sameAlarm = 10 * time.Minute

	// changeKept is how long it is remembered that anything else was told.
	changeKept = 24 * time.Hour
)

// ledger is what one receiver has been told, kept beside its queue. Only the
// process that holds the queue's lock reads or writes it.
type ledger struct {
	Alarms  map[string]time.Time `json:"alarms"`  // by Key: begun (Message.At) and not over
	Changes map[string]time.Time `json:"changes"` // by Key or ID, all else: when told
}

func emptyLedger() ledger {
	return ledger{Alarms: map[string]time.Time{}, Changes: map[string]time.Time{}}
}

// admit gives m as it is to be sent, its Ends only those that the receiver was
// told of, and whether it tells anything new.
func (l ledger) admit(m Message) (Message, bool) {
	m.Ends = slices.DeleteFunc(slices.Clone(m.Ends), func(r ha.Reason) bool {
		_, open := l.Alarms[alarmKey(m.Group, r)]
		return !open
	})
	begun, open := l.Alarms[m.Key]
	_, told := l.Changes[m.key()]
	switch {
	case len(m.Ends) > 0:
		return m, true
	case m.Event == Cleared:
		return m, false
	case open:
		return m, m.At.Sub(begun).Abs() >= sameAlarm
	}
	return m, !told
}

// note enters a message that was delivered at the given time.
func (l ledger) note(m Message, now time.Time) {
	for _, r := range m.Ends {
		delete(l.Alarms, alarmKey(m.Group, r))
	}
	maps.DeleteFunc(l.Changes, func(_ string, told time.Time) bool { return now.Sub(told) > changeKept })
	if m.Key == alarmKey(m.Group, m.Event) {
		l.Alarms[m.Key] = m.At
		return
	}
	l.Changes[m.key()] = now
}

const (
	ledgerFile  = "ledger"
	ledgerLimit = 4 << 20
)

// readLedger gives the ledger of a queue; with an error, an empty one.
func readLedger(dir string) (ledger, error) {
	l := emptyLedger()
	data, err := statefile.Read(filepath.Join(dir, ledgerFile), ledgerLimit)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l, nil
	case err != nil:
		return l, err
	}
	if err := json.Unmarshal(data, &l); err != nil {
		return emptyLedger(), fmt.Errorf("read %s: %w", filepath.Join(dir, ledgerFile), err)
	}
	if l.Alarms == nil || l.Changes == nil {
		return emptyLedger(), fmt.Errorf("read %s: it is not whole", filepath.Join(dir, ledgerFile))
	}
	return l, nil
}

func (l ledger) write(dir string) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return statefile.Write(filepath.Join(dir, ledgerFile), data, 0o660)
}
