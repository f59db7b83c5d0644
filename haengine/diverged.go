package haengine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/understudy-ha/understudy/internal/api/nodeapi"
	"github.com/understudy-ha/understudy/internal/ha"
)

// Keeper keeps what only this node has when a sync replaces its data. Its methods
// may be called by several goroutines.
type Keeper interface {
	// Serve notes that the application serves with the data in force, though it
	// was started only to be looked at, or alone.
	Serve() error

	// Kept lists the archives, and says whether this node may have what its peer
	// has not. It never waits.
	Kept() (all []nodeapi.Archive, served bool)

	// Own tells what this node has written since both were the same.
	Own(ctx context.Context) ([]nodeapi.Diverged, error)

	// Export writes an archive as a tar file; nothing if there is none.
	Export(ctx context.Context, generation uint64, w io.Writer) error

	// Drop removes an archive for good.
	Drop(generation uint64) error
}

// Trying says whether the application is started to be looked at only: what it
// writes is worth nothing.
func (e *Engine) Trying() bool { return e.trying.Load() }

// Alone says whether the application serves on a node that has never been Active:
// as it did before the node had a role.
func (e *Engine) Alone() bool { return e.alone.Load() }

// startApp starts the application to serve. One that was started to be looked at,
// or alone, is taken over as it is.
func (e *Engine) startApp(task) {
	alone := e.member.Epoch == 0
	wasAlone, wasTrying := e.alone.Swap(alone) && !alone, e.trying.Swap(false)
	if (wasAlone || wasTrying) && e.Keeper != nil {
		if err := e.Keeper.Serve(); err != nil {
			e.Log.Error("what this node writes from now on may not be kept when a sync replaces it", "error", err)
		}
	}
	e.App.Start(e.member.Epoch)
}

// ownTime bounds the look at what only this node has: databases are dumped.
const ownTime = 2 * time.Hour

// divergedDoors are the paths of what only one node has.
func (c *control) divergedDoors(mux *http.ServeMux) {
	mux.HandleFunc("GET /ha/v1/diverged", c.kept(func(w http.ResponseWriter, _ *http.Request) {
		all, _ := c.Keeper.Kept()
		give(w, http.StatusOK, append([]nodeapi.Archive{}, all...))
	}))
	mux.HandleFunc("POST /ha/v1/diverged/now", c.kept(c.reads(c.own)))
	mux.HandleFunc("POST /ha/v1/diverged/{generation}/export", c.kept(c.reads(c.export))) // no GET: it gives the application's data away
	mux.HandleFunc("DELETE /ha/v1/diverged/{generation}", c.kept(c.reads(c.dropArchive)))
}

func (c *control) kept(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.Keeper == nil {
			give(w, http.StatusConflict, nodeapi.Fault{Why: NoDataset})
			return
		}
		do(w, r)
	}
}

// own tells what this node, or with ?peer its peer, has written since both were
// the same.
func (c *control) own(w http.ResponseWriter, r *http.Request, _ nodeapi.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), ownTime)
	defer cancel()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(ownTime))
	if r.URL.Query().Has("peer") {
		peer := c.peerAPI()
		if peer == nil {
			give(w, http.StatusConflict, nodeapi.Fault{Why: "the nodes do not trust one another: " + c.PeerName + " cannot be asked", Do: "Ask there: failover diverged now"})
			return
		}
		defer peer.Close()
		o, err := peer.Own(ctx, false)
		if err != nil {
			give(w, http.StatusConflict, nodeapi.Fault{Why: err.Error(), Do: "Ask on " + c.PeerName + ": failover diverged now"})
			return
		}
		give(w, http.StatusOK, o)
		return
	}
	o := nodeapi.Own{Name: c.Name, Peer: c.PeerName, Datasets: []nodeapi.Diverged{}}
	if _, o.Served = c.Keeper.Kept(); o.Served {
		all, err := c.Keeper.Own(ctx)
		if err != nil {
			give(w, http.StatusConflict, nodeapi.Fault{Why: err.Error()})
			return
		}
		o.Datasets = append(o.Datasets, all...)
	}
	give(w, http.StatusOK, o)
}

// generationOf reads the number in a path; false: it was told that it is none.
func generationOf(w http.ResponseWriter, r *http.Request) (uint64, bool) {
	n, err := strconv.ParseUint(r.PathValue("generation"), 10, 64)
	if err != nil {
		give(w, http.StatusBadRequest, nodeapi.Fault{Why: "a generation is a number", Do: "See: failover diverged"})
	}
	return n, err == nil
}

// export gives an archive as a tar file. What fails in the middle breaks the
// connection off, so that nobody takes half of it for the whole.
func (c *control) export(w http.ResponseWriter, r *http.Request, q nodeapi.Request) {
	n, ok := generationOf(w, r)
	if !ok {
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	t := &started{w: w, name: fmt.Sprintf("%s-%d.tar", c.Name, n)}
	err := c.Keeper.Export(r.Context(), n, t)
	switch {
	case err == nil:
		c.note(fmt.Sprintf("%s exports what only this node had before generation %d %s", c.who(r), n, q.Reason))
	case !t.begun:
		give(w, http.StatusConflict, nodeapi.Fault{Why: err.Error(), Do: "See: failover diverged"})
	default:
		c.Log.Error("an export broke off", "generation", n, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// started writes the headers with the first bytes.
type started struct {
	w     http.ResponseWriter
	name  string
	begun bool
}

func (s *started) Write(p []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "application/x-tar")
		s.w.Header().Set("Cache-Control", "no-store")
		s.w.Header().Set("Content-Disposition", `attachment; filename="`+s.name+`"`)
	}
	return s.w.Write(p)
}

// dropArchive removes an archive: from then on nobody has what was in it.
func (c *control) dropArchive(w http.ResponseWriter, r *http.Request, q nodeapi.Request) {
	n, ok := generationOf(w, r)
	if !ok {
		return
	}
	if err := c.Keeper.Drop(n); err != nil {
		give(w, http.StatusConflict, nodeapi.Fault{Why: err.Error(), Do: "See: failover diverged"})
		return
	}
	who := c.who(r)
	c.Log.Warn("an archive is dropped", "actor", who, "generation", n, "reason", q.Reason)
	c.note(fmt.Sprintf("%s drops what only this node had before generation %d %s", who, n, q.Reason))
	give(w, http.StatusOK, struct{}{})
}

// keptStatus fills in what a Status says of what only this node has or had.
func (e *Engine) keptStatus(d *nodeapi.Status) {
	if e.Keeper == nil {
		return
	}
	all, served := e.Keeper.Kept()
	for _, a := range all {
		d.Kept = append(d.Kept, nodeapi.Kept{Generation: a.Generation, At: a.At, From: a.From})
	}
	if d.Own = served; served && d.Enabled && (d.State == ha.Standby || d.Phase == ha.OutSuperseded) {
		d.Warnings = append(d.Warnings, fmt.Sprintf("This node has served since %s was last the same, and may have what that has not: failover diverged now. The next sync keeps it before it replaces it.", e.PeerName))
	}
}
