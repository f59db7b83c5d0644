package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/haengine"
	"github.com/understudy-ha/understudy/internal/config"
	"github.com/understudy-ha/understudy/internal/register"
)

// safety is the parts of profile safe; a nil one is profile documented.
type safety struct {
	etcd  *register.Etcd
	guard *guard // nil: the service manager does its work
}

// openSafety opens the register and finds who stops the application if this
// engine dies or hangs. Without anybody who does, profile safe is refused.
func openSafety(c *config.NodeFile, log *slog.Logger) (*safety, error) {
	if c.Etcd == nil {
		return nil, nil
	}
	s := &safety{}
	if managed() {
		if err := bound(c.Etcd); err != nil {
			return nil, err
		}
	} else {
		s.guard = newGuard(c, log)
	}
	e := c.Etcd
	var err error
	s.etcd, err = register.OpenEtcd(register.EtcdConfig{
		Endpoints: e.Endpoints, Prefix: e.Prefix, CA: e.CA, Cert: e.Cert, Key: e.Key, User: e.User, PasswordFile: e.PasswordFile,
		Watcher: c.Name, Watchers: 1, Copies: filepath.Join(c.DataDir, "etcd"),
	}, log)
	return s, err
}

// close ends the way to the register. The key, if it is held, is left to its
// lease.
func (s *safety) close() {
	if s != nil && s.etcd != nil {
		_ = s.etcd.Close()
	}
}

// enter puts the lease into an engine's configuration.
func (s *safety) enter(c *config.NodeFile, e *haengine.Config) error {
	if s == nil {
		return nil
	}
	shared, err := haengine.NewShared(s.etcd, c.Etcd.Pair, c.Name, c.Etcd.Lease, c.DataDir)
	if err != nil {
		return err
	}
	e.Lease, e.Register = shared, shared
	e.Safety = haengine.Safety{Lease: c.Etcd.Lease, Watchdog: c.Etcd.Watchdog, Slack: c.Etcd.Slack, Continue: c.Etcd.OnLoss == config.LossContinue}
	return nil
}

// watch has somebody stop the application if this engine dies or hangs.
func (s *safety) watch(ctx context.Context, e *haengine.Engine) {
	if s != nil && s.guard != nil {
		s.guard.run(ctx, e)
	}
}

// managed says whether systemd has started us.
func managed() bool { return os.Getenv("NOTIFY_SOCKET") != "" && os.Getenv("INVOCATION_ID") != "" }

// bound says what is missing for systemd to stop the application when the engine
// dies or hangs.
func bound(e *config.NodeEtcd) error {
	if e.Unit == "" {
		return errors.New("profile safe needs etcd: {app_unit: …}, the application's unit: systemd has to stop it if this engine dies or hangs")
	}
	own := ownUnit()
	engine, err := unit(own, "WatchdogUSec", "WatchdogSignal")
	if err != nil {
		return err
	}
	app, err := unit(e.Unit, "BindsTo", "After", "TimeoutStopUSec")
	if err != nil {
		return err
	}
	var faults []string
	if w, err := span(engine["WatchdogUSec"]); err != nil || w <= 0 || w > e.Watchdog {
		faults = append(faults, fmt.Sprintf("%s needs WatchdogSec=%v or less", own, e.Watchdog))
	}
	if engine["WatchdogSignal"] != "9" {
		faults = append(faults, own+" needs WatchdogSignal=SIGKILL")
	}
	for _, key := range []string{"BindsTo", "After"} {
		if !contains(app[key], own) {
			faults = append(faults, fmt.Sprintf("%s needs %s=%s", e.Unit, key, own))
		}
	}
	if t, err := span(app["TimeoutStopUSec"]); err != nil || t <= 0 {
		faults = append(faults, e.Unit+" needs TimeoutStopSec")
	}
	if len(faults) > 0 {
		return fmt.Errorf("profile safe is refused, for nobody would stop the application if this engine died or hung: %s", strings.Join(faults, "; "))
	}
	return nil
}

// ownUnit gives the unit that this process belongs to, by its control group.
func ownUnit() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err == nil {
		for _, part := range strings.FieldsFunc(string(text), func(r rune) bool { return r == '/' || r == '\n' || r == ':' }) {
			if strings.HasSuffix(part, ".service") {
				return part
			}
		}
	}
	return "understudy-node.service"
}

// unit asks systemd for properties of a unit.
func unit(name string, keys ...string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", "show", "--property="+strings.Join(keys, ","), "--", name).Output() // #nosec G204 -- a unit's name from our own file
	if err != nil {
		return nil, fmt.Errorf("ask systemd for %s: %w", name, err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		found[key] = value
	}
	return found, nil
}

// span reads a duration of systemctl show, such as "5s", "1min 30s" or
// "infinity".
func span(text string) (time.Duration, error) {
	text = strings.NewReplacer("min", "m", " ", "").Replace(text)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Duration(n) * time.Microsecond, nil
	}
	return time.ParseDuration(text)
}

func contains(list, word string) bool {
	for _, one := range strings.Fields(list) {
		if one == word {
			return true
		}
	}
	return false
}

// commandsOf gives how the application is handled.
func commandsOf(c *config.NodeFile) haengine.Commands {
	return haengine.Commands{
		Start: c.App.Start, Stop: c.App.Stop, Kill: c.App.Kill,
		Health: c.App.Health, HealthCommand: c.App.HealthCommand,
		Interval: c.App.HealthInterval, Timeout: c.App.HealthTimeout, StartTimeout: c.App.StartTimeout,
	}
}
