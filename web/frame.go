package web

import (
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/web/account"
)

//go:embed pages/*.html
var pages embed.FS

// frame is what every template is given.
type frame struct {
	Visit                          *Visit
	Title, Face, Place, Base, Path string
	Session                        account.Session
	Proven                         bool
	Now                            time.Time
	Told                           string
	Nav                            []Section
	Bar                            template.HTML
	Assets                         map[string]string
	D                              any // of the page
}

// Here says whether a line of the menu is where we are.
func (f frame) Here(item string) bool { return f.Path == item }

// Live says whether the page follows the event stream.
func (f frame) Live() bool { return f.Visit.Live }

// words are the functions of every template.
var words = template.FuncMap{
	"stamp": stamp, "clock": clock, "age": api.Age, "dict": dict, "lower": strings.ToLower, "join": strings.Join,
	"roles": account.Roles, "bytes": bytesWords, "took": func(ms int64) string { return api.Age(time.Duration(ms) * time.Millisecond) },
}

// parse makes one template of every page: the frame, the parts, and the page.
func parse(face fs.FS) (map[string]*template.Template, error) {
	shared, err := template.New("").Funcs(words).ParseFS(pages, "pages/layout.html", "pages/parts.html")
	if err != nil {
		return nil, fmt.Errorf("read the frame: %w", err)
	}
	all := map[string]*template.Template{}
	for _, from := range []fs.FS{pages, face} {
		if from == nil {
			continue
		}
		files, err := fs.Glob(from, "pages/*.html")
		if err != nil {
			return nil, err
		}
		if _, err := fs.Stat(from, "pages/own.html"); err == nil { // parts of this face alone
			if shared, err = shared.ParseFS(from, "pages/own.html"); err != nil {
				return nil, fmt.Errorf("read own.html: %w", err)
			}
		}
		for _, file := range files {
			name := strings.TrimSuffix(path.Base(file), ".html")
			if name == "layout" || name == "parts" || name == "own" {
				continue
			}
			page, err := shared.Clone()
			if err != nil {
				return nil, err
			}
			if all[name], err = page.ParseFS(from, file); err != nil {
				return nil, fmt.Errorf("read page %s: %w", name, err)
			}
		}
	}
	return all, nil
}

// dict makes one value of names and values, for a part that takes several.
func dict(pairs ...any) (map[string]any, error) {
	d := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("%v is no name", pairs[i])
		}
		d[name] = pairs[i+1]
	}
	return d, nil
}

// stamp says when something was, in UTC; never for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// clock is stamp without the day.
func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

// bytesWords gives a number of bytes as people read it.
func bytesWords(n int64) string {
	const kilo = 1000
	value, unit := float64(n), "bytes"
	for _, next := range []string{"kB", "MB", "GB", "TB"} {
		if value < kilo {
			break
		}
		value, unit = value/kilo, next
	}
	if unit == "bytes" {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}
