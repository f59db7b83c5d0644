package portal

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/web"
	"github.com/understudy-ha/understudy/web/account"
)

// archivePage is what only this server had when a sync replaced its data.
type archivePage struct {
	Archives []nodeapi.Archive // the newest first
	Name     string            // of the node
	Fault    string
}

func (p *Portal) archives(v *web.Visit) error { return p.showArchives(v, "") }

func (p *Portal) showArchives(v *web.Visit, fault string) error {
	ctx, cancel := ask(v)
	defer cancel()
	all, err := p.node.Archives(ctx)
	if err != nil {
		return refusal("What only this server had cannot be shown", err)
	}
	slices.Reverse(all)
	v.Form = len(all) > 0 && v.May(account.Admin)
	v.Live = fault == ""
	return v.Render("archives", "What only this server had", archivePage{all, p.Name, fault})
}

// changeArchive downloads an archive or drops it. Both want an admin who has
// shown the password: the one gives the application's data away, the other ends
// them.
func (p *Portal) changeArchive(v *web.Visit) error {
	generation, err := strconv.ParseUint(v.Field("generation"), 10, 64)
	if err != nil {
		return &web.Refusal{Status: http.StatusBadRequest, What: "Nothing was done", Why: "the form names no generation", Do: "Open the page anew."}
	}
	again := func(fault string) error {
		v.Status(http.StatusUnprocessableEntity)
		return p.showArchives(v, fault)
	}
	if v.Field("do") == "download" {
		if err := v.Prove(); err != nil {
			return again(capital(err.Error()) + ".")
		}
		return p.exportArchive(v, generation)
	}
	if fault := p.sure(v); fault != "" {
		return again(fault)
	}
	ctx, cancel := ask(v)
	defer cancel()
	did := fmt.Sprintf("dropped what only this server had before generation %d", generation)
	if err := p.node.DropArchive(ctx, generation, v.Field("reason")); err != nil {
		v.Note(did, v.Field("reason"), err.Error())
		return refusal("Nothing was dropped", err)
	}
	v.Note(did, v.Field("reason"), account.Done)
	return v.Go("/maintenance/archives", fmt.Sprintf("What only this server had before generation %d is gone for good.", generation))
}

// exportArchive sends an archive as a tar file, however long that takes. What
// fails in the middle breaks the connection off, so that nobody takes half of it
// for the whole.
func (p *Portal) exportArchive(v *web.Visit, generation uint64) error {
	_ = http.NewResponseController(v.Writer).SetWriteDeadline(time.Time{})
	ctx := context.WithValue(v.Request.Context(), actorKey{}, v.Session.User)
	file := &attachment{to: v.Writer, name: fmt.Sprintf("%s-%d.tar", p.Name, generation)}
	did := fmt.Sprintf("downloaded what only this server had before generation %d", generation)
	_, err := p.node.ExportArchive(ctx, generation, file)
	if err != nil {
		v.Note(did, "", err.Error())
		if !file.begun {
			return refusal("Nothing can be downloaded", err)
		}
		p.Log.Error("a download broke off", "generation", generation, "error", err)
		panic(http.ErrAbortHandler)
	}
	v.Note(did, "", account.Done)
	return nil
}

// attachment is a file that a browser keeps; its head goes out with its first
// bytes.
type attachment struct {
	to    http.ResponseWriter
	name  string
	begun bool
}

func (a *attachment) Write(p []byte) (int, error) {
	if !a.begun {
		a.begun = true
		h := a.to.Header()
		h.Set("Content-Type", "application/x-tar")
		h.Set("Content-Disposition", `attachment; filename="`+a.name+`"`)
	}
	return a.to.Write(p)
}
