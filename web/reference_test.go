package web

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestEveryTestThatTheReferenceOfASVSNamesIsThereAndTheOtherWayRound(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/reference/asvs.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	err = filepath.WalkDir("..", func(at string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && e.Name() == "node_modules" {
			return fs.SkipDir
		}
		if strings.HasSuffix(at, "_test.go") {
			source, err := os.ReadFile(at)
			if err != nil {
				return err
			}
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(source, -1) {
				there[string(m[1])] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(text, -1) {
		if named[string(m[1])] = true; !there[string(m[1])] {
			t.Errorf("no test is called %s", m[1])
		}
	}
	for name := range there {
		if strings.HasPrefix(name, "TestASVS") && !named[name] {
			t.Errorf("docs/reference/asvs.md does not name %s", name)
		}
	}
}
