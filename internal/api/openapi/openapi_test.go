package openapi

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/apitest"
)

func TestTheDocumentIsJSONWhoseReferencesLeadSomewhere(t *testing.T) {
	t.Parallel()
	text, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths      map[string]any `json:"paths"`
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &doc); err != nil || len(doc.Paths) == 0 {
		t.Fatalf("%d paths, %v", len(doc.Paths), err)
	}
	for _, m := range regexp.MustCompile(`"#/components/schemas/([^"]+)"`).FindAllSubmatch(text, -1) {
		if len(doc.Components.Schemas[string(m[1])].Properties) == 0 {
			t.Errorf("%s is not described", m[1])
		}
	}
	if p := doc.Components.Schemas["api.Change"].Properties; p["epoch"] == nil || p["cause"] == nil {
		t.Errorf("a change has %v", p)
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
	pattern := regexp.MustCompile(`HandleFunc\("((?:GET|POST|PUT|DELETE) /ha/v1/[a-z-]+(?:/\{[a-z]+\}|/[a-z]+)*)"`)
	files, err := filepath.Glob("../../../haengine/*.go") // where the engine mounts them
	if err != nil {
		t.Fatal(err)
	}
	var routes []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range pattern.FindAllSubmatch(text, -1) {
			routes = append(routes, string(m[1]))
		}
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
