package replicate

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// pgFacts is what pg_dump leaves to whoever creates the database.
type pgFacts struct {
	Major    int    `json:"major"`
	Bytes    int64  `json:"-"` // of its tables
	Owner    string `json:"owner"`
	Encoding string `json:"encoding"`
	Collate  string `json:"collate"`
	CType    string `json:"ctype"`
	Provider string `json:"provider"` // c, i or b, as in pg_database
	Locale   string `json:"locale,omitempty"`
	Rules    string `json:"icu_rules,omitempty"`
	Limit    int    `json:"connection_limit"`

	Comment  string      `json:"comment,omitempty"`
	Settings []pgSetting `json:"settings,omitempty"` // ALTER DATABASE … SET
	Granted  bool        `json:"granted"`            // whether Grants are all there are; else the defaults are in force
	Grants   []pgGrant   `json:"grants,omitempty"`
}

type pgSetting struct {
	Role   string   `json:"role,omitempty"` // empty: for everybody
	Values []string `json:"values"`         // name=value
}

type pgGrant struct {
	Role      string `json:"role"` // empty: PUBLIC
	Privilege string `json:"privilege"`
	Option    bool   `json:"option,omitempty"`
}

// readPGFacts asks for the facts of the database of a connection. The row of
// pg_database is taken as it is, for its columns differ between releases.
func readPGFacts(ctx context.Context, conn *pgx.Conn, s pgServer) (pgFacts, error) {
	f := pgFacts{Major: s.major}
	var row []byte
	err := conn.QueryRow(ctx, `SELECT to_jsonb(d), pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datacl IS NOT NULL,
			COALESCE(shobj_description(d.oid, 'pg_database'), ''),
			(SELECT COALESCE(sum(pg_table_size(c.oid)), 0)::bigint FROM pg_class c WHERE c.relkind IN ('r', 'm')) + pg_table_size('pg_largeobject')
		FROM pg_database d WHERE d.datname = current_database()`).Scan(&row, &f.Owner, &f.Encoding, &f.Granted, &f.Comment, &f.Bytes)
	if err != nil {
		return f, fmt.Errorf("read how the database was made: %w", err)
	}
	var d struct {
		Collate  string `json:"datcollate"`
		CType    string `json:"datctype"`
		Provider string `json:"datlocprovider"`
		Locale   string `json:"datlocale"`    // since 17
		ICU      string `json:"daticulocale"` // 15 and 16
		Rules    string `json:"daticurules"`
		Limit    int    `json:"datconnlimit"`
	}
	if err := json.Unmarshal(row, &d); err != nil {
		return f, fmt.Errorf("read how the database was made: %w", err)
	}
	f.Collate, f.CType, f.Provider, f.Locale, f.Rules, f.Limit = d.Collate, d.CType, d.Provider, d.Locale+d.ICU, d.Rules, d.Limit
	rows, err := conn.Query(ctx, `SELECT COALESCE(r.rolname, ''), s.setconfig FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
		WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1`)
	if err == nil {
		f.Settings, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (one pgSetting, err error) {
			return one, errors.Join(err, row.Scan(&one.Role, &one.Values))
		})
	}
	if err != nil {
		return f, fmt.Errorf("read the settings of the database: %w", err)
	}
	rows, err = conn.Query(ctx, `SELECT COALESCE(r.rolname, ''), a.privilege_type, a.is_grantable
		FROM pg_database d, aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
		WHERE d.datname = current_database() ORDER BY 1, 2`)
	if err == nil {
		f.Grants, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (one pgGrant, err error) {
			return one, errors.Join(err, row.Scan(&one.Role, &one.Privilege, &one.Option))
		})
	}
	if err != nil {
		return f, fmt.Errorf("read who may use the database: %w", err)
	}
	return f, nil
}

