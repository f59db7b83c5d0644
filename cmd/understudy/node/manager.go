package node

import (
	"context"
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

func (m *manager) say(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		m.log.Warn("the service manager cannot be told", "error", err)
	}
}

func (m *manager) ready(status string) { m.say(daemon.SdNotifyReady, "STATUS="+status) }

func (m *manager) stopping() { m.say(daemon.SdNotifyStopping, "STATUS=Ending.") }

// feed tells the watchdog that all is well, as long as it is, until ctx ends.
func (m *manager) feed(ctx context.Context, alive func() bool) {
	if m.watchdog == 0 {
		return
	}
	tick := time.NewTicker(m.watchdog / 4)
	defer tick.Stop()
	for {
		if alive() {
			m.say(daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
