package webtest

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/chromedp/chromedp"
)

// axe is the text of axe-core, which tools/deps.sh installs.
var axe = sync.OnceValues(func() (string, error) {
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		if text, err := os.ReadFile(filepath.Join(dir, "tools", "node_modules", "axe-core", "axe.min.js")); err == nil {
			return string(text), nil
		}
		dir = filepath.Dir(dir)
	}
	return "", fmt.Errorf("axe-core is not installed: tools/deps.sh --for test")
})

// Axe reports what axe-core finds wrong with the page.
func (b *Tab) Axe(page string) {
	b.t.Helper()
	text, err := axe()
	if err != nil {
		b.t.Fatal(err)
	}
	b.run("load axe", chromedp.Evaluate[chromedp.Void](text+";0"))
	found := get(b, "run axe", chromedp.Evaluate[[]string](
		`axe.run(document, {resultTypes:["violations"]}).then(r => r.violations.flatMap(v => v.nodes.map(n => v.id+": "+n.html.slice(0,160)+" — "+n.failureSummary.replace(/\s+/g," ").slice(0,200))))`,
		chromedp.EvalAwaitPromise))
	for _, one := range found {
		b.t.Errorf("%s: %s", page, one)
	}
}

// Narrow reports what makes the page wider than its window, or hides what a
// person would want to reach.
func (b *Tab) Narrow(page string) {
	b.t.Helper()
	wide := Eval[[]string](b, `(() => { const w = document.documentElement.clientWidth; if (document.documentElement.scrollWidth <= w) return [];
		return [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > w + 1 && !e.closest(".wide, nav, svg")).slice(0, 5).map(e => e.outerHTML.slice(0, 120)).concat("the page is "+document.documentElement.scrollWidth+" of "+w)})()`)
	for _, one := range wide {
		b.t.Errorf("%s is wider than its window: %s", page, one)
	}
}
