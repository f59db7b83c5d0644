package notify

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/internal/ha"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func changeOf(group string, at time.Time, ends ...ha.Reason) Message {
	t := ha.Traffic{Group: group, Cause: ha.Switched, At: at}
	return Message{ID: newID(at), Key: changeKey(t), Group: group, Event: ha.Switched, At: at, Ends: ends, Text: "switched"}
}

func clearedOf(at time.Time, ends ...ha.Reason) Message {
	return Message{ID: newID(at), Group: "mdm", Event: Cleared, At: at, Ends: ends, Text: "cleared"}
}

func TestTheLedgerKnowsWhatIsNew(t *testing.T) {
	t.Parallel()
	later := func(d time.Duration) time.Time { return noon.Add(d) }
	stranded := alarmOf(ha.Stranded, noon)
	own := Message{ID: newID(noon), Group: "mdm", Event: "sync_completed"}
	for _, tt := range []struct {
		name string
		told []Message
		next Message
		news bool
		ends []ha.Reason
	}{
		{"an alarm", nil, stranded, true, nil},
		{"the same alarm from another process", []Message{stranded}, alarmOf(ha.Stranded, later(time.Second)), false, nil},
		{"the same, seen a little earlier", []Message{stranded}, alarmOf(ha.Stranded, later(-time.Second)), false, nil},
		{"the same alarm an hour later", []Message{stranded}, alarmOf(ha.Stranded, later(time.Hour)), true, nil},
		{"the same alarm after the clock went back a day", []Message{stranded}, alarmOf(ha.Stranded, later(-24*time.Hour)), true, nil},
		{"the same alarm after it was over", []Message{stranded, clearedOf(later(1), ha.Stranded)}, alarmOf(ha.Stranded, later(time.Second)), true, nil},
		{"another alarm", []Message{stranded}, alarmOf(ha.NoStandby, later(time.Second)), true, nil},
		{"an end", []Message{stranded}, clearedOf(later(1), ha.Stranded), true, []ha.Reason{ha.Stranded}},
		{"an end, of many that were not told", []Message{stranded}, clearedOf(later(1), decisionAlarms...), true, []ha.Reason{ha.Stranded}},
		{"an end of nothing that was told", nil, clearedOf(noon, decisionAlarms...), false, nil},
		{"an end told already", []Message{stranded, clearedOf(later(1), ha.Stranded)}, clearedOf(later(2), ha.Stranded), false, nil},
		{"a change", nil, changeOf("mdm", noon), true, nil},
		{"the same change from another process", []Message{changeOf("mdm", noon)}, changeOf("mdm", noon), false, nil},
		{"the same change, which also ends an alarm", []Message{stranded, changeOf("mdm", noon)}, changeOf("mdm", noon, ha.Stranded), true, []ha.Reason{ha.Stranded}},
		{"a change that ends an alarm", []Message{stranded}, changeOf("mdm", noon, ha.Stranded, ha.Held), true, []ha.Reason{ha.Stranded}},
		{"another change", []Message{changeOf("mdm", noon)}, changeOf("mdm", later(1)), true, nil},
		{"another group's change", []Message{changeOf("mdm", noon)}, changeOf("crm", noon), true, nil},
		{"a message like no other", []Message{own}, Message{ID: newID(noon), Group: "mdm", Event: "sync_completed"}, true, nil},
		{"that message itself, after a crash before it was taken out", []Message{own}, own, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := emptyLedger()
			for _, m := range tt.told {
				m, _ = l.admit(m)
				l.note(m, noon)
			}
			got, news := l.admit(tt.next)
			if news != tt.news || !slices.Equal(got.Ends, tt.ends) {
				t.Errorf("got new %v, ends %v; want %v, %v", news, got.Ends, tt.news, tt.ends)
			}
		})
	}
}

func TestTheLedgerForgetsOldChangesButNoOpenAlarm(t *testing.T) {
	t.Parallel()
	l := emptyLedger()
	l.note(alarmOf(ha.Stranded, noon), noon)
	l.note(changeOf("mdm", noon), noon)
	l.note(changeOf("mdm", noon.Add(48*time.Hour)), noon.Add(48*time.Hour))
	if len(l.Changes) != 1 || len(l.Alarms) != 1 {
		t.Errorf("got %+v, want one change and one alarm", l)
	}
}

func TestTheLedgerOutlivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, chat := t.TempDir(), &recorder{name: "chat"}
		first := start(t, dir, nil, chat)
		change := changeOf("mdm", time.Now())
		first.Tell(change)
		first.Tell(alarmOf(ha.Stranded, time.Now()))
		synctest.Wait()
		first.stop()
		second := start(t, dir, nil, chat)
		second.Tell(change)
		second.Tell(alarmOf(ha.Stranded, time.Now()))
		second.Tell(clearedOf(time.Now(), decisionAlarms...))
		synctest.Wait()
		same(t, "chat", chat.texts(), []string{"switched", "stranded", "cleared"})
		if got := chat.taken[2].Ends; !slices.Equal(got, []ha.Reason{ha.Stranded}) {
			t.Errorf("ends %v, want stranded only", got)
		}
		if got := second.count(repeated); got != 2 {
			t.Errorf("counted %d repeated, want 2", got)
		}
	})
}

func TestADamagedLedgerTellsTooMuchRatherThanTooLittle(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", `{"alarms":{`, `{"alarms":{},"changes":null}`, "[]"} {
		synctest.Test(t, func(t *testing.T) {
			dir, chat := t.TempDir(), &recorder{name: "chat"}
			q, err := openQueue(filepath.Join(dir, "queue", "chat"), 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(q.dir, ledgerFile), []byte(content), 0o660); err != nil {
				t.Fatal(err)
			}
			n := start(t, dir, nil, chat)
			n.Tell(alarmOf(ha.Stranded, time.Now()))
			synctest.Wait()
			same(t, "chat", chat.texts(), []string{"stranded"})
			if !strings.Contains(n.log.String(), "level=WARN msg=\"what was told before is not known") {
				t.Errorf("%q: the log does not tell: %s", content, n.log)
			}
		})
	}
}

func TestAnAlarmThatWasNeverDeliveredHasNoEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		chat := &recorder{name: "chat"}
		chat.answers(func(m Message) error {
			if m.Severity == Alarm {
				return &Rejected{"too loud"}
			}
			return nil
		})
		n := start(t, t.TempDir(), nil, chat)
		n.Tell(alarmOf(ha.Stranded, time.Now()))
		n.Tell(clearedOf(time.Now(), ha.Stranded))
		synctest.Wait()
		same(t, "chat", chat.texts(), nil)
	})
}
