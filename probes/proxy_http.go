package probes

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// proxyPatience is how long a client may take to send a request whole, or to
	// take its answer.
	proxyPatience = 10 * time.Second

	maxProxyHeader = 4 << 10
	maxProxyBody   = 4 << 10 // nobody sends one, but some method may
)

// The headers of an answer.
var (
	headerReason = []byte("X-Understudy-Reason")
	headerEpoch  = []byte("X-Understudy-Epoch")
	headerHold   = []byte("X-Understudy-Hold")
	textPlain    = []byte("text/plain; charset=utf-8")
)

const methods = "GET, HEAD, OPTIONS"

func (p *Proxy) newServer() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:      p.handle,
		ErrorHandler: p.fault,
		Logger:       quiet{},

		ReadBufferSize: maxProxyHeader, WriteBufferSize: 1 << 10, MaxRequestBodySize: maxProxyBody,
		Concurrency: 1 << 30, // the door counts

		NoDefaultServerHeader: true, NoDefaultContentType: true,
		DisablePreParseMultipartForm: true, SecureErrorLogMessage: true,
	}
}

// quiet drops what the server logs: that a client broke off or sent garbage,
// which the figures count.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// handle answers one request.
func (p *Proxy) handle(ctx *fasthttp.RequestCtx) {
	p.figures.answers.Add(1)
	v := visitOf(ctx.Conn())
	v.turnTo(replying)
	method := ctx.Request.Header.Method()
	switch {
	case !p.permits(v, ctx.Time()):
		p.figures.throttled.Add(1)
		ctx.Response.Header.Set("Retry-After", "1")
		reply(ctx, fasthttp.StatusTooManyRequests, "this address asks too often")
		return
	case string(method) == fasthttp.MethodGet, string(method) == fasthttp.MethodHead:
	case string(method) == fasthttp.MethodOptions:
		ctx.Response.Header.Set("Allow", methods)
	default:
		ctx.Response.Header.Set("Allow", methods)
		reply(ctx, fasthttp.StatusMethodNotAllowed, "this is answered to "+methods+" only")
		return
	}
	if a := p.find(ctx.Path(), p.clock.at(ctx.Time())); a != nil {
		a.send(&ctx.Response)
		return
	}
	reply(ctx, fasthttp.StatusNotFound, p.missing(ctx.Path()))
}

// send makes a the response.
func (a *answer) send(r *fasthttp.Response) {
	r.SetStatusCode(a.status)
	r.Header.SetContentTypeBytes(textPlain)
	if len(a.reason) > 0 {
		r.Header.SetCanonical(headerReason, a.reason)
	}
	if len(a.epoch) > 0 {
		r.Header.SetCanonical(headerEpoch, a.epoch)
	}
	if len(a.hold) > 0 {
		r.Header.SetCanonical(headerHold, a.hold)
	}
	r.SetBodyRaw(a.body)
}

// reply answers with a sentence for people.
func reply(ctx *fasthttp.RequestCtx, status int, sentence string) {
	ctx.SetStatusCode(status)
	ctx.Response.Header.SetContentTypeBytes(textPlain)
	ctx.SetBodyString(sentence + "\n")
}

// fault answers a request that could not be read; the connection ends then.
func (p *Proxy) fault(ctx *fasthttp.RequestCtx, err error) {
	p.figures.faulty.Add(1)
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		reply(ctx, fasthttp.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the request is longer than %d bytes", maxProxyHeader))
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		reply(ctx, fasthttp.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", maxProxyBody))
	default:
		reply(ctx, fasthttp.StatusBadRequest, "this is not a request that can be read; HTTP/1.1 needs a Host header")
	}
}

// find gives the answer at a path, or nil if there is none.
func (p *Proxy) find(path []byte, now int64) *answer {
	group, rest := splitPath(path)
	e := p.book.find(group)
	if e == nil {
		return nil
	}
	pages := e.sheet.Load().pages
	found := pages[string(rest)]
	if found == nil {
		found = pages[""]
	}
	switch {
	case found == nil:
		return nil
	case now > found.until.Load():
		return &found.stale
	}
	return &found.fresh
}

// splitPath gives the group of /{group}/{rest} and the rest; both are empty if
// the path is not of that form.
func splitPath(path []byte) (group, rest []byte) {
	if len(path) == 0 || path[0] != '/' {
		return nil, nil
	}
	group, rest, ok := bytes.Cut(path[1:], []byte{'/'})
	if !ok || len(group) == 0 || len(rest) == 0 {
		return nil, nil
	}
	return group, rest
}

// missing says what there is where nothing is at a path.
func (p *Proxy) missing(path []byte) string {
	group, rest := splitPath(path)
	if e := p.book.find(group); e != nil {
		return fmt.Sprintf("group %s has no %.64q; there is serving, and of each node NODE and NODE/raw: %s", e.group, rest, listing(e.nodes()))
	}
	return fmt.Sprintf("no group is at %.64q; the groups are: %s", path, listing(p.book.names()))
}
