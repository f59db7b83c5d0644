package node

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/statefile"
)

// tokens are what proves an agent: the SHA-256 of its token, by its name; the
// name * is for every agent.
type tokens map[string][sha256.Size]byte

const (
	mostTokens = 4 << 20 // bytes of the file
	leastToken = 16      // letters of one
)

// readTokens reads lines of an agent's name and its token. Errors name the line
// and never the token.
func readTokens(path string) (tokens, error) {
	text, err := statefile.Read(path, mostTokens)
	if err != nil {
		return nil, fmt.Errorf("token_file cannot be used: %w", err)
	}
	all := tokens{}
	for i, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0][0] == '#':
			continue
		case len(words) != 2:
			return nil, fmt.Errorf("token_file %s, line %d: a line is: AGENT TOKEN", path, i+1)
		case len(words[1]) < leastToken:
			return nil, fmt.Errorf("token_file %s, line %d: the token is shorter than %d letters; openssl rand -hex 16 makes a good one", path, i+1, leastToken)
		}
		if _, twice := all[words[0]]; twice {
			return nil, fmt.Errorf("token_file %s, line %d: the agent %.100q stands twice", path, i+1, words[0])
		}
		all[words[0]] = sha256.Sum256([]byte(words[1]))
	}
	if len(all) == 0 {
		return nil, errors.New("token_file " + path + " holds no token; a line is: AGENT TOKEN")
	}
	return all, nil
}

// proves says whether a token is the agent's own, or that of all.
func (t tokens) proves(agent, token string) bool {
	sum := sha256.Sum256([]byte(token))
	ok := 0
	for _, name := range []string{agent, "*"} {
		if want, known := t[name]; known {
			ok |= subtle.ConstantTimeCompare(sum[:], want[:])
		}
	}
	return ok == 1
}

// let lets agents through that prove themselves; everything else goes to next.
func (t tokens) let(control, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agent, is := strings.CutPrefix(r.URL.Path, "/ha/v1/agents/")
		token, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case !is || !given || r.Method != http.MethodPut || strings.Contains(agent, "/"):
			next.ServeHTTP(w, r)
		case t.proves(agent, strings.TrimSpace(token)):
			control.ServeHTTP(w, r)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(nodeapi.Fault{Why: "the token is not this agent's", Do: "Give the token that stands in agents: {token_file: …} of node.yaml."})
		}
	})
}
