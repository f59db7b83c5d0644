package upgrade

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
)

// sshHand is the hand of an appliance that is told by the commands of
// upgrade.yaml, through the system's ssh: it asks for no password and takes no
// host key that it does not know. Its state is what its status pages show.
type sshHand struct {
	pages
	node    config.RunNode
	limits  config.RunTimeouts
	version string // the plan's
	running bool   // in a run, which does not look at what only a preflight is for
	said    map[string]string
	saidAt  time.Time
}

// sshFresh is how long what a command said is not asked for again.
const sshFresh = 2 * time.Second

// safe is what may stand in place of ${VERSION} and ${PEER}.
var safe = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+~:_-]{0,127}$`)

// line gives what ssh runs for a verb; nil if nothing is configured.
func (s *sshHand) line(verb, with string) ([]string, error) {
	command := s.node.Commands[verb]
	if len(command) == 0 {
		return nil, nil
	}
	line := []string{"ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15"}
	if s.node.SSHConfig != "" {
		line = append(line, "-F", s.node.SSHConfig)
	}
	line = append(line, "--", s.node.SSH)
	for _, word := range command {
		filled := strings.NewReplacer("${VERSION}", s.version, "${PEER}", with).Replace(word)
		if filled != word && (!safe.MatchString(s.version) || with != "" && !safe.MatchString(with)) {
			return nil, &Refused{"a version or a name has letters that no command line should have"}
		}
		line = append(line, filled)
	}
	return line, nil
}

// Look reads the pages, and what commands tell.
func (s *sshHand) Look(ctx context.Context) Node {
	n := s.look(ctx)
	n.Driver, n.ID = "ssh", "ssh "+s.node.SSH
	if n.Fault != "" {
		return n
	}
	if time.Since(s.saidAt) > sshFresh {
		said, err := s.ask(ctx)
		if err != nil {
			n.Fault, s.saidAt = err.Error(), time.Time{}
			return n
		}
		s.said, s.saidAt = said, time.Now()
	}
	return s.tells(n)
}

// ask runs what is looked at, all at once. The error is the first verb's that
// failed.
func (s *sshHand) ask(ctx context.Context) (map[string]string, error) {
	verbs := []string{"version", "count", "last_sync", "high_availability", "trusted", "disk_free"}
	texts, errs := make([]string, len(verbs)), make([]error, len(verbs))
	var all sync.WaitGroup
	for i, verb := range verbs {
		if verb == "disk_free" && s.running {
			continue
		}
		if line, err := s.line(verb, ""); err == nil && line != nil {
			all.Go(func() { texts[i], errs[i] = within(ctx, askWithin, line) })
		}
	}
	all.Wait()
	said := map[string]string{}
	for i, verb := range verbs {
		if errs[i] != nil {
			return nil, fmt.Errorf("%s: %w", verb, errs[i])
		}
		if len(s.node.Commands[verb]) > 0 {
			said[verb] = texts[i]
		}
	}
	return said, nil
}

// tells adds what the commands have said.
func (s *sshHand) tells(n Node) Node {
	n.Version, n.Count = first(s.said["version"]), first(s.said["count"])
	if text, ok := s.said["last_sync"]; ok {
		completed, result, _ := strings.Cut(strings.TrimSpace(text), "\n")
		n.LastSync = &Sync{strings.TrimSpace(completed), strings.TrimSpace(result)}
	}
	if text, ok := s.said["high_availability"]; ok {
		switch word := strings.ToLower(first(text)); {
		case strings.HasPrefix(word, "disable"):
			n.Enabled = Disabled
		case strings.HasPrefix(word, "enable"):
			n.Enabled = Enabled
		}
	}
	n.Room = room(s.said["disk_free"])
	if text, ok := s.said["trusted"]; ok {
		n.Trusted = strings.Fields(text)
		if n.Trusted == nil {
			n.Trusted = []string{}
		}
	}
	return n
}

// room reads what df -P says: bytes free, by where it is mounted (POSIX, df).
func room(text string) map[string]uint64 {
	free, unit := map[string]uint64{}, uint64(0)
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) < 6:
		case unit == 0: // the heading: 1024-blocks, or 512-blocks
			unit, _ = strconv.ParseUint(strings.TrimSuffix(words[1], "-blocks"), 10, 20)
		default:
			if n, err := strconv.ParseUint(words[3], 10, 53); err == nil {
				free[strings.Join(words[5:], " ")] = n * unit
			}
		}
	}
	if len(free) == 0 {
		return nil
	}
	return free
}

func first(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimSpace(line)
}

// Do runs the command of a verb to its end; without one a person has to.
func (s *sshHand) Do(ctx context.Context, d Deed) error {
	if d.Do == DoLock || d.Do == DoUnlock || d.Do == DoReschedule {
		return nil // an appliance has no lock of ours; its own portal starts the schedule
	}
	line, err := s.line(d.Do, d.With)
	switch {
	case err != nil:
		return err
	case line == nil:
		return &ByHand{byHand(d)}
	}
	limit := map[string]time.Duration{
		DoDownload: s.limits.Download, DoUpgrade: s.limits.Upgrade, DoValidate: s.limits.Validate, DoSync: s.limits.Sync,
	}[d.Do]
	if limit == 0 {
		limit = s.limits.Step
	}
	_, err = within(ctx, limit, line)
	s.saidAt = time.Time{}
	if failedToRun(err) {
		return &Refused{err.Error()}
	}
	return err
}

// within runs a line and ends it when its time is over. That ends ssh; what runs
// at the other end hears no more of it than that nobody reads its output.
func within(ctx context.Context, limit time.Duration, line []string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v", limit))
	defer cancel()
	return execute(ctx, line)
}

// manual is the hand of a node that a person handles: it says what to do, and
// the status pages show that it was done.
type manual struct{ pages }

// Look reads the pages.
func (m *manual) Look(ctx context.Context) Node {
	n := m.look(ctx)
	n.Driver, n.ID = "manual", "manual "+m.base
	return n
}

// Do says what a person has to do.
func (m *manual) Do(_ context.Context, d Deed) error {
	if d.Do == DoLock || d.Do == DoUnlock || d.Do == DoReschedule {
		return nil
	}
	return &ByHand{byHand(d)}
}

// byHand says in our words what a deed is for a person (EPMM guide, the steps of
// the upgrade procedure and Table 5).
func byHand(d Deed) string {
	say := map[string]string{
		DoDisable:   "System Manager, Maintenance > HA Configuration: set High Availability to Disable, Save, Apply (guide, step 1)",
		DoEnable:    "System Manager, Maintenance > HA Configuration: set High Availability to Enable, Save, Apply (guide, step 6)",
		DoPrimary:   "on its command line, in enable mode: failover mode primary (guide, step 4; Table 5)",
		DoSecondary: "on its command line, in enable mode: failover mode secondary (guide, step 4; Table 5)",
		DoSync:      "HA Configuration: Run Sync Now, from " + d.With + ", and wait until Sync History shows every task completed (guide, Table 3, task 2)",
		DoDownload:  "download the upgrade to " + d.With + " (guide, step 4)",
		DoUpgrade:   "install the upgrade to " + d.With + " (guide, steps 4 and 5)",
		DoValidate:  "validate the upgrade: log on, look at version, services and logs (guide, steps 4 and 5)",
		DoTestPeer:  "Manage Trusted Hosts: Test Connection must say Test was successful (guide, Table 3, task 1)",
		DoTestMail:  "Notification Settings: click Test, and see that the e-mail arrives (guide, Table 3, task 4)",
		DoSettings:  "HA Configuration, Secondary Configuration: set " + d.With + " (guide, step 8)",
		DoClose:     "on its command line, in enable mode: failover client-connection disable (Table 5)",
		DoOpen:      "on its command line, in enable mode: failover client-connection enable (Table 5)",
		DoUnpair:    "remove " + d.With + " from the trusted hosts, and apply",
		DoPair:      "add " + d.With + " to the trusted hosts, and apply",
	}[d.Do]
	if say == "" {
		say = d.Do + " " + d.With
	}
	return "On " + d.On + ": " + say + "."
}
