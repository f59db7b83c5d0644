package caddymodule

import (
	"context"
	"log/slog"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap/exp/zapslog"
)

// caddyLog hands records to Caddy's default log as it is at that moment: what
// is pooled outlives the logs of the configuration that it began under.
type caddyLog struct{ attrs []slog.Attr }

func (l caddyLog) now() slog.Handler {
	return zapslog.NewHandler(caddy.Log().Core(), zapslog.WithName("understudy"), zapslog.AddStacktraceAt(slog.Level(127)))
}

// Enabled says whether Caddy's log takes the level now.
func (l caddyLog) Enabled(ctx context.Context, level slog.Level) bool {
	return l.now().Enabled(ctx, level)
}

// Handle writes one record.
func (l caddyLog) Handle(ctx context.Context, r slog.Record) error {
	return l.now().WithAttrs(l.attrs).Handle(ctx, r)
}

// WithAttrs gives a handler that adds attrs to each record.
func (l caddyLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return caddyLog{append(l.attrs[:len(l.attrs):len(l.attrs)], attrs...)}
}

// WithGroup is not used by our logs; it changes nothing.
func (l caddyLog) WithGroup(string) slog.Handler { return l }
