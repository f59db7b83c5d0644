package replicate

import (
	"database/sql"
	"fmt"
)

// mostTables bounds what is kept in memory about a database.
const mostTables = 20_000

// namesOf reads rows of one text, and closes them.
func namesOf(rows *sql.Rows) ([]string, error) {
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if names = append(names, name); len(names) > mostTables {
			return nil, fmt.Errorf("there are more than %d", mostTables)
		}
	}
	return names, rows.Err()
}
