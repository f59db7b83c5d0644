package haengine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// Settings are what people save: the fields of the HA Configuration window by
// the guide's names (EPMM guide, Step 6 and Table 4), and the numbers of ours
// that it has no words for. High Availability, Mode and Node Status are not
// among them: the machine keeps those.
type Settings struct {
	HeartbeatInterval time.Duration
	Failures          int
	RecheckInterval   time.Duration
	KeepInStandby     bool
	StartTime         TimeOfDay
	RunEvery          time.Duration
	Email             string
	NotifySync        bool
	NotifyFailure     bool
	DoorClosed        bool // failover client-connection disable

	AttemptTimeout time.Duration
	PromotionHold  time.Duration
	PromotionTime  time.Duration
	StopTimeout    time.Duration
	AppFail        time.Duration
	StartTries     int
	Retry          time.Duration
	Drain          time.Duration // of a planned swap to this node: for the peer's clients to leave by themselves

	ClientMajority bool // the agents may elect this node
	Resume         bool // and bring the Primary back: resume: client_majority
	AgentInterval  time.Duration
	AgentTime      time.Duration

	Services map[string]bool // what people have said of optional datasets; one that is missing is as node.yaml says

	Saved time.Time // zero: never
}

// TimeOfDay is minutes since midnight, UTC.
type TimeOfDay int

func (t TimeOfDay) String() string { return fmt.Sprintf("%02d:%02d", t/60, t%60) }

// DefaultSettings gives the settings of a node that nobody has changed.
func DefaultSettings() Settings {
	d := ha.DefaultSettings()
	return Settings{
		HeartbeatInterval: d.HeartbeatInterval, Failures: d.Failures, RecheckInterval: d.RecheckInterval,
		RunEvery: time.Hour, AttemptTimeout: d.AttemptTimeout,
		PromotionHold: d.PromotionHold, PromotionTime: d.PromotionTime, StopTimeout: d.StopTimeout,
		AppFail: d.AppFail, StartTries: d.StartTries, Retry: d.Retry, Drain: 10 * time.Second,
		AgentInterval: 30 * time.Second, AgentTime: 180 * time.Second,
	}
}

// rules gives what the machine goes by.
func (s Settings) rules(place int) ha.Settings {
	r := ha.DefaultSettings()
	r.Place = place
	r.HeartbeatInterval, r.Failures, r.RecheckInterval = s.HeartbeatInterval, s.Failures, s.RecheckInterval
	r.KeepInStandby, r.AttemptTimeout = s.KeepInStandby, s.AttemptTimeout
	r.PromotionHold, r.PromotionTime = s.PromotionHold, s.PromotionTime
	r.StopTimeout, r.AppFail, r.StartTries, r.Retry = s.StopTimeout, s.AppFail, s.StartTries, s.Retry
	r.Resume = s.Resume
	return r
}

// mostDrain is the longest Drain: new clients are kept out meanwhile.
const mostDrain = 10 * time.Minute

// Check gives every fault, one sentence each that says what to change.
func (s Settings) Check() []string {
	faults := s.rules(1).Check()
	if s.AgentInterval < 100*time.Millisecond || s.AgentTime < 100*time.Millisecond {
		faults = append(faults, "Agent interval and Client majority time are at least 100ms.")
	}
	if s.Drain < 0 || s.Drain > mostDrain {
		faults = append(faults, fmt.Sprintf("Drain is between 0s and %v: the clients that are left wait at most so long for a planned swap to go on.", mostDrain))
	}
	if s.RunEvery < time.Minute {
		faults = append(faults, "Run Every is at least 1 minute.")
	}
	return faults
}

// Warnings gives what is legal but unwise.
func (s Settings) Warnings() (w []string) {
	if s.RunEvery < time.Hour {
		w = append(w, "Run Every is below 60 minutes: the guide advises against it (HA best practice recommendations).")
	}
	if !s.KeepInStandby {
		w = append(w, SplitBrain)
	}
	return w
}

