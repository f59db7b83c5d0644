package service

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Manager is the service manager that started us, if there is one that wants to
// know (sd_notify(3)).
type Manager struct {
	watchdog time.Duration // 0: none
	log      *slog.Logger
}

// NewManager gives the manager that the environment names.
func NewManager(log *slog.Logger) *Manager {
	m := &Manager{log: log}
	var err error
	if m.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("the service manager's watchdog is not understood", "error", err)
	}
	return m
}

// Pace gives how often the watchdog has to be fed: often, or at the usual pace.
func (m *Manager) Pace(usual time.Duration) time.Duration {
	if m.watchdog > 0 {
		return min(usual, m.watchdog/4)
	}
	return usual
}

func (m *Manager) say(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		m.log.Warn("the service manager cannot be told", "error", err)
	}
}

// Alive feeds the watchdog.
func (m *Manager) Alive() {
	if m.watchdog > 0 {
		m.say(daemon.SdNotifyWatchdog)
	}
}

// Feed feeds the watchdog for as long as all is well, until ctx ends.
func (m *Manager) Feed(ctx context.Context, well func() bool) {
	if m.watchdog == 0 {
		return
	}
	tick := time.NewTicker(m.watchdog / 4)
	defer tick.Stop()
	for {
		if well() {
			m.Alive()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Ready says that we do our work now, and what it is in a line.
func (m *Manager) Ready(status string) {
	m.say(daemon.SdNotifyReady, "STATUS="+strings.ReplaceAll(status, "\n", " "))
}

// Reloading says that a new configuration is being taken; Ready ends it.
func (m *Manager) Reloading() {
	m.say(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
}

// Stopping says that we are ending.
func (m *Manager) Stopping() { m.say(daemon.SdNotifyStopping, "STATUS=Ending.") }
