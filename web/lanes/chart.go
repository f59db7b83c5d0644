package lanes

import (
	"fmt"
	"html/template"
	"strings"
	"time"
)

// Span is a time in which something was so.
type Span struct {
	From, To time.Time
	Kind     string // a class of the stylesheet: active, standby, not_available, unknown, held, serves-N
	Word     string // stands in the span where it has room
	Said     string // the evidence
}

// Lane is one row.
type Lane struct {
	Name  string
	Spans []Span
}

// Chart is rows over one time.
type Chart struct {
	From, To time.Time
	Lanes    []Lane
}

// What a row takes, in pixels, and how finely it is drawn.
const (
	rowHeight = 44
	barTop    = 20
	barHeight = 16
	axis      = 24
	tipHeight = 72
	finest    = 500 // parts of the axis; what is shorter becomes one with its neighbours
	mostSpans = 60  // of a row, for somebody has to step through them
)

var kindWords = map[string]string{"active": "Active", "standby": "Standby", "not_available": "NotAvailable", "unknown": "not watched", "held": "held"}

// SVG draws the chart. Its width is that of the page; everything that others
// wrote is escaped.
func (c Chart) SVG() template.HTML {
	height := len(c.Lanes)*rowHeight + axis
	var out strings.Builder
	fmt.Fprintf(&out, `<svg class="lanes" height="%d" role="group" aria-label="What happened from %s to %s">`, height+tipHeight, stamp(c.From), stamp(c.To))
	out.WriteString(`<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0v6"/></pattern></defs>`)
	c.axis(&out, height-axis)
	for i, lane := range c.Lanes {
		y := i * rowHeight
		fmt.Fprintf(&out, `<text x="0" y="%d">%s</text>`, y+14, template.HTMLEscapeString(lane.Name))
		for _, s := range c.visible(lane.Spans) {
			c.span(&out, lane.Name, s, y+barTop, height)
		}
	}
	fmt.Fprintf(&out, `<foreignObject class="hint" x="0" y="%d" width="100%%" height="%d"><p>Point at a part, or step to it with the Tab key, for the evidence.</p></foreignObject></svg>`, height+4, tipHeight-4)
	return template.HTML(out.String()) // #nosec G203 -- every text in it is escaped
}

// at gives the place of a time on the axis, in per cent.
func (c Chart) at(t time.Time) float64 {
	return max(0, min(100, 100*float64(t.Sub(c.From))/float64(c.To.Sub(c.From))))
}

// span draws one span with its evidence, which shows when somebody points at it
// or steps to it.
func (c Chart) span(out *strings.Builder, lane string, s Span, y, bottom int) {
	x, width := c.at(s.From), c.at(s.To)-c.at(s.From)
	top, tall := y, barHeight
	if s.Kind == "standby" {
		top, tall = y+barHeight/2, barHeight/2
	}
	word := s.Word
	if word == "" {
		word = kindWords[s.Kind]
	}
	text := fmt.Sprintf("%s: %s from %s to %s (%s)", lane, word, stamp(s.From), stamp(s.To), lasted(s.To.Sub(s.From)))
	if s.Said != "" {
		text += ". " + s.Said
	}
	text = template.HTMLEscapeString(text)
	fmt.Fprintf(out, `<g class="seg %s" tabindex="0" role="img" aria-label="%s">`, s.Kind, text)
	fmt.Fprintf(out, `<rect class="body" x="%.2f%%" y="%d" width="%.2f%%" height="%d"/>`, x, top, width, tall)
	if s.Kind == "not_available" {
		fmt.Fprintf(out, `<rect class="edge" x="%.2f%%" y="%d" width="%.2f%%" height="%d"/>`, x, top, width, tall)
	}
	if s.Word != "" && width > float64(2+len(s.Word)*2) {
		fmt.Fprintf(out, `<text x="%.2f%%" y="%d" dx="4">%s</text>`, x, y+13, template.HTMLEscapeString(s.Word))
	}
	fmt.Fprintf(out, `<foreignObject x="0" y="%d" width="100%%" height="%d"><p class="tip">%s</p></foreignObject></g>`, bottom+4, tipHeight-4, text)
}

// axis draws lines at full hours or days with their names.
func (c Chart) axis(out *strings.Builder, bottom int) {
	every, layout := 6*time.Hour, "15:04"
	if c.To.Sub(c.From) > 48*time.Hour {
		every, layout = 7*24*time.Hour, "Jan 2"
	}
	out.WriteString(`<g class="axis" aria-hidden="true">`)
	for t := c.From.Truncate(every).Add(every); t.Before(c.To); t = t.Add(every) {
		x := c.at(t)
		fmt.Fprintf(out, `<line x1="%.2f%%" x2="%.2f%%" y1="0" y2="%d"/>`, x, x, bottom)
		if x > 4 && x < 88 {
			late := ""
			if x > 64 {
				late = ` class="late"` // a narrow window has no room for it beside "now"
			}
			fmt.Fprintf(out, `<text x="%.2f%%" y="%d" dx="-16"%s>%s</text>`, x, bottom+16, late, t.UTC().Format(layout))
		}
	}
	fmt.Fprintf(out, `<text x="100%%" y="%d" text-anchor="end">now, UTC</text></g>`, bottom+16)
}

// visible gives the spans as they can be drawn: what is too short to be seen
// becomes one with what follows, under the worst of their states.
func (c Chart) visible(spans []Span) []Span {
	for least := c.To.Sub(c.From) / finest; ; least *= 2 {
		if merged := merge(spans, least); len(merged) <= mostSpans {
			return merged
		}
	}
}

func merge(spans []Span, least time.Duration) []Span {
	var out []Span
	for _, s := range spans {
		if n := len(out); n > 0 && (out[n-1].To.Sub(out[n-1].From) < least || s.To.Sub(s.From) < least && out[n-1].Kind == s.Kind) {
			last := &out[n-1]
			last.To = s.To
			if last.Kind != s.Kind {
				last.Said = fmt.Sprintf("It changed several times in this short time; the worst of it is shown. Last: %s. %s", kindOf(s), s.Said)
				last.Kind, last.Word = worse(last.Kind, s.Kind), ""
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

func kindOf(s Span) string {
	if s.Word != "" {
		return s.Word
	}
	return kindWords[s.Kind]
}

// worse gives the state that a person would rather see.
func worse(a, b string) string {
	for _, kind := range []string{"not_available", "held", "standby", "active"} {
		if a == kind || b == kind {
			return kind
		}
	}
	return b
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func lasted(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f hours", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}
