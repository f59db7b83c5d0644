package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Upgrade is an upgrade.yaml: what a run of an upgrade or of a planned swap is
// to do, on which nodes and routers. It holds no secret, only names of files.
type Upgrade struct {
	File     string `json:"file"` // its own name
	Kind     RunKind
	Group    string
	To       string `json:",omitempty"` // the version to upgrade to
	Package  string `json:",omitempty"` // digest of the package, as the nodes' own commands name it
	StateDir string // where runs are kept, default /var/lib/understudy/upgrade
	AdminKey string `json:",omitempty"` // this host's key towards the nodes' engines
	Nodes    []RunNode
	Routers  []RunRouter

	SyncFirst  bool
	NoDataSync bool          // a switchover copies nothing: the nodes share their data
	SyncAge    time.Duration // how old the last sync may be
	Drain      time.Duration // how long client connections may take to end
	Swing      Swing
	Gates      []string // steps before which a person is asked
	OnFailure  OnFailure
	MailTest   bool
	Schedule   RunSchedule
	Timeouts   RunTimeouts

	Certificates []string  `json:",omitempty"` // host:port: what is shown there is compared before and after
	Names        []string  `json:",omitempty"` // NAME or NAME@SERVER: so are their DNS answers
	Window       RunWindow `json:",omitzero"`  // when a run may begin; zero: at any time
	DiskFree     uint64    // bytes that every file system of a node must have free

	Webhooks []Webhook `json:",omitempty"`
	Mails    []Mail    `json:",omitempty"`
}

// RunKind is one of the three ways to go about it.
type RunKind string

// The kinds of a run. Empty means documented.
const (
	RunDocumented RunKind = "documented" // EPMM guide, software upgrade procedures
	RunSwitchover RunKind = "switchover" // BeyondTrust guide, failover for planned maintenance
	RunRepair     RunKind = "repair"     // Defender guide, update with high availability
)

// Swing is who moves the clients after a role swap.
type Swing string

// The ways to move clients.
const (
	SwingUs     Swing = "us"        // the routers of the plan
	SwingByHand Swing = "by_hand"   // a person, in DNS or NAT: the run waits until it shows
	SwingShared Swing = "shared_ip" // nobody: the nodes share an address
)

// OnFailure is what becomes of a run whose step failed while it can be undone.
type OnFailure string

// What may become of it.
const (
	FailStop OnFailure = "stop" // it stays where it is and asks for a person
	FailUndo OnFailure = "undo" // it is undone, in reverse order
)

// RunNode is a node, and who carries steps out there: exactly one of Agent, SSH
// and Manual is set.
type RunNode struct {
	Name      string
	Agent     string              `json:",omitempty"` // our engine: its socket on this machine, or RunTrusted
	SSH       string              `json:",omitempty"` // user@host for the system's ssh
	Manual    bool                `json:",omitempty"`
	SSHConfig string              `json:",omitempty"` // for ssh: a file for its -F
	Pages     string              `json:",omitempty"` // where the two status pages are: for ssh and manual
	Commands  map[string][]string `json:",omitempty"` // for ssh: by verb
}

// RunRouter is something that sends clients and must stand still: exactly one of
// API, HAProxy and Hold is set.
type RunRouter struct {
	Name      string
	API       string        `json:",omitempty"` // our front or sidecar: a unix socket or a URL
	TokenFile string        `json:",omitempty"`
	HAProxy   string        `json:",omitempty"` // runtime socket: a path, or host:port
	Backend   string        `json:",omitempty"` // there
	Hold      []string      `json:",omitempty"` // a program and its arguments
	Release   []string      `json:",omitempty"`
	Read      []string      `json:",omitempty"` // says how it is
	Held      string        `json:",omitempty"` // what Read says, word for word, while it is held
	Timeout   time.Duration `json:",omitempty"` // of one command
}

