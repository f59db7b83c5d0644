package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/understudy-ha/understudy/internal/ha"
)

// Codes of a Fault, beside those of ha.Refusal.
const (
	UnknownName ha.Reason = "unknown_group"
	BadRequest  ha.Reason = "bad_request"
	BadMethod   ha.Reason = "bad_method"
	CrossSite   ha.Reason = "cross_site"
	NotHere     ha.Reason = "not_here"   // no such path
	NoHistory   ha.Reason = "no_history" // the register cannot be read
	NoEvents    ha.Reason = "no_events"  // nobody may follow the events now
)

const readAPI = "docs/reference/api.md"

// Fault is every answer that is not 200, in the shape of a Refusal: what did
// not happen, why, what to do, where to read.
type Fault struct {
	Status int `json:"-"`
	Schema int `json:"schema"`
	ha.Refusal
	Groups []string `json:"groups,omitempty"` // with unknown_group: those there are
}

// fault makes a Fault; read is where the API itself is described.
func fault(status int, code ha.Reason, what, why, do string) *Fault {
	return &Fault{Status: status, Schema: Schema, Refusal: ha.Refusal{Code: code, What: what, Why: why, Do: do, Read: readAPI}}
}

func unknownGroup(name string, groups []string) *Fault {
	do := "Name one of them: " + strings.Join(groups, ", ") + "."
	if len(groups) == 0 {
		do = "Configure a group first."
	}
	f := fault(http.StatusNotFound, UnknownName, "no answer", fmt.Sprintf("there is no group %q", name), do)
	f.Groups, f.Read = groups, "understudy status"
	return f
}

func refused(r *ha.Refusal) *Fault {
	return &Fault{Status: http.StatusConflict, Schema: Schema, Refusal: *r}
}

// write sends the fault.
func (f *Fault) write(w http.ResponseWriter) {
	if f.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, f.Status, f)
}

// writeJSON sends one document. An error of the connection is the client's.
func writeJSON(w http.ResponseWriter, status int, doc any) {
	text, err := json.Marshal(doc)
	if err != nil { // a float that is no number is all that could do it
		status, text = http.StatusInternalServerError, []byte(`{"schema":1,"code":"internal","what":"no answer","why":"it cannot be written as JSON"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}
