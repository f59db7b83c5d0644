package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// version is that of every document that hosts send one another or that is
// kept on disk here.
const version = 1

// mostBody is the largest document that hosts send one another.
const mostBody = 64 << 10

var errTooLarge = errors.New("the document is larger than it may be")

// decode reads exactly one JSON document of known fields, at most mostBody
// bytes.
func decode(r io.Reader, to any) error {
	limited := &io.LimitedReader{R: r, N: mostBody + 1}
	d := json.NewDecoder(limited)
	d.DisallowUnknownFields()
	err := d.Decode(to)
	switch {
	case limited.N <= 0:
		return errTooLarge
	case err != nil:
		return fmt.Errorf("read JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		if limited.N <= 0 {
			return errTooLarge
		}
		return errors.New("read JSON: something follows the document")
	}
	return nil
}

// cut gives what another host said, on one line, at most 200 bytes.
func cut(text string) string {
	const most = 200
	if len(text) > most {
		text = text[:most] + "..."
	}
	return fmt.Sprintf("%q", text)
}
