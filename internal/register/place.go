package register

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Place is where a configuration keeps the Traffic of its groups: a directory,
// or etcd.
type Place struct {
	Dir  string
	Etcd *EtcdConfig // nil: the directory
}

func (p Place) String() string {
	if p.Etcd == nil {
		return "state_dir " + p.Dir
	}
	return fmt.Sprintf("etcd at %s below %s", strings.Join(p.Etcd.Endpoints, " "), p.Etcd.Prefix)
}

// Same says whether two places are one register: the same directory, which only
// processes of one host can share, or the same prefix in an etcd that both name
// a member of.
func (p Place) Same(o Place) bool {
	if p.Etcd == nil || o.Etcd == nil {
		return p.Etcd == nil && o.Etcd == nil && filepath.Clean(p.Dir) == filepath.Clean(o.Dir)
	}
	return p.Etcd.Prefix == o.Etcd.Prefix && slices.ContainsFunc(p.Etcd.Endpoints, func(e string) bool { return slices.Contains(o.Etcd.Endpoints, e) })
}

// Astray says what is wrong where a group has been given to etcd, and a
// register in files still has a later decision of it; empty if nothing is. Both
// are below dir, as they are for a configuration that names etcd.
func Astray(ctx context.Context, dir, group string) string {
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	files, err := OpenDir(dir)
	if err != nil {
		return ""
	}
	defer func() { _ = files.Close() }()
	t, err := files.Load(ctx, group)
	if err != nil {
		return ""
	}
	copied := copies{dir: filepath.Join(dir, "etcd")}
	last, err := copied.read(group)
	if err != nil || t.Epoch <= last.Epoch {
		return ""
	}
	return fmt.Sprintf("%s keeps a decision of it too: epoch %d, %s serves, while etcd had epoch %d when this host last knew. Two registers of one group can disagree for ever; bring it over with understudy register migrate, or stop what still goes by the files",
		dir, t.Epoch, t.Serving, last.Epoch)
}