// RunWindow is a maintenance window: from one time of the day until another, on
// the days on which it begins.
type RunWindow struct {
	From  string   `json:",omitempty"` // hh:mm; empty: there is no window
	Until string   `json:",omitempty"`
	Zone  string   `json:",omitempty"` // IANA name; empty: this machine's
	Days  []string `json:",omitempty"` // mon, tue, …; none: every day
}

// Open says whether a moment is in the window.
func (w RunWindow) Open(at time.Time) bool {
	if w.From == "" {
		return true
	}
	zone, err := w.location()
	from, bad := time.Parse("15:04", w.From)
	until, worse := time.Parse("15:04", w.Until)
	if err != nil || bad != nil || worse != nil {
		return false
	}
	at = at.In(zone)
	minute := at.Hour()*60 + at.Minute()
	a, b := from.Hour()*60+from.Minute(), until.Hour()*60+until.Minute()
	switch day := at; {
	case a < b:
		return minute >= a && minute < b && w.on(day)
	case minute >= a: // over midnight, and it has begun today
		return w.on(day)
	default:
		return minute < b && w.on(day.AddDate(0, 0, -1))
	}
}

func (w RunWindow) on(day time.Time) bool {
	return len(w.Days) == 0 || slices.Contains(w.Days, weekdays[day.Weekday()])
}

func (w RunWindow) location() (*time.Location, error) {
	if w.Zone == "" {
		return time.Local, nil
	}
	return time.LoadLocation(w.Zone)
}

func (w RunWindow) String() string {
	text := w.From + " to " + w.Until
	if w.Zone != "" {
		text += " " + w.Zone
	}
	if len(w.Days) > 0 {
		text += ", beginning on " + strings.Join(w.Days, " ")
	}
	return text
}

// weekdays are the words for days, from Sunday.
var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// RunSchedule is what step 8 of the guide sets; empty keeps what is there.
type RunSchedule struct{ StartTime, RunEvery string }

// RunTimeouts bound the waiting.
type RunTimeouts struct {
	Step     time.Duration // any step without a longer one
	Sync     time.Duration // of a replication
	Download time.Duration
	Upgrade  time.Duration
	Validate time.Duration
	Person   time.Duration // of what is done by hand
}

// RunVerbs gives what an ssh node can be told by a command of its own.
func RunVerbs() []string {
	return []string{
		"primary", "secondary", "enable", "disable", "sync", "close", "open", "download", "upgrade", "validate",
		"version", "last_sync", "count", "unpair", "pair", "trusted", "high_availability", "mail_test", "connection_test", "disk_free",
	}
}

// ReadUpgrade reads an upgrade.yaml. What is wrong with it stands in the
// Document; the error says that there is none.
func ReadUpgrade(file string) (*Upgrade, *Document, error) {
	d, root, err := load(file)
	if err != nil {
		return nil, nil, err
	}
	return upgrade(d, root), d, nil
}