// SplitBrain is what profile documented cannot protect from.
const SplitBrain = "Profile documented: two nodes alone cannot tell a dead peer from a cut network. If they lose sight of one another while both run, both become Active. Fronts and watchers stay with the one that they have; a lease in etcd (profile safe) prevents it."

// field is a setting by the name that people use.
type field struct {
	name string
	show func(*Settings) string
	set  func(*Settings, string) error
}

// fields gives every setting, in the order of the window.
var fields = []field{
	span("Heartbeat Interval", func(s *Settings) *time.Duration { return &s.HeartbeatInterval }),
	count("Consecutive Heartbeat failures before failover", func(s *Settings) *int { return &s.Failures }),
	span("Re-check interval", func(s *Settings) *time.Duration { return &s.RecheckInterval }),
	{"If Failure Detected", func(s *Settings) string { return detected(s.KeepInStandby) }, setDetected},
	{"StartTime", func(s *Settings) string { return s.StartTime.String() }, setStart},
	{"Run Every", func(s *Settings) string { return every(s.RunEvery) }, setEvery},
	{"Email", func(s *Settings) string { return s.Email }, setEmail},
	choice("Notify On: Sync Completion", func(s *Settings) *bool { return &s.NotifySync }),
	choice("Notify On: Failure / This server becomes primary", func(s *Settings) *bool { return &s.NotifyFailure }),
	span("Attempt timeout", func(s *Settings) *time.Duration { return &s.AttemptTimeout }),
	span("Promotion hold", func(s *Settings) *time.Duration { return &s.PromotionHold }),
	span("Promotion time", func(s *Settings) *time.Duration { return &s.PromotionTime }),
	span("Stop timeout", func(s *Settings) *time.Duration { return &s.StopTimeout }),
	span("Application fail time", func(s *Settings) *time.Duration { return &s.AppFail }),
	count("Start tries", func(s *Settings) *int { return &s.StartTries }),
	span("Retry", func(s *Settings) *time.Duration { return &s.Retry }),
	choice("Client majority", func(s *Settings) *bool { return &s.ClientMajority }),
	{"Resume", func(s *Settings) string { return resumed(s.Resume) }, setResume},
	span("Agent interval", func(s *Settings) *time.Duration { return &s.AgentInterval }),
	span("Client majority time", func(s *Settings) *time.Duration { return &s.AgentTime }),
	span("Drain", func(s *Settings) *time.Duration { return &s.Drain }),
}

// List gives every setting, in the order of the window.
func (s Settings) List() []nodeapi.Setting {
	list := make([]nodeapi.Setting, len(fields))
	for i, f := range fields {
		list[i] = nodeapi.Setting{Name: f.name, Value: f.show(&s)}
	}
	return list
}

// With gives the settings with some changed, by name. Small letters, "-" and
// "_" do for a name. The error says what is possible.
func (s Settings) With(change map[string]string) (Settings, error) {
	for name, value := range change {
		i := slices.IndexFunc(fields, func(f field) bool { return fold(f.name) == fold(name) })
		if i < 0 {
			names := make([]string, len(fields))
			for i, f := range fields {
				names[i] = f.name
			}
			return s, fmt.Errorf("there is no setting %.60q; there are: %s", name, strings.Join(names, ", "))
		}
		if err := fields[i].set(&s, strings.TrimSpace(value)); err != nil {
			return s, fmt.Errorf("%s: %w", fields[i].name, err)
		}
	}
	return s, nil
}

func fold(name string) string {
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "_", "", ":", "", "/", "").Replace(name))
}

// MarshalJSON gives the settings by their names.
func (s Settings) MarshalJSON() ([]byte, error) {
	doc := map[string]string{clientConnection: able(!s.DoorClosed)}
	for _, one := range s.List() {
		doc[one.Name] = one.Value
	}
	for name, on := range s.Services {
		doc[service+name] = able(on)
	}
	if !s.Saved.IsZero() {
		doc["Saved"] = s.Saved.UTC().Format(time.RFC3339Nano)
	}
	return json.Marshal(doc)
}

const (
	clientConnection = "Client connection"
	service          = "Service " // and the dataset's name
)

