// Package webtest drives pages in a real Chromium, as a person would: by what
// stands on buttons, links and labels.
package webtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// one is the browser that all tests of a process share.
var one struct {
	sync.Once
	ctx context.Context
	end []func()
	err error
}

// Patience is how long a page may take to show what it must; machines that test
// are busy.
const Patience = 90 * time.Second

// Close ends the browser, if there is one; for TestMain.
func Close() {
	for i := len(one.end) - 1; i >= 0; i-- {
		one.end[i]()
	}
}

func start() {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		one.err = fmt.Errorf("chromium is not installed: tools/deps.sh --for test")
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("ignore-certificate-errors", true), chromedp.WSURLReadTimeout(time.Minute))
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end2 := chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	one.ctx, one.end, one.err = ctx, []func(){end, end2}, chromedp.Do(ctx)
}

// Tab is a window of its own, with cookies of its own.
type Tab struct {
	t    testing.TB
	ctx  context.Context
	mu   sync.Mutex // guards the field below
	said []string   // on the page's console: what the policy has blocked, and faults of the script
}

// Open opens a window of 1280 by 900 pixels.
func Open(t testing.TB) *Tab {
	t.Helper()
	one.Do(start)
	if one.err != nil {
		t.Fatal(one.err)
	}
	ctx, end := chromedp.NewContext(one.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	tab := &Tab{t: t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			tab.mu.Lock()
			tab.said = append(tab.said, m.Text)
			tab.mu.Unlock()
		}
	}()
	tab.Size(1280, 900)
	return tab
}

// run does something within Patience.
func (b *Tab) run(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v\nthe page is %s\n%.1500s", what, err, b.Where(), b.Text())
	}
}

// call is one command of the protocol as an action.
func call[P any](command cdp.Command[P, cdp.Empty], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// get runs an action that gives something, within Patience.
func get[T any](b *Tab, what string, action chromedp.Action[T]) (value T) {
	b.t.Helper()
	b.run(what, chromedp.Func(func(ctx context.Context, t *chromedp.Target) (err error) {
		value, err = action(ctx, t)
		return err
	}))
	return value
}

// Size sets the size of the window.
func (b *Tab) Size(width, height int64) {
	b.t.Helper()
	b.run("set the size", chromedp.EmulateViewport(width, height))
}

// Dark asks for dark colours, or for light ones.
func (b *Tab) Dark(on bool) {
	b.t.Helper()
	scheme := map[bool]string{true: "dark", false: "light"}[on]
	b.run("set the scheme", call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}))
}

