package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var files embed.FS

// names gives each file's name with its hash in it, so that browsers may keep
// it for ever; assets gives the file back.
var names, assets = fingerprint()

func fingerprint() (names map[string]string, assets map[string][]byte) {
	names, assets = map[string]string{}, map[string][]byte{}
	all, _ := fs.Glob(files, "static/*") // the pattern is good
	for _, file := range all {
		text, _ := files.ReadFile(file) // it is there
		sum := sha256.Sum256(text)
		name, ext := path.Base(file), path.Ext(file)
		hashed := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:])[:12] + ext
		names[name], assets[hashed] = hashed, text
	}
	return names, assets
}

var kinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func static(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	text, ok := assets[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kinds[path.Ext(name)])
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(text)
}
