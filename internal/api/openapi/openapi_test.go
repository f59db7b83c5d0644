package openapi

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/apitest"
)

var update = flag.Bool("update", false, "write docs/reference/openapi.json")

const file = "../../../docs/reference/openapi.json"

func TestTheDocumentInTheReferenceIsThatOfTheTypes(t *testing.T) {
	t.Parallel()
	want, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the types say (%v): go test ./internal/api/openapi -update", file, err)
	}
}

// sorted gives the method and path of operations.
func sorted(all []Operation) (names []string) {
	for _, op := range all {
		names = append(names, op.Method+" "+op.Path)
	}
	slices.Sort(names)
	return names
}

func TestEveryPathOfGroupsIsDescribedAndNoOther(t *testing.T) {
	t.Parallel()
	var routes []string
	for _, r := range api.New(api.Config{Groups: apitest.New()}).Routes() {
		method := "GET "
		if slices.Contains(api.Verbs(), r.Pattern[strings.LastIndex(r.Pattern, "/")+1:]) {
			method = "POST "
		}
		routes = append(routes, method+r.Pattern)
	}
	slices.Sort(routes)
	if diff := cmp.Diff(routes, sorted(Groups())); diff != "" {
		t.Errorf("the handlers (-) and the description (+) differ:\n%s", diff)
	}
}

func TestEveryPathOfANodeIsDescribedAndNoOther(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(`"((?:GET|POST|PUT|DELETE) /ha/v1/[a-z-]+)"`)
	text, err := os.ReadFile("../../../haengine/control.go") // where the engine mounts them
	if err != nil {
		t.Fatal(err)
	}
	var routes []string
	for _, m := range pattern.FindAllSubmatch(text, -1) {
		routes = append(routes, string(m[1]))
	}
	slices.Sort(routes)
	if diff := cmp.Diff(routes, sorted(Node())); diff != "" {
		t.Errorf("the handlers (-) and the description (+) differ:\n%s", diff)
	}
}

func TestEveryOperationSaysWhatItDoes(t *testing.T) {
	t.Parallel()
	for _, op := range append(Groups(), Node()...) {
		if op.Says == "" {
			t.Errorf("%s %s says nothing", op.Method, op.Path)
		}
	}
}
