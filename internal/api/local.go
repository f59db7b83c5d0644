package api

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// NewLocal gives a client of an API in this process. Its requests carry the
// values of their context to the API's Identify.
func NewLocal(h http.Handler) *Client {
	return &Client{at: "this process", base: "http://localhost", http: &http.Client{Transport: inside{h}}, within: 10 * time.Second}
}

// inside answers requests by a handler.
type inside struct{ http.Handler }

// RoundTrip has the handler answer.
func (i inside) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r.RequestURI = r.URL.RequestURI()
	a := &answer{header: http.Header{}, code: http.StatusOK}
	i.ServeHTTP(a, r)
	return &http.Response{StatusCode: a.code, Status: http.StatusText(a.code), Header: a.header, Body: io.NopCloser(&a.text), Request: r}, nil
}

// answer keeps what a handler writes.
type answer struct {
	header http.Header
	code   int
	text   bytes.Buffer
}

// Header gives the head of the answer.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader sets the status.
func (a *answer) WriteHeader(code int) { a.code = code }

// Write adds to the body.
func (a *answer) Write(p []byte) (int, error) { return a.text.Write(p) }
