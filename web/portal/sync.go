package portal

import (
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/web"
	"github.com/understudy-ha/understudy/web/account"
)

// runSync is Run Sync Now, from the host that the drop-down menu has.
func (p *Portal) runSync(v *web.Visit) error {
	ctx, cancel := ask(v)
	defer cancel()
	host := v.Field("host")
	_, err := p.node.Sync(ctx, host, v.Field("reason"))
	if err != nil {
		v.Note("Run Sync Now from "+host, "", err.Error())
		return refusal("No sync was started", err)
	}
	v.Note("Run Sync Now from "+host, "", account.Done)
	return v.Go("/maintenance/sync-history", "The sync has begun.")
}

// acceptSync is Run Sync Now after a person has looked at what the guards found.
func (p *Portal) acceptSync(v *web.Visit) error {
	if fault := p.sure(v); fault != "" {
		v.Status(http.StatusUnprocessableEntity)
		return p.showSyncs(v, fault)
	}
	ctx, cancel := ask(v)
	defer cancel()
	host := v.Field("host")
	if _, err := p.node.SyncAccepting(ctx, host, v.Field("reason")); err != nil {
		v.Note("Run Sync Now from "+host+", accepting what the guards found", v.Field("reason"), err.Error())
		return refusal("No sync was started", err)
	}
	v.Note("Run Sync Now from "+host+", accepting what the guards found", v.Field("reason"), account.Done)
	return v.Go("/maintenance/sync-history", "The sync has begun, and lets through what the guards found.")
}

func (p *Portal) syncHistory(v *web.Visit) error { return p.showSyncs(v, "") }

// syncPage is what the Sync History shows.
type syncPage struct {
	Syncs   []nodeapi.Sync // the newest first
	Status  nodeapi.Status
	Loss    string
	Chart   template.HTML
	Guarded bool // the last one was stopped by a guard that a person may overrule
	Fault   string
}

func (p *Portal) showSyncs(v *web.Visit, fault string) error {
	ctx, cancel := ask(v)
	defer cancel()
	all, err := p.node.SyncHistory(ctx)
	if err != nil {
		return refusal("The Sync History cannot be shown", err)
	}
	s, err := p.status(v)
	if err != nil {
		return err
	}
	settings, _, err := p.node.Settings(ctx)
	if err != nil {
		return refusal("The Sync History cannot be shown", err)
	}
	slices.Reverse(all)
	page := syncPage{all[:min(200, len(all))], s, lossWords(s.Loss, p.Now()), durations(all, valuesOf(settings).every()), false, fault}
	page.Guarded = s.LastSync != nil && s.LastSync.Result != nodeapi.Success && strings.Contains(s.LastSync.Detail, "--accept-deletions")
	v.Live, v.Form = fault == "", page.Guarded && v.May(account.Admin)
	return v.Render("synchistory", "Sync History", page)
}
