package upgrade

import (
	_ "embed"
	"html/template"
	"io"
	"time"
)

//go:embed report.html
var reportHTML string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"moment": moment,
	"took":   func(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() },
	"none":   orNone,
	"inc":    func(i int) int { return i + 1 },
}).Parse(reportHTML))

// WriteHTML writes the report as one page that needs nothing else.
func (r Report) WriteHTML(to io.Writer) error { return reportPage.Execute(to, r) }
