package node

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func tokenFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAnAgentSaysOnlyWhereItIsItself(t *testing.T) {
	t.Parallel()
	all, err := readTokens(tokenFile(t, "# agents\nsensor1 0123456789abcdef0\nsensor2 0123456789abcdef1\n\n"))
	if err != nil {
		t.Fatal(err)
	}
	answer := func(code int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	h := all.let(answer(200), answer(401)) // 401: whatever trusted hosts are asked for
	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{"PUT", "/ha/v1/agents/sensor1", "Bearer 0123456789abcdef0", 200},
		{"PUT", "/ha/v1/agents/sensor1", "Bearer 0123456789abcdef1", 403},
		{"PUT", "/ha/v1/agents/sensor3", "Bearer 0123456789abcdef1", 403},
		{"PUT", "/ha/v1/agents/sensor1", "", 401},
		{"DELETE", "/ha/v1/agents/sensor1", "Bearer 0123456789abcdef0", 401},
		{"PUT", "/ha/v1/agents/sensor1/role", "Bearer 0123456789abcdef0", 401},
		{"PUT", "/ha/v1/settings", "Bearer 0123456789abcdef0", 401},
		{"POST", "/ha/v1/role", "Bearer 0123456789abcdef0", 401},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		if c.token != "" {
			r.Header.Set("Authorization", c.token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s %s with %q: %d, want %d", c.method, c.path, c.token, w.Code, c.want)
		}
	}
	everybody, err := readTokens(tokenFile(t, "* 0123456789abcdef0\n"))
	if err != nil || !everybody.proves("anybody", "0123456789abcdef0") || everybody.proves("*", "") {
		t.Errorf("one token for all: %v", err)
	}
}

func TestAFaultOfTheAgentsTokensIsToldWithoutTheToken(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                       "holds no token",
		"sensor1":                                "line 1: a line is: AGENT TOKEN",
		"a 0123456789abcdef secrets":             "line 1: a line is",
		"\nsensor1 short-secret":                 "line 2: the token is shorter than 16",
		"a 0123456789abcdef\na 0123456789secret": "line 2: the agent \"a\" stands twice",
	} {
		_, err := readTokens(tokenFile(t, text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if _, err := readTokens("/nowhere"); err == nil {
		t.Error("a file that is not there was read")
	}
}