func upgrade(d *Document, root value) *Upgrade {
	u := &Upgrade{
		File: d.file, Kind: RunDocumented, StateDir: defaultStateDir + "/upgrade", SyncAge: 24 * time.Hour, Drain: 30 * time.Second,
		Swing: SwingUs, OnFailure: FailStop, DiskFree: 1 << 30,
		Timeouts: RunTimeouts{
			Step: 5 * time.Minute, Sync: 2 * time.Hour, Download: time.Hour, Upgrade: 2 * time.Hour, Validate: 30 * time.Minute, Person: 4 * time.Hour,
		},
	}
	keys{
		"kind":          choice(&u.Kind, RunDocumented, RunSwitchover, RunRepair),
		"group":         text(&u.Group),
		"to":            text(&u.To),
		"package":       text(&u.Package),
		"state_dir":     directory(&u.StateDir),
		"admin_key":     file(&u.AdminKey),
		"nodes":         each(u.readNode),
		"routers":       each(u.readRouter),
		"sync_first":    flag(&u.SyncFirst),
		"data_sync":     func(v value) { on := true; flag(&on)(v); u.NoDataSync = !on },
		"sync_age":      duration(&u.SyncAge),
		"drain_timeout": duration(&u.Drain),
		"swing":         choice(&u.Swing, SwingUs, SwingByHand, SwingShared),
		"gates":         texts(&u.Gates),
		"on_failure":    choice(&u.OnFailure, FailStop, FailUndo),
		"mail_test":     flag(&u.MailTest),
		"certificates":  texts(&u.Certificates),
		"names":         texts(&u.Names),
		"disk_free":     size(&u.DiskFree),
		"window":        keys{"from": text(&u.Window.From), "until": text(&u.Window.Until), "zone": text(&u.Window.Zone), "days": texts(&u.Window.Days)}.read,
		"schedule":      keys{"start_time": text(&u.Schedule.StartTime), "run_every": text(&u.Schedule.RunEvery)}.read,
		"timeouts": keys{
			"step": duration(&u.Timeouts.Step), "sync": duration(&u.Timeouts.Sync), "download": duration(&u.Timeouts.Download),
			"upgrade": duration(&u.Timeouts.Upgrade), "validate": duration(&u.Timeouts.Validate), "person": duration(&u.Timeouts.Person),
		}.read,
		"notify": func(v value) {
			var s Sidecar
			s.readNotify(v)
			u.Webhooks, u.Mails = s.Webhooks, s.Mails
		},
	}.read(root)
	if root.node != nil && root.node.Kind == yaml.MappingNode {
		d.Fault(u.check())
		d.Warn(u.warnings())
	}
	return u
}

// size reads a number of bytes like 500MiB or 2GiB.
func size(to *uint64) take {
	return func(v value) {
		word, ok := v.word("a size like 500MiB or 2GiB")
		if !ok {
			return
		}
		for unit, shift := range map[string]uint{"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40} {
			number, is := strings.CutSuffix(word, unit)
			if n, err := strconv.ParseUint(number, 10, 20); is && err == nil {
				*to = n << shift
				return
			}
		}
		if word == "0" {
			*to = 0
			return
		}
		v.fault("%s must be a size like 500MiB or 2GiB, not %q", v.name(), short(word))
	}
}

func (u *Upgrade) readNode(name string, v value) {
	n := RunNode{Name: name}
	keys{
		"agent":      agentPlace(&n.Agent),
		"ssh":        text(&n.SSH),
		"manual":     flag(&n.Manual),
		"ssh_config": file(&n.SSHConfig),
		"pages":      text(&n.Pages),
		"commands": each(func(verb string, v value) {
			if !slices.Contains(RunVerbs(), verb) {
				v.fault("unknown command %q%s", short(verb), suggest(verb, RunVerbs()))
				return
			}
			var line []string
			texts(&line)(v)
			if n.Commands == nil {
				n.Commands = map[string][]string{}
			}
			n.Commands[verb] = line
		}),
	}.read(v)
	u.Nodes = append(u.Nodes, n)
}

// RunTrusted is the Agent of a node that is asked over TLS: it is found among the
// hosts that the key of this one was paired with, by its name.
const RunTrusted = "trusted"

// agentPlace reads a URL, or the name of a socket.
func agentPlace(to *string) take {
	return func(v value) {
		if text(to)(v); *to != "" && *to != RunTrusted && !isURL(*to) {
			*to = v.doc.resolve(*to)
		}
	}
}

func (u *Upgrade) readRouter(name string, v value) {
	r := RunRouter{Name: name, Timeout: defaultTimeout}
	keys{
		"api":        agentPlace(&r.API),
		"token_file": file(&r.TokenFile),
		"haproxy":    text(&r.HAProxy),
		"backend":    text(&r.Backend),
		"hold":       texts(&r.Hold),
		"release":    texts(&r.Release),
		"read":       texts(&r.Read),
		"held":       text(&r.Held),
		"timeout":    duration(&r.Timeout),
	}.read(v)
	u.Routers = append(u.Routers, r)
}
