package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

// devices is what the demo's application keeps: a list of devices in SQLite, in
// a folder that holds nothing else. Package replicate brings the driver.
type devices struct{ db *sql.DB }

const deviceFile = "devices.db"

// deviceDir is the folder of a node's devices.
func deviceDir(dir string) string { return filepath.Join(dir, "devices") }

// openDevices opens the list, and makes it where there is none. The node's folder
// it does not make: the demo may be over by then, and has removed it.
func openDevices(dir string) (devices, error) {
	if err := os.Mkdir(deviceDir(dir), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return devices{}, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(deviceDir(dir), deviceFile)+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)")
	if err == nil {
		_, err = db.Exec("CREATE TABLE IF NOT EXISTS devices (id INTEGER PRIMARY KEY, added TEXT DEFAULT CURRENT_TIMESTAMP)")
	}
	return devices{db}, err
}

// ServeHTTP adds the device of a POST /devices?id=N, and lists them all. 201 says
// that a device is on the disk.
func (d devices) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		id, err := strconv.ParseInt(r.FormValue("id"), 10, 64)
		if err == nil {
			_, err = d.db.ExecContext(r.Context(), "INSERT INTO devices (id) VALUES (?)", id)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusCreated)
		return
	}
	rows, err := d.db.QueryContext(r.Context(), "SELECT id FROM devices ORDER BY id")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err == nil {
			_, _ = fmt.Fprintln(w, id)
		}
	}
}

// countDevices gives how many there are, whether the application runs or not.
func countDevices(dir string) (n int64, err error) {
	file := filepath.Join(deviceDir(dir), deviceFile)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()
	return n, db.QueryRow("SELECT count(*) FROM devices").Scan(&n)
}

// listed asks for the devices, in the way of the clients.
func (d *demo) listed(ctx context.Context) (ids map[int]bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.site+"devices", nil)
	if err != nil {
		return nil, err
	}
	answer, err := d.load.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	ids = map[int]bool{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		id, err := strconv.Atoi(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("the list of devices has %.40q", lines.Text())
		}
		ids[id] = true
	}
	return ids, nil
}