func able(on bool) string {
	if on {
		return "enabled"
	}
	return "disabled"
}

// UnmarshalJSON reads what MarshalJSON gives; a name that is missing has its
// default.
func (s *Settings) UnmarshalJSON(text []byte) error {
	var doc map[string]string
	if err := json.Unmarshal(text, &doc); err != nil {
		return err
	}
	*s = DefaultSettings()
	s.DoorClosed = doc[clientConnection] == able(false)
	s.Saved, _ = time.Parse(time.RFC3339Nano, doc["Saved"])
	for key, value := range doc {
		if name, is := strings.CutPrefix(key, service); is {
			if s.Services == nil {
				s.Services = map[string]bool{}
			}
			s.Services[name] = value == able(true)
			delete(doc, key)
		}
	}
	delete(doc, clientConnection)
	delete(doc, "Saved")
	var err error
	*s, err = s.With(doc)
	return err
}

func span(name string, of func(*Settings) *time.Duration) field {
	return field{name, func(s *Settings) string { return of(s).String() }, func(s *Settings, text string) (err error) {
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%.40q is not a duration like 10s or 500ms", text)
		}
		*of(s) = d
		return nil
	}}
}

func count(name string, of func(*Settings) *int) field {
	return field{name, func(s *Settings) string { return strconv.Itoa(*of(s)) }, func(s *Settings, text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 250 {
			return fmt.Errorf("%.40q is not a number from 1 to 250", text)
		}
		*of(s) = n
		return nil
	}}
}

func choice(name string, of func(*Settings) *bool) field {
	return field{name, func(s *Settings) string { return map[bool]string{true: "yes", false: "no"}[*of(s)] }, func(s *Settings, text string) error {
		switch strings.ToLower(text) {
		case "yes", "no":
			*of(s) = strings.EqualFold(text, "yes")
			return nil
		}
		return fmt.Errorf("%.40q is neither yes nor no", text)
	}}
}

func detected(keep bool) string {
	if keep {
		return "Keep in Standby"
	}
	return "Promote to Primary"
}

func setDetected(s *Settings, text string) error {
	for _, keep := range []bool{true, false} {
		if strings.EqualFold(text, detected(keep)) {
			s.KeepInStandby = keep
			return nil
		}
	}
	return fmt.Errorf("%.40q is neither %q nor %q", text, detected(true), detected(false))
}

func setStart(s *Settings, text string) error {
	t, err := time.Parse("15:04", text)
	if err != nil {
		return fmt.Errorf("%.40q is not a time of day in UTC like 13:00", text)
	}
	s.StartTime = TimeOfDay(t.Hour()*60 + t.Minute())
	return nil
}

// units of Run Every (EPMM guide, Step 6: minutes, hours, or days).
var units = []struct {
	name string
	is   time.Duration
}{{"days", 24 * time.Hour}, {"hours", time.Hour}, {"minutes", time.Minute}}

func every(d time.Duration) string {
	for _, u := range units {
		if d%u.is == 0 && d > 0 {
			return fmt.Sprintf("%d %s", d/u.is, u.name)
		}
	}
	return d.String()
}

func setEvery(s *Settings, text string) error {
	var n int
	var unit string
	if _, err := fmt.Sscanf(text, "%d %s", &n, &unit); err == nil && n > 0 && n < 100_000 {
		for _, u := range units {
			if strings.TrimSuffix(unit, "s") == strings.TrimSuffix(u.name, "s") {
				s.RunEvery = time.Duration(n) * u.is
				return nil
			}
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d%time.Minute != 0 || d <= 0 {
		return fmt.Errorf("%.40q is not a time like \"60 minutes\", \"2 hours\" or \"1 days\"", text)
	}
	s.RunEvery = d
	return nil
}

func setEmail(s *Settings, text string) error {
	user, host, ok := strings.Cut(text, "@")
	if text != "" && (!ok || user == "" || host == "" || strings.ContainsAny(text, " \t\r\n<>,;\"") || len(text) > 254) {
		return fmt.Errorf("%.60q is not one e-mail address", text)
	}
	s.Email = text
	return nil
}
