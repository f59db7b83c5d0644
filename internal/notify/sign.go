package notify

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/understudy-ha/understudy/internal/statefile"
)

// sign gives the X-Understudy-Signature of a body sent at a Unix time: the
// receiver computes HMAC-SHA256 of TIMESTAMP.BODY with the same secret, compares
// in constant time, and refuses an old timestamp.
func sign(secret []byte, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(timestamp))
	mac.Write([]byte("."))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

const secretLimit = 4 << 10

// secretFile is a secret that may be replaced while we run. What it holds is
// never shown.
type secretFile struct {
	path string
	log  *slog.Logger
	warn sync.Once // that others can read it
}

// read gives what the file holds now, without the line end.
func (s *secretFile) read() ([]byte, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return nil, fmt.Errorf("secret_file cannot be used: %w", err)
	}
	if info.Mode().Perm()&0o004 != 0 {
		s.warn.Do(func() {
			s.log.Warn("every user of this machine can read secret_file", "path", s.path, "mode", info.Mode().Perm().String())
		})
	}
	secret, err := statefile.Read(s.path, secretLimit)
	if err != nil {
		return nil, fmt.Errorf("secret_file cannot be used: %w", err)
	}
	secret = bytes.TrimRight(secret, "\r\n")
	if len(secret) == 0 {
		return nil, fmt.Errorf("secret_file %s is empty", s.path)
	}
	return secret, nil
}
