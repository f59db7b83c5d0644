package portal

import (
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/web"
	"github.com/understudy-ha/understudy/web/account"
)

// servicesPage is what Settings > Services shows.
type servicesPage struct {
	Services []nodeapi.Service
	Optional bool // one at least
	Tag      string
	May      bool
	Peer     string
	No       *web.Refusal
}

func (p *Portal) servicesPage(v *web.Visit) (page servicesPage, err error) {
	ctx, cancel := ask(v)
	defer cancel()
	page.May = v.May(account.Admin)
	if page.Services, page.Tag, err = p.node.Services(ctx); err != nil {
		return page, refusal("The services cannot be shown", err)
	}
	page.Optional = slices.ContainsFunc(page.Services, func(s nodeapi.Service) bool { return s.Optional })
	s, err := p.status(v)
	page.Peer = s.Peer.Name
	return page, err
}

func (p *Portal) services(v *web.Visit) error {
	page, err := p.servicesPage(v)
	if err != nil {
		return err
	}
	return v.Render("services", "Services", page)
}

// applyServices is Apply (Core guide, Atlas configuration).
func (p *Portal) applyServices(v *web.Visit) error {
	page, err := p.servicesPage(v)
	if err != nil {
		return err
	}
	to, did := map[string]bool{}, []string{}
	for i, s := range page.Services {
		on := v.Field("service "+s.Name) == enable
		if !s.Optional || v.Field("service "+s.Name) == "" || on == s.Enabled {
			continue
		}
		to[s.Name], page.Services[i].Enabled = on, on
		did = append(did, s.Name+": "+able(on))
	}
	if len(to) == 0 {
		return v.Go("/settings/services", "Nothing differs from what is in force.")
	}
	ctx, cancel := ask(v)
	defer cancel()
	words := strings.Join(did, ", ")
	if _, err := p.node.SetServices(ctx, to, "", v.Field("tag")); err != nil {
		no, ok := refusal("Nothing was applied", err).(*web.Refusal)
		if !ok {
			return err
		}
		v.Note("tried to apply services: "+words, "", no.Why)
		page.No = no
		if no.Status == http.StatusPreconditionFailed {
			no.Do = "What stands below is yours, on top of what is in force now. Look at it and press Apply again."
		}
		v.Status(no.Status)
		return v.Render("services", "Services", page)
	}
	v.Note("applied services: "+words, "", account.Done)
	return v.Go("/settings/services", "Applied: "+words+". It counts from the next sync on. Do the same on "+page.Peer+".")
}

// What the chart of durations takes, in pixels.
const (
	chartHeight = 96
	mostBars    = 60
)

// durations draws how long the last syncs took, the oldest first, with a line at
// Run Every: a bar that reaches it overlaps the next sync.
func durations(newest []nodeapi.Sync, every time.Duration) template.HTML {
	var bars []nodeapi.Sync
	for _, s := range newest[:min(mostBars, len(newest))] {
		if !s.Started.IsZero() {
			bars = append(bars, s)
		}
	}
	if len(bars) < 2 {
		return ""
	}
	slices.Reverse(bars)
	most := time.Second
	for _, s := range bars {
		most = max(most, time.Duration(s.Duration()))
	}
	line := every > 0 && every < 4*most
	if line {
		most = max(most, every)
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg class="chart" height="%d" role="img" aria-label="How long the last %d syncs took; the longest scale is %v">`, chartHeight+24, len(bars), most.Round(time.Second))
	width := 100 / float64(len(bars))
	for i, s := range bars {
		tall := max(2, int(float64(chartHeight)*float64(s.Duration())/float64(most)))
		kind := "failed"
		if s.Result == nodeapi.Success {
			kind = "ok"
		}
		fmt.Fprintf(&out, `<rect class="%s" x="%.2f%%" width="%.2f%%" y="%d" height="%d"><title>%s: %s, %v</title></rect>`, kind, float64(i)*width, width*0.8,
			chartHeight-tall, tall, s.At.UTC().Format("2006-01-02 15:04 UTC"), template.HTMLEscapeString(s.Result), s.Duration())
	}
	if line {
		y := chartHeight - int(float64(chartHeight)*float64(every)/float64(most))
		fmt.Fprintf(&out, `<line x1="0" x2="100%%" y1="%d" y2="%d"/>`, y, y)
	}
	fmt.Fprintf(&out, `<text x="0" y="%d">the oldest of %d</text><text x="100%%" y="%d" text-anchor="end">the newest took %v</text></svg>`,
		chartHeight+16, len(bars), chartHeight+16, bars[len(bars)-1].Duration())
	return template.HTML(out.String()) // #nosec G203 -- every text in it is escaped
}
