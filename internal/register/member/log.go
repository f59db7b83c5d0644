package member

import (
	"context"
	"log/slog"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// core writes what etcd logs through our logger: what etcd tells of its own
// work as Debug, for a person who runs a register wants to hear of faults.
type core struct{ log *slog.Logger }

func zapTo(log *slog.Logger) *zap.Logger { return zap.New(core{log}) }

func (c core) level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Enabled says whether our logger wants lines of a level.
func (c core) Enabled(l zapcore.Level) bool { return c.log.Enabled(context.Background(), c.level(l)) }

// With gives a core that adds fields to every line.
func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{slog.New(c.log.Handler().WithAttrs(attrs(fields)))}
}

// Check adds c to those that write a line.
func (c core) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write writes a line.
func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.LogAttrs(context.Background(), c.level(e.Level), "etcd: "+strings.ToLower(e.Message), attrs(fields)...)
	return nil
}

// Sync has nothing to do.
func (c core) Sync() error { return nil }

func attrs(fields []zapcore.Field) []slog.Attr {
	plain := zapcore.NewMapObjectEncoder()
	all := make([]slog.Attr, 0, len(fields))
	for _, f := range fields {
		f.AddTo(plain)
		if v, ok := plain.Fields[f.Key]; ok {
			all = append(all, slog.Any(f.Key, v))
		}
	}
	return all
}
