package config

import (
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The types of databases, and of commands of one's own.
const (
	SQLiteDataset   DatasetType = "sqlite"
	PostgresDataset DatasetType = "postgres"
	MariaDBDataset  DatasetType = "mariadb"
	ExecDataset     DatasetType = "exec"
)

// SystemDataset is the portal's local users, and certificates.
const SystemDataset DatasetType = "system"

// checkSystem tells what is wrong with the certificates of a dataset. Keys of the
// machine itself never travel.
func (d *NodeDataset) checkSystem(v value) {
	for i, path := range d.Certificates {
		switch {
		case !filepath.IsAbs(path) || filepath.Clean(path) != path:
			v.fault("certificates are absolute paths, like /etc/ssl/private/app.pem; not %q", short(path))
		case slices.Contains(d.Certificates[:i], path):
			v.fault("the certificate %s is named twice", path)
		case under(path, "/etc/ssh"):
			v.fault("%s belongs to this machine: host keys of ssh never travel", path)
		}
	}
	if len(d.Certificates) > mostCertificates {
		v.fault("there are %d certificates, and at most %d may be named", len(d.Certificates), mostCertificates)
	}
	if len(d.Reload) > 0 && len(d.Certificates) == 0 {
		v.fault("reload has nothing to tell: name certificates")
	}
}

const mostCertificates = 100

// NodeDatabase is a database of a server on this machine. What is empty or 0 is
// what such a server has by itself.
type NodeDatabase struct {
	Name         string
	Host         string // the server's socket (of PostgreSQL its folder), or a loopback address
	Port         uint16
	User         string
	PasswordFile string
	Programs     string // the folder of the server's own tools
	Jobs         int    // postgres: how many tables are dumped and restored at once
}

// NodeExec is how something is copied by commands of one's own: argument lists,
// no shell.
type NodeExec struct {
	Dump, Restore []string
	Timeout       time.Duration // of each; 0: an hour
}

// serverKeys are those that a database of a server may have.
var serverKeys = []string{"host", "port", "user", "password_file", "programs"}

func (d *NodeDataset) databaseKeys() keys {
	return keys{
		"databases": texts(&d.Databases), "database": text(&d.Database.Name), "host": text(&d.Database.Host), "port": port(&d.Database.Port),
		"user": text(&d.Database.User), "password_file": file(&d.Database.PasswordFile), "programs": directory(&d.Database.Programs), "jobs": count(&d.Database.Jobs),
		"certificates": texts(&d.Certificates), "reload": texts(&d.Reload),
		"dump": texts(&d.Commands.Dump), "restore": texts(&d.Commands.Restore), "timeout": duration(&d.Commands.Timeout),
	}
}

// databaseName is what every tool takes for a name, with room for what
// generations add.
var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,39}$`)

// serversOwn are the databases that no application has.
var serversOwn = map[DatasetType][]string{
	PostgresDataset: {"postgres", "template0", "template1"},
	MariaDBDataset:  {"mysql", "information_schema", "performance_schema", "sys"},
}

// checkDatabase tells what is wrong with the keys of databases and commands.
func (d *NodeDataset) checkDatabase(v value) {
	db := d.Database
	switch {
	case db.Name == "":
	case !databaseName.MatchString(db.Name):
		v.fault("database %q must begin with a letter and have at most 40 letters, digits, _ and -", short(db.Name))
	case slices.Contains(serversOwn[d.Type], strings.ToLower(db.Name)):
		v.fault("database %s belongs to the server: give the application one of its own", db.Name)
	}
	if address, err := netip.ParseAddr(db.Host); db.Host != "" && db.Host != "localhost" && !filepath.IsAbs(db.Host) && (err != nil || !address.IsLoopback()) {
		v.fault("host %q is not on this machine: it is the server's socket or a loopback address, for a node copies its own database", short(db.Host))
	}
	if db.Jobs > 64 {
		v.fault("jobs must be a number from 1 to 64, not %d", db.Jobs)
	}
	for i, name := range d.Databases {
		if name != filepath.Base(name) || strings.HasPrefix(name, ".") || slices.Contains(d.Databases[:i], name) {
			v.fault("databases are names of files in path, each once; not %q", short(name))
		}
	}
	if d.Type == SQLiteDataset && d.Databases != nil && len(d.Databases) == 0 {
		v.fault("databases is empty")
	}
}

// same says whether two datasets would copy the same database.
func (d NodeDatabase) same(other NodeDatabase) bool {
	return d.Name == other.Name && d.Host == other.Host && d.Port == other.Port
}
