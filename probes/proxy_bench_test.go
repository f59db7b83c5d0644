package probes

import (
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/understudy-ha/understudy/internal/ha"
)

// asked is a request that has come over a connection, without the network.
func asked(p *Proxy, path string) *fasthttp.RequestCtx {
	ctx := &fasthttp.RequestCtx{}
	ctx.Init2(httpVisit{&visit{door: p.door, caller: &caller{}}}, quiet{}, false)
	ctx.Request.SetRequestURI(path)
	return ctx
}

func TestAnAnswerAllocatesNothing(t *testing.T) {
	p := quietProxy(t)
	p.Tell(calm(time.Now()))
	for path, want := range map[string]int{"/mdm/core1": 200, "/mdm/core2": 503, "/mdm/serving": 200, "/mdm/core2/raw": 200} {
		ctx := asked(p, path)
		answer := func() {
			ctx.Response.Reset()
			p.handle(ctx)
			_ = ctx.Response.Header.Header()
		}
		if got := testing.AllocsPerRun(1000, answer); got > 0 {
			t.Errorf("%s: %v allocations", path, got)
		}
		if got := ctx.Response.StatusCode(); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
		if got := testing.AllocsPerRun(1000, func() { _ = p.findAgent([]byte("mdm/core1"), 0) }); got > 0 {
			t.Errorf("agent: %v allocations", got)
		}
	}
}

func BenchmarkProxyAnswer(b *testing.B) {
	p := &Proxy{book: newBook(), clock: clock{time.Now()}}
	c := DefaultProxy()
	p.config.Store(&c)
	p.door = newDoor(&p.config)
	p.Tell(calm(time.Now()))
	ctx := asked(p, "/mdm/core1")
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		p.handle(ctx)
	}
}

// BenchmarkProxyTell is what it costs a watcher to tell of a change.
func BenchmarkProxyTell(b *testing.B) {
	p := &Proxy{book: newBook(), clock: clock{time.Now()}}
	c := DefaultProxy()
	p.config.Store(&c)
	two := []ha.Situation{serves("core1", 3, ha.FailedOver, time.Now()), serves("core2", 4, ha.FailedOver, time.Now())}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.Tell(two[i%2])
	}
}
