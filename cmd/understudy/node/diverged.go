package node

import (
	"context"
	"io"

	"github.com/understudy-ha/understudy/haengine/replicate"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// Serve notes that the application serves with the data in force.
func (p *copier) Serve() error { return p.replica.Serve() }

// Kept lists what is kept of what only this node had.
func (p *copier) Kept() (all []nodeapi.Archive, served bool) {
	s := p.replica.State()
	for _, a := range s.Archives {
		all = append(all, nodeapi.Archive{Generation: a.Generation, At: a.At, From: a.From, Epoch: a.Epoch, Datasets: diverged(a.Datasets)})
	}
	return all, s.Served
}

// Own tells what this node has written since it and the peer were the same.
func (p *copier) Own(ctx context.Context) ([]nodeapi.Diverged, error) {
	all, err := p.replica.Own(ctx, p.peer)
	return diverged(all), err
}

// Export writes an archive as a tar file.
func (p *copier) Export(ctx context.Context, generation uint64, w io.Writer) error {
	return p.replica.ExportArchive(ctx, generation, w)
}

// Drop removes an archive for good.
func (p *copier) Drop(generation uint64) error { return p.replica.DropArchive(generation) }

// diverged gives what package replicate tells as the API does.
func diverged(list []replicate.Diverged) (all []nodeapi.Diverged) {
	for _, d := range list {
		one := nodeapi.Diverged{
			Dataset: d.Dataset, Type: d.Type, Said: d.Words(), Since: d.Since, Files: d.Files, Bytes: d.Bytes, Gone: d.Gone,
			Oldest: d.Oldest, Newest: d.Newest, More: d.More, Rewrote: d.Rewrote, Folder: d.Folder,
		}
		for _, f := range d.Latest {
			one.Latest = append(one.Latest, nodeapi.DivergedFile(f))
		}
		for _, t := range d.Tables {
			one.Tables = append(one.Tables, nodeapi.DivergedTable(t))
		}
		all = append(all, one)
	}
	return all
}
