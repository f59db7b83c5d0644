package nodeapi

import (
	"fmt"
	"io"
	"net/http"
	"sync"
)

// NewLocal gives a client of a node in this process, whose API a handler serves.
// The requests carry the values of their context to it, and streams stream.
func NewLocal(h http.Handler) *Client {
	return &Client{at: "this process", base: "http://node", http: &http.Client{Transport: inside{h}}}
}

// inside answers requests by a handler.
type inside struct{ http.Handler }

// RoundTrip has the handler answer, and returns as soon as it begins to.
func (i inside) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r.RequestURI = r.URL.RequestURI()
	out, in := io.Pipe()
	a := &answer{header: http.Header{}, body: in, begun: make(chan struct{})}
	go func() {
		defer func() { // as net/http's server does: a handler that breaks off ends its answer, not the process
			if p := recover(); p != nil {
				a.WriteHeader(http.StatusInternalServerError)
				_ = in.CloseWithError(fmt.Errorf("the answer broke off: %v", p))
			}
		}()
		i.ServeHTTP(a, r)
		a.WriteHeader(http.StatusOK)
		_ = in.Close()
	}()
	select {
	case <-a.begun:
	case <-r.Context().Done():
		_ = out.CloseWithError(r.Context().Err()) // the handler's next write fails
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: a.code, Status: http.StatusText(a.code), Header: a.sent, Body: out, Request: r}, nil
}

// answer passes on what a handler writes.
type answer struct {
	header, sent http.Header
	code         int
	body         *io.PipeWriter
	once         sync.Once
	begun        chan struct{}
}

// Header gives the head of the answer.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader sends the head; only the first one counts.
func (a *answer) WriteHeader(code int) {
	a.once.Do(func() {
		a.code, a.sent = code, a.header.Clone()
		close(a.begun)
	})
}

// Write sends a part of the body.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// FlushError has nothing to do: nothing is kept back.
func (a *answer) FlushError() error { return nil }

// Flush is FlushError.
func (a *answer) Flush() {}
