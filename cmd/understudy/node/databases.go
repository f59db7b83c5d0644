package node

import (
	"fmt"

	"github.com/understudy-ha/understudy/haengine/replicate"
	"github.com/understudy-ha/understudy/internal/config"
)

// dumped gives a dataset that travels as a dump.
func dumped(d config.NodeDataset) (replicate.Dataset, error) {
	db := d.Database
	switch d.Type {
	case config.SQLiteDataset:
		return replicate.NewSQLite(d.Path, d.Databases...)
	case config.PostgresDataset:
		return replicate.NewPostgres(replicate.Postgres{
			Database: db.Name, Host: db.Host, Port: int(db.Port), User: db.User, PasswordFile: db.PasswordFile, Programs: db.Programs, Jobs: db.Jobs,
		})
	case config.MariaDBDataset:
		return replicate.NewMariaDB(replicate.MariaDB{
			Database: db.Name, Host: db.Host, Port: int(db.Port), User: db.User, PasswordFile: db.PasswordFile, Programs: db.Programs,
		})
	case config.ExecDataset:
		return replicate.NewExec(replicate.Exec{Name: d.Name, Dump: d.Commands.Dump, Restore: d.Commands.Restore, Timeout: d.Commands.Timeout})
	}
	return nil, fmt.Errorf("type %s cannot be copied", d.Type)
}
