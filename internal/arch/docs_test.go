package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestDocsLinksLeadToFiles(t *testing.T) {
	pages, err := filepath.Glob("../../*.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir("../../docs", func(at string, _ fs.DirEntry, err error) error {
		if filepath.Ext(at) == ".md" {
			pages = append(pages, at)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range deadLinks(filepath.Dir(page), string(text)) {
			t.Errorf("%s: nothing is at %s", page, link)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s#]+)(#[^)\s]*)?\)`)

// deadLinks gives the links of a page in dir to files that are not there.
func deadLinks(dir, text string) []string {
	var dead []string
	for _, found := range link.FindAllStringSubmatch(text, -1) {
		to := found[1]
		if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(to))); err != nil {
			dead = append(dead, to)
		}
	}
	return dead
}

func TestDocsDeadLinksAreReported(t *testing.T) {
	const text = "[a](doc.go) [b](../arch/doc.go#L1) [c](#words) [d](https://example.com/x) [e](gone.md#top)"
	if got := deadLinks(".", text); len(got) != 1 || got[0] != "gone.md" {
		t.Errorf("got %q, want gone.md alone", got)
	}
}

// TestDocsNameTestsThatAreThere: a page that says what shows something must not
// outlive it.
func TestDocsNameTestsThatAreThere(t *testing.T) {
	page, err := os.ReadFile("../../docs/explanation/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	defined := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	if err := filepath.WalkDir("../..", func(at string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(at, "_test.go") {
			return err
		}
		text, err := os.ReadFile(at)
		for _, m := range defined.FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(page, -1) {
		if !there[string(m[1])] {
			t.Errorf("docs/explanation/failures.md names %s, which nobody has written", m[1])
		}
	}
}
