package nodeapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Archive is what only a node had when a sync replaced its data: written there
// while the other node did not fetch any more. It is kept until a person drops it.
type Archive struct {
	Generation uint64     `json:"generation"` // that replaced it
	At         time.Time  `json:"at"`
	From       string     `json:"from"`  // the node whose data replaced it
	Epoch      uint64     `json:"epoch"` // of that node
	Datasets   []Diverged `json:"datasets"`
}

// Kept names an Archive.
type Kept struct {
	Generation uint64    `json:"generation"`
	At         time.Time `json:"at"`
	From       string    `json:"from"`
}

// Own is what a node has written since it and its peer were the same.
type Own struct {
	Name     string     `json:"name"`
	Peer     string     `json:"peer"`
	Served   bool       `json:"served"` // else nothing is only here
	Datasets []Diverged `json:"datasets"`
}

// Diverged is what one node alone has of a dataset. Lists are bounded, counts are
// not.
type Diverged struct {
	Dataset string          `json:"dataset"`
	Type    string          `json:"type"`
	Said    string          `json:"said"`            // in a line
	Since   time.Time       `json:"since,omitzero"`  // both nodes were the same then; zero: not known
	Files   int64           `json:"files,omitempty"` // and links: only here, or not as they are there
	Bytes   int64           `json:"bytes,omitempty"` // in them
	Gone    int64           `json:"gone,omitempty"`  // deleted here, and still there
	Oldest  time.Time       `json:"oldest,omitzero"` // change among the files
	Newest  time.Time       `json:"newest,omitzero"`
	Latest  []DivergedFile  `json:"latest,omitempty"` // the newest first
	Tables  []DivergedTable `json:"tables,omitempty"` // that differ in their rows, those with most of their own first
	More    int             `json:"more,omitempty"`   // tables that are not listed
	Rewrote bool            `json:"rewrote,omitempty"`
	Folder  string          `json:"folder,omitempty"` // of an archive: where it is on that node
}

// DivergedFile is one file that only one node has as it is.
type DivergedFile struct {
	Path    string    `json:"path"` // odd bytes are written as escapes
	Bytes   int64     `json:"bytes"`
	Changed time.Time `json:"changed"`
	Only    bool      `json:"only,omitempty"` // the other node has none of that name
}

// DivergedTable compares the rows of a table; -1: not known.
type DivergedTable struct {
	Name  string `json:"name"`
	Here  int64  `json:"here"`
	Then  int64  `json:"then"` // when both nodes were the same
	There int64  `json:"there"`
}

// None says whether nothing is only on the node, as far as is known.
func (o Own) None() bool {
	for _, d := range o.Datasets {
		if !d.None() || d.Since.IsZero() {
			return false
		}
	}
	return true
}

// None says whether nothing is only here.
func (d Diverged) None() bool {
	return d.Files == 0 && d.Gone == 0 && len(d.Tables) == 0 && !d.Rewrote
}

// Archives lists what is kept, the oldest first.
func (c *Client) Archives(ctx context.Context) (all []Archive, err error) {
	err = c.Get(ctx, "diverged", &all)
	return all, err
}

// Own tells what a node has written since both were the same: the one that is
// asked, or its peer. That may take as long as to dump the databases.
func (c *Client) Own(ctx context.Context, peer bool) (o Own, err error) {
	path := "diverged/now"
	if peer {
		path += "?peer"
	}
	err = c.Ask(ctx, http.MethodPost, path, Request{}, &o)
	return o, err
}

// ExportArchive writes an archive to w, as a tar file.
func (c *Client) ExportArchive(ctx context.Context, generation uint64, w io.Writer) (int64, error) {
	resp, err := c.send(ctx, call{method: http.MethodPost, path: "diverged/" + strconv.FormatUint(generation, 10) + "/export", body: Request{}})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return 0, refusal(resp.StatusCode, text)
	}
	n, err := io.Copy(w, resp.Body)
	if err != nil {
		return n, fmt.Errorf("the archive has not come whole: %w", err)
	}
	return n, nil
}

// DropArchive removes an archive for good.
func (c *Client) DropArchive(ctx context.Context, generation uint64, reason string) error {
	return c.Ask(ctx, http.MethodDelete, "diverged/"+strconv.FormatUint(generation, 10), Request{Reason: reason}, nil)
}
