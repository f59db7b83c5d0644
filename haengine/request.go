package haengine

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// mostAsked is the most that a request's body may have.
const mostAsked = 16 << 10

// reads gives a handler its request, bounded and strict.
func (c *control) reads(do func(http.ResponseWriter, *http.Request, nodeapi.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q, ok := request(w, r)
		if !ok {
			return
		}
		do(w, r, q)
	}
}

// act reads a request, has it done, and gives what came of it.
func (c *control) act(do func(context.Context, nodeapi.Request, string) (Outcome, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q, ok := request(w, r)
		if !ok {
			return
		}
		if tag := r.Header.Get("If-Match"); tag != "" && tag != c.tag() {
			give(w, http.StatusPreconditionFailed, nodeapi.Fault{Why: "the settings were saved by somebody else meanwhile", Do: "Look at them again: failover config show"})
			return
		}
		out, err := do(r.Context(), q, c.who(r))
		if unfinished(w, out, err) {
			return
		}
		a := nodeapi.Answer{Later: out.Later, Status: c.Status(), Warnings: out.Plan}
		if r.Method == http.MethodPut {
			a.Warnings = c.unwise(c.now.Load().Settings)
		}
		give(w, http.StatusOK, a)
	}
}

// decode reads the document of a request, bounded and strict.
func decode(w http.ResponseWriter, r *http.Request, most int64, to any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, most))
	d.DisallowUnknownFields()
	return d.Decode(to)
}

// request reads what is asked; false: it could not be read, and that was told.
func request(w http.ResponseWriter, r *http.Request) (q nodeapi.Request, ok bool) {
	if err := decode(w, r, mostAsked, &q); err != nil {
		give(w, http.StatusBadRequest, nodeapi.Fault{Why: "the request is not understood: " + err.Error()})
		return q, false
	}
	return q, true
}

// unfinished tells why something was not done; false: it was.
func unfinished(w http.ResponseWriter, out Outcome, err error) bool {
	var bad *badRequest
	switch {
	case errors.As(err, &bad):
		give(w, http.StatusBadRequest, bad.Fault)
	case err != nil:
		give(w, http.StatusServiceUnavailable, nodeapi.Fault{Why: err.Error()})
	case out.Refused != "":
		give(w, http.StatusConflict, nodeapi.Fault{Why: out.Refused})
	default:
		return false
	}
	return true
}

// badRequest is the error of a request that says nothing possible.
type badRequest struct{ nodeapi.Fault }

func (b *badRequest) Error() string { return b.Why }

func wrong(why, do string) error { return &badRequest{nodeapi.Fault{Why: why, Do: do}} }

func give(w http.ResponseWriter, code int, doc any) {
	text, err := json.Marshal(doc)
	if err != nil {
		code = http.StatusInternalServerError
		text, _ = json.Marshal(nodeapi.Fault{Why: "the answer cannot be written: " + err.Error()})
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n'))
}