// NoScript turns JavaScript off in the pages that are opened from now on.
func (b *Tab) NoScript() {
	b.t.Helper()
	b.run("turn JavaScript off", call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
}

// Go opens a page.
func (b *Tab) Go(url string) {
	b.t.Helper()
	b.run("open "+url, chromedp.Navigate(url))
}

// Eval runs an expression in the page and gives what it is.
func Eval[T any](b *Tab, expression string) T {
	b.t.Helper()
	return get(b, "run "+expression, chromedp.Evaluate[T](expression))
}

// Text gives the words that the page shows.
func (b *Tab) Text() (text string) {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, _ = chromedp.Run(ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
	return text
}

// Where gives the page's address.
func (b *Tab) Where() (at string) {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	at, _ = chromedp.Run(ctx, chromedp.Location())
	return at
}

// Sees waits until the page shows some words.
func (b *Tab) Sees(words string) {
	b.t.Helper()
	b.Waits(fmt.Sprintf("the page shows %q", words), func() bool { return strings.Contains(b.Text(), words) })
}

// Waits waits until something is so.
func (b *Tab) Waits(what string, so func() bool) {
	b.t.Helper()
	for end := time.Now().Add(Patience); !so(); {
		if time.Now().After(end) {
			b.t.Fatalf("waited in vain until %s; the page %s shows\n%s", what, b.Where(), b.Text())
		}
		select {
		case <-b.t.Context().Done():
			b.t.Fatal("the test ended")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// quote makes an XPath literal of text.
func quote(text string) string {
	return `concat("` + strings.ReplaceAll(text, `"`, `",'"',"`) + `","")`
}

// Press clicks the button or link that has some words, and waits until the page
// that follows is there.
func (b *Tab) Press(words string) {
	b.t.Helper()
	w := quote(words)
	xpath := fmt.Sprintf(`(//button[normalize-space(.)=%[1]s or starts-with(normalize-space(.),%[1]s)]|//a[normalize-space(.)=%[1]s]|//summary[normalize-space(.)=%[1]s])[1]`, w)
	element := fmt.Sprintf(`document.evaluate(%q,document,null,9,null).singleNodeValue`, xpath)
	b.Waits("there is "+words+" to press", func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
		defer cancel()
		at, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](fmt.Sprintf(middle, element)))
		return err == nil && len(at) == 2
	})
	// In one go, for a page that shows changes may put another in its place.
	press := fmt.Sprintf(`(e => { %%s; e.click(); return e.localName === "summary"; })(%s)`, element)
	if !get(b, "press "+words, chromedp.Evaluate[bool](fmt.Sprintf(press, old))) {
		b.Arrives("press " + words)
	}
}

// middle gives where an element can be pressed: it is shown, is not disabled,
// and nothing lies over it.
const middle = `(e => {
	if (!e || e.disabled || !e.checkVisibility()) return [];
	e.scrollIntoView({block: "center", behavior: "instant"});
	const r = e.getClientRects()[0];
	if (!r) return [];
	const at = [r.x + r.width / 2, r.y + r.height / 2];
	return e.contains(document.elementFromPoint(...at)) ? at : [];
})(%s)`

// old marks a page, so that the one that follows is told from it.
const old = `document.documentElement.dataset.old = "1"`

// Arrives waits until a page is there that is not marked as old.
func (b *Tab) Arrives(what string) {
	b.t.Helper()
	b.Waits(what+" leads to a page", func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
		defer cancel()
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.readyState==="complete" && !document.documentElement.dataset.old`))
		return err == nil && there
	})
}

// Hover moves the pointer to what has some words, and keeps it in motion there,
// as a hand does.
func (b *Tab) Hover(words string) (x, y float64) {
	b.t.Helper()
	xpath := fmt.Sprintf(`//a[normalize-space(.)=%[1]s]|//button[normalize-space(.)=%[1]s]`, quote(words))
	at := Eval[[]float64](b, fmt.Sprintf(middle, fmt.Sprintf(`document.evaluate(%q,document,null,9,null).singleNodeValue`, xpath)))
	if len(at) != 2 {
		b.t.Fatalf("there is no %s to point at; the page shows\n%s", words, b.Text())
	}
	b.run("point at "+words, chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at[0], at[1]),
		chromedp.Evaluate[chromedp.Void](`setInterval(() => dispatchEvent(new PointerEvent("pointermove")), 50)`))
	return at[0], at[1]
}

// Mouse presses what lies at a place, whatever that is.
func (b *Tab) Mouse(x, y float64) {
	b.t.Helper()
	b.run("press the mouse button", chromedp.Evaluate[chromedp.Void](old), chromedp.MouseClickXY(x, y))
	b.Arrives("the mouse button")
}

// field is the XPath of the field below a label.
func field(label string) string {
	return fmt.Sprintf(`(//label[starts-with(normalize-space(.),%[1]s)]|//fieldset[legend[normalize-space(.)=%[1]s]])[1]/descendant::*[self::input or self::select or self::textarea][1]`, quote(label))
}

// Fill writes into the field with a label, in place of what is there.
func (b *Tab) Fill(label, text string) {
	b.t.Helper()
	at := field(label)
	b.run("fill "+label, chromedp.WaitVisible(at), chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.evaluate(%q,document,null,9,null).singleNodeValue.value="";0`, at)), chromedp.SendKeys(at, text))
}

// Choose takes one of a drop-down menu.
func (b *Tab) Choose(label, option string) {
	b.t.Helper()
	at := field(label)
	b.run("choose in "+label, chromedp.WaitVisible(at))
	b.run("choose "+option, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(()=>{const s=document.evaluate(%q,document,null,9,null).singleNodeValue;
		const o=[...s.options].find(o=>o.text.trim()===%q); if(!o) throw new Error("no such option: "+[...s.options].map(o=>o.text)); s.value=o.value})()`, at, option)))
}

// ChooseNamed takes one of the drop-down menu with a name, where it shares its
// label with another field.
func (b *Tab) ChooseNamed(name, option string) {
	b.t.Helper()
	b.ChooseNth(name, 0, option)
}

// ChooseNth is ChooseNamed for one of several menus of the same name.
func (b *Tab) ChooseNth(name string, n int, option string) {
	b.t.Helper()
	b.run("choose "+option, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(()=>{const s=document.getElementsByName(%q)[%d]; s.value=%q; if(s.value!==%q) throw new Error("no such option")})()`, name, n, option, option)))
}

// Tick clicks the radio button or check box with a label, in the group with a
// legend if that is not empty.
func (b *Tab) Tick(legend, label string) {
	b.t.Helper()
	in := ""
	if legend != "" {
		in = fmt.Sprintf(`//fieldset[legend[normalize-space(.)=%s]]`, quote(legend))
	}
	at := in + fmt.Sprintf(`//label[normalize-space(.)=%[1]s or starts-with(normalize-space(.),%[1]s)]//input`, quote(label))
	b.run("tick "+label, chromedp.Click(at))
}

// Value gives what stands in the field with a label.
func (b *Tab) Value(label string) string {
	b.t.Helper()
	return get(b, "look at "+label, chromedp.Value(field(label)))
}

// Keys types keys, such as kb.Tab.
func (b *Tab) Keys(keys string) {
	b.t.Helper()
	b.run("type", chromedp.KeyEvent(keys))
}

// Said gives what the page's console has been told.
func (b *Tab) Said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.said...)
}

// Shot keeps a picture of the whole page where UNDERSTUDY_SHOTS says.
func (b *Tab) Shot(name string) {
	b.t.Helper()
	dir := os.Getenv("UNDERSTUDY_SHOTS")
	if dir == "" {
		return
	}
	picture := get(b, "take a picture", chromedp.FullScreenshot(100))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
