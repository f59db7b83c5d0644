package upgrade

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"

	"github.com/understudy-ha/understudy/internal/config"
)

//go:embed report.html
var reportHTML string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"moment": moment,
	"took":   length,
	"outage": outageWords,
	"none":   orNone,
	"inc":    func(i int) int { return i + 1 },
}).Parse(reportHTML))

// length says how long something took, as short as people read it.
func length(ms int64) string {
	switch d := time.Duration(ms) * time.Millisecond; {
	case d < time.Second:
		return fmt.Sprintf("%d ms", ms)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// Title says what the run is, for people.
func (r Report) Title() string {
	switch {
	case r.To == "":
		return "Switchover of " + r.Group
	case r.Kind == string(config.RunRepair):
		return "Upgrade of " + r.Group + " to " + r.To + " by pairing anew"
	}
	return "Upgrade of " + r.Group + " to " + r.To
}

// TookMS is how long the run lasted, with its waiting for people; 0: it is not
// over.
func (r Report) TookMS() int64 {
	if r.Ended.IsZero() {
		return 0
	}
	return r.Ended.Sub(r.Began).Milliseconds()
}

// WriteHTML writes the report as one page that needs nothing else.
func (r Report) WriteHTML(to io.Writer) error { return reportPage.Execute(to, r) }
