package replicate

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// object is what a schema has besides tables.
type object struct {
	Kind      string `json:"kind"` // as in DROP
	Name      string `json:"name"`
	Statement []byte `json:"statement"` // makes it, in the character set Client
	Mode      string `json:"sql_mode"`
	Client    string `json:"character_set_client"`
	Collation string `json:"collation_connection"`
	Schema    string `json:"database_collation"` // that was in force when it was made
	Zone      string `json:"time_zone,omitempty"`
}

// The kinds, in the order in which they are made: views and triggers may use
// functions.
const (
	kindFunction  = "FUNCTION"
	kindProcedure = "PROCEDURE"
	kindPackage   = "PACKAGE"
	kindBody      = "PACKAGE BODY"
	kindView      = "VIEW"
	kindTrigger   = "TRIGGER"
	kindEvent     = "EVENT"
)

// objectQueries list the objects of a schema in the order in which they are
// made.
var objectQueries = []string{
	"SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ? ORDER BY FIELD(ROUTINE_TYPE, 'FUNCTION', 'PROCEDURE', 'PACKAGE', 'PACKAGE BODY'), 2",
	"SELECT 'VIEW', TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ? ORDER BY 2",
	"SELECT 'TRIGGER', TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ? ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER",
	"SELECT 'EVENT', EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ? ORDER BY 2",
}

// objects reads what a schema has besides tables.
func objects(ctx context.Context, conn *sql.Conn, schema string) ([]object, error) {
	var all []object
	for _, query := range objectQueries {
		rows, err := conn.QueryContext(ctx, query, schema)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var o object
			if err := rows.Scan(&o.Kind, &o.Name); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			all = append(all, o)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	// Names are shown without the schema that is in use, and texts in the character
	// set that they were written in.
	for _, s := range []string{"USE " + ident(schema), "SET SESSION character_set_results = binary"} {
		if err := exec1(ctx, conn, s); err != nil {
			return nil, err
		}
	}
	for i := range all {
		err := all[i].read(ctx, conn)
		if err != nil {
			return nil, fmt.Errorf("read %s %.80q: %w", strings.ToLower(all[i].Kind), all[i].Name, err)
		}
	}
	return all, exec1(ctx, conn, "SET NAMES utf8mb4")
}

// read asks the server how an object is made.
func (o *object) read(ctx context.Context, conn *sql.Conn) error {
	if o.Kind == kindTrigger {
		return o.readTrigger(ctx, conn)
	}
	rows, err := conn.QueryContext(ctx, "SHOW CREATE "+o.Kind+" "+ident(o.Name))
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]sql.RawBytes, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if !rows.Next() {
		return errors.Join(rows.Err(), errors.New("it is gone"))
	}
	if err := rows.Scan(into...); err != nil {
		return err
	}
	for i, column := range columns {
		text := string(values[i])
		switch {
		case strings.HasPrefix(column, "Create "):
			o.Statement = []byte(text)
		case column == "sql_mode":
			o.Mode = text
		case column == "character_set_client":
			o.Client = text
		case column == "collation_connection":
			o.Collation = text
		case column == "Database Collation":
			o.Schema = text
		case column == "time_zone":
			o.Zone = text
		}
	}
	if len(o.Statement) == 0 {
		return errors.New("the server does not show it: the engine's user needs to be its definer, or SELECT on mysql.proc and SHOW VIEW")
	}
	return rows.Err()
}

// readTrigger puts a trigger together: what the server shows is what somebody
// has once typed, maybe with the schema's name.
func (o *object) readTrigger(ctx context.Context, conn *sql.Conn) error {
	var timing, event, table, body, definer string
	err := conn.QueryRowContext(ctx, `SELECT ACTION_TIMING, EVENT_MANIPULATION, EVENT_OBJECT_TABLE, ACTION_STATEMENT, DEFINER, SQL_MODE, COLLATION_CONNECTION, DATABASE_COLLATION
		FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME = ?`, o.Name).Scan(&timing, &event, &table, &body, &definer, &o.Mode, &o.Collation, &o.Schema)
	if err != nil {
		return err
	}
	user, host := definer, ""
	if at := strings.LastIndexByte(definer, '@'); at >= 0 {
		user, host = definer[:at], definer[at+1:]
	}
	by := ident(user)
	if host != "" {
		by += "@" + ident(host)
	}
	o.Client = "utf8mb4"
	o.Statement = []byte("CREATE DEFINER=" + by + " TRIGGER " + ident(o.Name) + " " + timing + " " + event + " ON " + ident(table) + " FOR EACH ROW " + body)
	return nil
}

