package replicate

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"
)

// ReportFile is the first member of an exported archive.
const ReportFile = "report.json"

// ExportArchive writes an archive to w as a tar file: a report, then a folder for
// each dataset, with the files that only this node had, or its dump.
func (r *Replica) ExportArchive(ctx context.Context, generation uint64, w io.Writer) error {
	a, err := r.archive(generation)
	if err != nil {
		return err
	}
	report, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	err = t.WriteHeader(&tar.Header{Name: ReportFile, Mode: 0o600, Size: int64(len(report)), ModTime: a.At, Format: tar.FormatPAX})
	if err == nil {
		_, err = t.Write(report)
	}
	for _, d := range a.Datasets {
		if err == nil {
			err = exportFolder(ctx, t, d)
		}
	}
	if err != nil {
		return fmt.Errorf("export the archive of generation %d: %w", generation, err)
	}
	return t.Close()
}

func exportFolder(ctx context.Context, t *tar.Writer, d Diverged) error {
	root, err := os.OpenRoot(d.Folder)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(at string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return exportOne(t, root, at, path.Join(d.Dataset, at), e)
	})
}

// exportOne writes one file, folder or link, with attributes and access lists.
// Owners are numbers: names of users belong to a machine.
func exportOne(t *tar.Writer, root *os.Root, at, name string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	leads := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if leads, err = root.Readlink(at); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, leads)
	if err != nil {
		return err
	}
	h.Name, h.Uname, h.Gname, h.Format = name, "", "", tar.FormatPAX
	h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
	if info.IsDir() {
		h.Name += "/"
	}
	if !info.Mode().IsRegular() { // only files bring theirs: folders were made for the archive
		return orAt(at, t.WriteHeader(h))
	}
	f, err := root.Open(at)
	if err != nil {
		return err
	}
	defer f.Close()
	attributes, err := attributesOf(f)
	if err == nil {
		h.PAXRecords, err = paxOf(attributes)
	}
	if err == nil {
		err = t.WriteHeader(h)
	}
	if err != nil {
		return orAt(at, err)
	}
	_, err = io.CopyN(t, f, info.Size())
	return errors.Join(err)
}

// orAt adds to an error at which file it was.
func orAt(at string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", quoted(at), err)
	}
	return nil
}
