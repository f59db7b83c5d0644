package haengine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// The files of data_dir.
const (
	memberFile   = "member.json"   // ha.Kept
	settingsFile = "settings.json" // Settings
	historyFile  = "history.jsonl"
	logFile      = "HighAvailability.log"
	lockFile     = "node.lock"
)

const (
	storeVersion = 1
	mostStored   = 1 << 20
	storeMode    = fs.FileMode(0o640)
)

// stored is a small file that is replaced whole: a version, a checksum, and the
// value that it is of.
type stored struct {
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"`
	Value   json.RawMessage `json:"value"`
}

// Damaged says that a file cannot be what was written there. What it held is
// never guessed.
type Damaged struct{ Path, Why string }

func (d *Damaged) Error() string { return fmt.Sprintf("%s is damaged: %s", d.Path, d.Why) }

// save replaces the file at path by a value.
func save(path string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	sum := sha256.Sum256(text)
	whole, err := json.Marshal(stored{storeVersion, hex.EncodeToString(sum[:]), text})
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return statefile.Write(path, append(whole, '\n'), storeMode)
}

// load reads a value that save has written. found is false where there is no
// file. The error is a *Damaged, or says why the file cannot be read.
func load(path string, value any) (found bool, err error) {
	text, err := statefile.Read(path, mostStored)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, statefile.ErrTooLarge):
		return false, &Damaged{path, "it is larger than it can be"}
	case err != nil:
		return false, err
	}
	var s stored
	if err := json.Unmarshal(text, &s); err != nil {
		return false, &Damaged{path, "it is not whole"}
	}
	if s.Version != storeVersion {
		return false, &Damaged{path, fmt.Sprintf("its version is %d, and this engine knows %d", s.Version, storeVersion)}
	}
	if sum := sha256.Sum256(s.Value); hex.EncodeToString(sum[:]) != s.SHA256 {
		return false, &Damaged{path, "its checksum is not that of its value"}
	}
	if err := json.Unmarshal(s.Value, value); err != nil {
		return false, &Damaged{path, "its value is not understood: " + err.Error()}
	}
	return true, nil
}

// remembers says whether an engine has run on a data_dir before.
func remembers(dir string) bool {
	for _, name := range []string{historyFile, logFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}
