package sidecar

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/web/account"
)

const good = "0123456789abcdef"

func TestTokensAreReadAndFoundByName(t *testing.T) {
	t.Parallel()
	text := "# who may ask\n\nanna " + good + "\n  monitor\tsha256:" + fmt.Sprintf("%x", sha256.Sum256([]byte("fedcba9876543210"))) + "\n"
	tokens, err := readTokens(text)
	if err != nil {
		t.Fatal(err)
	}
	g := &guard{tokens: tokens}
	for given, want := range map[string]string{
		good: "anna", "fedcba9876543210": "monitor", "": "", good + "x": "", good[:15]: "",
		fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("fedcba9876543210"))): "", // the file's text is not the token
	} {
		if got, _, ok := g.find(given); got != want || ok != (want != "") {
			t.Errorf("%q belongs to %q, want %q", given, got, want)
		}
	}
}

func TestEveryFaultOfATokenFileIsToldWithoutTheToken(t *testing.T) {
	t.Parallel()
	_, err := readTokens("anna " + good + "\nanna fedcba9876543210\nbob secret\nonlyname\nraw " + good + "\ncarl sha256:12ab\n")
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, want := range []string{
		`line 2: the name "anna" stands twice`, "line 3: the token is shorter than 16 letters", "line 4: a line is: NAME TOKEN",
		`line 5: the name "raw" is reserved`, "line 6: after sha256: there must be 64",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not among:\n%v", want, err)
		}
	}
	for _, secret := range []string{good, "secret", "fedcba", "12ab"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("a token is told: %v", err)
		}
	}
	if _, err := readTokens("# nobody\n"); err == nil {
		t.Error("a file without a token was taken")
	}
}

func TestATokenHasTheRoleOfItsLineAndElseThatOfAnOperator(t *testing.T) {
	t.Parallel()
	tokens, err := readTokens("anna 0123456789abcdef\nnagios fedcba9876543210 viewer\n")
	if err != nil {
		t.Fatal(err)
	}
	g := &guard{tokens: tokens}
	for given, want := range map[string]account.Role{"0123456789abcdef": account.Operator, "fedcba9876543210": account.Viewer, "0000": account.Nobody} {
		if _, got, _ := g.find(given); got != want {
			t.Errorf("%s: got %v, want %v", given, got, want)
		}
	}
	if _, err := readTokens("anna 0123456789abcdef god\n"); err == nil || !strings.Contains(err.Error(), "god") {
		t.Errorf("got %v", err)
	}
}
