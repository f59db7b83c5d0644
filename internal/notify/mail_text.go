package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/wneessen/go-mail"

	"github.com/understudy-ha/understudy/internal/ha"
)

// write gives the mail of a message. Nothing that a node or a person has said
// can begin a header: it stands on one line, or in the body.
func (m *Mail) write(msg Message) (*mail.Msg, error) {
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := letter.From(m.config.From); err != nil {
		return nil, err
	}
	if err := letter.To(m.config.To); err != nil {
		return nil, err
	}
	at := msg.At
	if at.IsZero() {
		at = time.Now()
	}
	letter.SetDateWithValue(at)
	letter.SetMessageIDWithValue(letterID(msg) + "@" + domain(m.config.From))
	letter.Subject(subject(msg))
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834, 5: no holiday replies
	letter.SetGenHeader("X-Understudy-Event", plainLine(string(msg.Event)))
	letter.SetBodyString(mail.TypeTextPlain, body(msg))
	return letter, nil
}

// letterID gives the ID of a message, a new one for a message without.
func letterID(msg Message) string {
	if _, ok := stamped(msg.ID); ok && strings.Trim(msg.ID, nameLetters) == "" {
		return msg.ID
	}
	return newID(time.Now())
}

const subjectLimit = 120

// subject gives the beginning of what is told.
func subject(msg Message) string {
	text := plainLine(msg.Text)
	if len(text) > subjectLimit {
		text = strings.ToValidUTF8(text[:subjectLimit], "") + "..."
	}
	return "[understudy " + plainLine(string(msg.Severity)) + "] " + text
}

// body gives the message for people.
func body(msg Message) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("%s", plainLine(msg.Text))
	if msg.Do != "" {
		say("\nWhat to do: %s", plainLine(msg.Do))
	}
	say("")
	say("When:   %s", msg.At.UTC().Format("2006-01-02 15:04:05 UTC"))
	if msg.Group != "" {
		say("Group:  %s, epoch %d", plainLine(msg.Group), msg.Epoch)
	}
	say("Event:  %s", plainLine(string(msg.Event)))
	if who := by(ha.Traffic{Actor: msg.Actor, Claimed: msg.Claimed, Words: msg.Reason}); who != "" {
		say("By:    %s", plainLine(who))
	}
	for i, r := range msg.Evidence {
		if i == 0 {
			say("\nWhat was seen:")
		}
		say("  %s at %s: %s", plainLine(r.Node), r.At.UTC().Format("15:04:05"), plainLine(seen(r)))
	}
	return b.String()
}

// seen says what a reading has shown.
func seen(r ha.Reading) string { return r.State.String() + cause(r) }

// plainLine gives text on one line, without letters that are not for people.
func plainLine(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029':
			return ' '
		case !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return strings.TrimSpace(text)
}
