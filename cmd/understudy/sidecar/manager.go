package sidecar

import (
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// manager is the service manager that started us, if there is one that wants to
// know (sd_notify(3)).
type manager struct {
	watchdog time.Duration // 0: none
	log      *slog.Logger
}

func newManager(log *slog.Logger) *manager {
	m := &manager{log: log}
	var err error
	if m.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("the service manager's watchdog is not understood", "error", err)
	}
	return m
}

// pace gives how often the watchdog has to be fed: often, or at the usual pace.
func (m *manager) pace(usual time.Duration) time.Duration {
	if m.watchdog > 0 {
		return min(usual, m.watchdog/4)
	}
	return usual
}

func (m *manager) say(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		m.log.Warn("the service manager cannot be told", "error", err)
	}
}

// alive feeds the watchdog.
func (m *manager) alive() {
	if m.watchdog > 0 {
		m.say(daemon.SdNotifyWatchdog)
	}
}

func (m *manager) ready(status string) {
	m.say(daemon.SdNotifyReady, "STATUS="+strings.ReplaceAll(status, "\n", " "))
}

func (m *manager) reloading() {
	m.say(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
}

func (m *manager) stopping() { m.say(daemon.SdNotifyStopping, "STATUS=Ending.") }