// kinds are those that may be dropped and made.
var kinds = map[string]bool{kindFunction: true, kindProcedure: true, kindPackage: true, kindBody: true, kindView: true, kindTrigger: true, kindEvent: true}

// makeObjects makes objects in a schema, in place of those of the same name, and
// gives it its collation. A view may need another one: what fails is tried again
// as long as something else succeeds.
func makeObjects(ctx context.Context, conn *sql.Conn, schema, collation string, list []object) error {
	if err := exec1(ctx, conn, "USE "+ident(schema)); err != nil {
		return err
	}
	for len(list) > 0 {
		var failed []object
		var why error
		for _, o := range list {
			if err := o.make(ctx, conn, schema); err != nil {
				failed, why = append(failed, o), fmt.Errorf("make %s %.80q: %w", strings.ToLower(o.Kind), o.Name, err)
			}
		}
		if len(failed) == len(list) || ctx.Err() != nil {
			return why
		}
		list = failed
	}
	for _, s := range []string{"SET NAMES utf8mb4", "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'", "ALTER DATABASE " + ident(schema) + " COLLATE " + ident(collation)} {
		if err := exec1(ctx, conn, s); err != nil {
			return err
		}
	}
	return nil
}

func (o object) make(ctx context.Context, conn *sql.Conn, schema string) error {
	if !kinds[o.Kind] {
		return fmt.Errorf("this release does not know %.40q", o.Kind)
	}
	set := []string{"SET NAMES utf8mb4", "DROP " + o.Kind + " IF EXISTS " + ident(o.Name)}
	if o.Schema != "" {
		set = append(set, "ALTER DATABASE "+ident(schema)+" COLLATE "+ident(o.Schema))
	}
	for _, s := range set {
		if err := exec1(ctx, conn, s); err != nil {
			return err
		}
	}
	zone := o.Zone
	if zone == "" {
		zone = "SYSTEM"
	}
	// The last of them decides how the text is read that follows.
	if err := exec1(ctx, conn, "SET SESSION sql_mode = ?, time_zone = ?, collation_connection = ?, character_set_client = ?", o.Mode, zone, o.Collation, o.Client); err != nil {
		return err
	}
	_, err := conn.ExecContext(ctx, string(o.Statement))
	return err
}

// dropObjects takes away what a schema has besides tables.
func dropObjects(ctx context.Context, conn *sql.Conn, schema string, list []object) error {
	for _, o := range list {
		if err := exec1(ctx, conn, "DROP "+o.Kind+" IF EXISTS "+ident(schema)+"."+ident(o.Name)); err != nil {
			return err
		}
	}
	return nil
}

// objectTable keeps a schema's objects while they are not there.
const objectTable = "understudy_objects"

// kept is its only row.
type kept struct {
	Collation string   `json:"collation"`
	Objects   []object `json:"objects"`
}

// keepObjects writes them into a schema, unless they are there already: an
// interrupted switch may have taken some away since.
func keepObjects(ctx context.Context, conn *sql.Conn, schema string, k kept) error {
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	table := ident(schema) + "." + ident(objectTable)
	if err := exec1(ctx, conn, "CREATE TABLE IF NOT EXISTS "+table+" (one TINYINT PRIMARY KEY, kept LONGBLOB NOT NULL) ENGINE=InnoDB"); err != nil {
		return err
	}
	return exec1(ctx, conn, "INSERT IGNORE INTO "+table+" VALUES (1, ?)", text)
}

// keptObjects reads them. found is false where there are none.
func keptObjects(ctx context.Context, conn *sql.Conn, schema string) (k kept, found bool, err error) {
	var text []byte
	err = conn.QueryRowContext(ctx, "SELECT kept FROM "+ident(schema)+"."+ident(objectTable)).Scan(&text)
	switch {
	case errors.Is(err, sql.ErrNoRows), isMaria(err, 1049), isMaria(err, 1146): // no such database, no such table
		return k, false, nil
	case err != nil:
		return k, false, err
	}
	return k, true, json.Unmarshal(text, &k)
}
