package web

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/understudy-ha/understudy/web/account"
)

// API serves another API's paths to those who are logged in, or show a token:
// reading takes a viewer; changing takes an admin, since it goes past the
// questions of the pages. as gives the handler in somebody's name.
func (s *Site) API(w http.ResponseWriter, r *http.Request, as func(name string) http.Handler) {
	for name, value := range headers {
		w.Header().Set(name, value)
	}
	name, role := "", account.Nobody
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		name, role, _ = s.Book.Bearer(strings.TrimSpace(given))
	} else if v := s.visit(w, r); v.Session.User != "" {
		name, role = v.Session.User, v.Session.Role
	}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case !s.ours(r), r.TLS == nil && !here(r):
		no(w, http.StatusMisdirectedRequest, "this is not a name of this server", "Reach it by its address, and by https.")
	case role == account.Nobody:
		w.Header().Set("WWW-Authenticate", `Bearer realm="understudy"`)
		no(w, http.StatusUnauthorized, "nobody is known by this request", "Send a token that was made at Users and sessions: Authorization: Bearer TOKEN.")
	case !reads && s.guard.Check(r) != nil:
		no(w, http.StatusForbidden, "a page of another site has sent this", "Ask without a browser, or from the portal.")
	case !reads && role < account.Admin:
		s.audit(r, name, "was refused: "+r.Method+" "+r.URL.Path, "", "needs the role admin")
		no(w, http.StatusForbidden, name+" has the role "+role.String()+", and this takes the role admin", "Use a token with that role.")
	default:
		if !reads {
			s.audit(r, name, r.Method+" "+r.URL.Path, "", "asked")
		}
		as(name).ServeHTTP(w, r)
	}
}

// no answers in the shape of the node's API.
func no(w http.ResponseWriter, code int, why, do string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"why": why, "do": do})
}