// writeFacts puts what a source tells beside its dump.
func writeFacts(spool string, facts any) error {
	text, err := json.Marshal(facts)
	if err != nil {
		return err
	}
	if len(text) > factsMost {
		return fmt.Errorf("there is more to tell about the database than %s", size(factsMost))
	}
	return os.WriteFile(filepath.Join(spool, factsFile), text, spoolMode)
}

func readFacts(dir string, facts any) error {
	text, err := statefile.Read(filepath.Join(dir, factsFile), factsMost)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, facts); err != nil {
		return fmt.Errorf("the source's %s cannot be read: %w", factsFile, err)
	}
	return nil
}

// create gives the statement that makes an empty database with these facts.
func (f pgFacts) create(name string) string {
	s := "CREATE DATABASE " + pgName(name) + " TEMPLATE template0 OWNER " + pgName(f.Owner) + " ENCODING " + literal(f.Encoding) +
		" LC_COLLATE " + literal(f.Collate) + " LC_CTYPE " + literal(f.CType)
	switch {
	case f.Provider == "i":
		s += " LOCALE_PROVIDER icu ICU_LOCALE " + literal(f.Locale)
		if f.Rules != "" {
			s += " ICU_RULES " + literal(f.Rules)
		}
	case f.Provider == "b":
		s += " LOCALE_PROVIDER builtin BUILTIN_LOCALE " + literal(f.Locale)
	}
	return s
}

// pgPrivileges are those of a database.
var pgPrivileges = []string{"CREATE", "CONNECT", "TEMPORARY"}

// settle gives the statements that make a database what it was at its source.
// What the source tells is quoted, or one of the words above.
func (f pgFacts) settle(name string) ([]string, error) {
	db := pgName(name)
	list := []string{
		fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT %d", db, max(-1, f.Limit)),
		"COMMENT ON DATABASE " + db + " IS " + literal(f.Comment),
	}
	for _, one := range f.Settings {
		who := "ALTER DATABASE " + db
		if one.Role != "" {
			who = "ALTER ROLE " + pgName(one.Role) + " IN DATABASE " + db
		}
		for _, setting := range one.Values {
			key, value, _ := strings.Cut(setting, "=")
			text, err := settingValue(key, value)
			if err != nil {
				return nil, err
			}
			list = append(list, who+" SET "+pgx.Identifier(strings.Split(key, ".")).Sanitize()+" TO "+text)
		}
	}
	if f.Granted {
		list = append(list, "REVOKE ALL ON DATABASE "+db+" FROM PUBLIC, "+pgName(f.Owner))
	}
	for _, g := range f.Grants {
		if !slices.Contains(pgPrivileges, g.Privilege) {
			return nil, fmt.Errorf("the source grants %.40q on the database, which this release does not know", g.Privilege)
		}
		to := "PUBLIC"
		if g.Role != "" {
			to = pgName(g.Role)
		}
		s := "GRANT " + g.Privilege + " ON DATABASE " + db + " TO " + to
		if g.Option {
			s += " WITH GRANT OPTION"
		}
		list = append(list, s)
	}
	return list, nil
}

// listSettings are those whose value is a list of quoted names (PostgreSQL,
// GUC_LIST_QUOTE): as one literal it would be one name.
var listSettings = []string{
	"local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
}

func settingValue(key, value string) (string, error) {
	if !slices.Contains(listSettings, key) || value == "" {
		return literal(value), nil
	}
	r := csv.NewReader(strings.NewReader(value))
	r.TrimLeadingSpace, r.LazyQuotes = true, true
	names, err := r.Read()
	if err != nil {
		return "", fmt.Errorf("the setting %.40q of the database cannot be read: %w", key, err)
	}
	for i := range names {
		names[i] = literal(strings.TrimSpace(names[i]))
	}
	return strings.Join(names, ", "), nil
}

func pgName(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal quotes a text whatever standard_conforming_strings says.
func literal(text string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\x00", ""), "'", "''")
	if strings.Contains(text, `\`) {
		return " E'" + strings.ReplaceAll(text, `\`, `\\`) + "'"
	}
	return "'" + text + "'"
}
