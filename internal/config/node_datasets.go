package config

import (
	"fmt"
	"maps"
	slashes "path"
	"path/filepath"
	"slices"
	"strings"
)

// NodeDataset is one thing that is replicated. Which keys it has depends on its
// type.
type NodeDataset struct {
	Name     string
	Type     DatasetType
	Disabled bool     // enabled: false; the other node may have it all the same
	Optional bool     // people enable and disable it while the node runs; Disabled is how it begins
	Path     string   // files: the folder
	Exclude  []string // files: patterns of what belongs to this node and never travels
	Volatile []string // files: patterns of what may change while it is copied

	Databases []string     // sqlite: the files in Path
	Database  NodeDatabase // postgres, mariadb
	Commands  NodeExec     // exec

	Certificates []string // system: certificates and keys, absolute paths
	Reload       []string // system: run when other ones are in force
}

// DatasetType is how a dataset is copied.
type DatasetType string

// FilesDataset is a tree of files.
const FilesDataset DatasetType = "files"

// datasetKeys gives, for each type, the keys it needs and those it may have
// besides name, type, enabled and optional.
var datasetKeys = map[DatasetType]struct{ needs, may []string }{
	FilesDataset:    {needs: []string{"path"}, may: []string{"exclude", "volatile"}},
	SQLiteDataset:   {needs: []string{"path", "databases"}},
	PostgresDataset: {needs: []string{"database"}, may: append([]string{"jobs"}, serverKeys...)},
	MariaDBDataset:  {needs: []string{"database"}, may: serverKeys},
	ExecDataset:     {needs: []string{"dump", "restore"}, may: []string{"timeout"}},
	SystemDataset:   {may: []string{"certificates", "reload"}},
}

// readDatasets reads the list of datasets. The order is not one of importance:
// databases are copied before files.
func (n *NodeFile) readDatasets(v value) {
	list(func(v value) {
		d, given := NodeDataset{}, map[string]bool{}
		enabled := true
		all := keys{
			"name": text(&d.Name), "type": datasetType(&d.Type), "enabled": flag(&enabled), "optional": flag(&d.Optional),
			"path": d.readPath, "exclude": texts(&d.Exclude), "volatile": texts(&d.Volatile),
		}
		maps.Copy(all, d.databaseKeys())
		for key, reads := range all {
			all[key] = func(v value) {
				given[key] = true
				reads(v)
			}
		}
		all.read(v)
		d.Disabled = !enabled
		d.check(v, given)
		d.checkDatabase(v)
		d.checkSystem(v)
		n.Datasets = append(n.Datasets, d)
	})(v)
}

// datasetType reads one of the types that there are.
func datasetType(to *DatasetType) take {
	return func(v value) {
		words := []DatasetType{}
		for word := range datasetKeys {
			words = append(words, word)
		}
		slices.Sort(words)
		choice(to, words...)(v)
	}
}

func (d *NodeDataset) readPath(v value) {
	if text(&d.Path)(v); d.Path == "" {
		return
	}
	if !filepath.IsAbs(d.Path) || filepath.Clean(d.Path) != d.Path || d.Path == "/" {
		v.fault("path must be absolute, without . or .. and not /, like /srv/app; not %s", d.Path)
	}
}

// check tells what is missing, and what the type has no use for.
func (d *NodeDataset) check(v value, given map[string]bool) {
	if d.Name == "" {
		v.fault("name is missing: what this dataset is called on both nodes")
	} else if why := CheckName(d.Name); why != "" {
		v.fault("%s", why)
	}
	known, typed := datasetKeys[d.Type]
	if !given["type"] {
		v.fault("type is missing: how the dataset %s is copied, like files", d.Name)
	}
	if !typed {
		return
	}
	for _, key := range known.needs {
		if !given[key] {
			v.fault("%s is missing: a dataset of type %s needs it", key, d.Type)
		}
	}
	for key := range given {
		if !slices.Contains(append(append([]string{"name", "type", "enabled", "optional"}, known.needs...), known.may...), key) {
			v.fault("a dataset of type %s has no %s", d.Type, key)
		}
	}
	for _, one := range append(slices.Clone(d.Exclude), d.Volatile...) {
		if one == "" || slashes.IsAbs(one) || slashes.Clean(one) != one || strings.HasPrefix(one, "..") || strings.ContainsAny(one, "[]\\\n") || strings.Contains(one, "**") {
			v.fault("%q is no pattern: it has to be a path from the dataset's folder, in which * and ? stand for letters of one name, like cache/*.tmp", one)
		}
	}
}

// checkDatasets gives what is wrong with the datasets together.
func (n *NodeFile) checkDatasets() (f Faults) {
	for i, d := range n.Datasets {
		at := fmt.Sprintf("datasets/%d", i)
		for _, other := range n.Datasets[:i] {
			switch {
			case d.Name != "" && d.Name == other.Name:
				f.Add(at+"/name", "two datasets are called %s", d.Name)
			case d.Type == SystemDataset && other.Type == SystemDataset:
				f.Add(at+"/type", "there is a dataset of type system already: %s", other.Name)
			case d.Database.Name != "" && d.Type == other.Type && d.Database.same(other.Database):
				f.Add(at+"/database", "%s is the database of the dataset %s already", d.Database.Name, other.Name)
			case d.Path != "" && other.Path != "" && (under(d.Path, other.Path) || under(other.Path, d.Path)):
				f.Add(at+"/path", "%s and %s lie in one another; each dataset has a folder of its own", d.Path, other.Path)
			}
		}
		for j, path := range d.Certificates {
			if under(path, n.DataDir) {
				f.Add(fmt.Sprintf("%s/certificates/%d", at, j), "%s is below data_dir: what belongs to this node would travel", path)
			}
		}
		if d.Path != "" && (under(n.DataDir, d.Path) || under(d.Path, n.DataDir)) {
			f.Add(at+"/path", "%s and data_dir lie in one another: what belongs to this node would travel", d.Path)
		}
	}
	if len(n.Datasets) > 0 && n.Portal.Listen == "" {
		f.Add("datasets", "datasets need portal: {listen: …} and two nodes that trust one another: the stand-by fetches them over SSH with exchanged keys")
	}
	return f
}

func under(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
