package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
)

// Served is what Serve found out: what is to be run, or whom to connect with, if
// anything.
type Served struct {
	Argv   []string // nil: everything is done
	Root   *os.File // keep it open until Argv has run, which names its descriptor
	Socket string   // of the engine, for a session of replication: see Relay
}

// hello is the answer to a test.
type hello struct {
	Version int    `json:"version"`
	Name    string `json:"name"` // of the node that answers
	Peer    string `json:"peer"` // what it calls the one that asks
}

// Serve decides about the request of a peer, whom sshd has proven by the key
// that stands in authorized_keys with this forced command. A test it answers on
// out. What it gives to run has no shell, fixed names, and its folder as an
// open descriptor, so that nothing in the path can be exchanged meanwhile. An
// error is a refusal in one line, and is entered in the log of refusals.
func Serve(dir, peer, request string, out io.Writer) (Served, error) {
	s, err := serve(dir, peer, request, out)
	if err != nil {
		enter(dir, peer, request, err)
	}
	return s, err
}

func serve(dir, peer, request string, out io.Writer) (Served, error) {
	site, err := readSite(dir)
	if err != nil {
		return Served{}, err
	}
	host, err := NewHosts(filepath.Join(dir, "hosts.json")).Get(peer)
	if err != nil || host.Name != peer || host.Role != Node {
		return Served{}, fmt.Errorf("%s is not a trusted node any more", cut(peer))
	}
	r, err := ParseRequest(request)
	if err != nil {
		return Served{}, err
	}
	if r.Test {
		return Served{}, json.NewEncoder(out).Encode(hello{version, site.Name, peer})
	}
	if r.Session {
		if site.Replicate == "" {
			return Served{}, errors.New("no engine lets its datasets be fetched here; start it with datasets in node.yaml")
		}
		return Served{Socket: site.Replicate}, nil
	}
	for _, root := range site.Roots {
		if root.Named != r.Root && root.Real != r.Root {
			continue
		}
		f, err := openExactly(root.Real)
		if err != nil {
			return Served{}, fmt.Errorf("the dataset at %s cannot be opened: %w", r.Root, err)
		}
		argv := append([]string{site.Rsync, "--server", "--sender"}, r.Options...)
		return Served{Argv: append(argv, ".", fmt.Sprintf("/proc/self/fd/%d/", f.Fd())), Root: f}, nil
	}
	return Served{}, fmt.Errorf("%s is not a declared dataset's folder", cut(r.Root))
}

// mostRefusals bounds the log of refusals; one older one is kept.
const mostRefusals = 1 << 20

// enter writes a refusal down. That it cannot is told to nobody: the refusal
// stands, and its peer is told.
func enter(dir, peer, request string, why error) {
	path := filepath.Join(dir, "refused.log")
	if info, err := os.Lstat(path); err == nil && info.Size() > mostRefusals {
		_ = os.Rename(path, path+".1")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o640)
	if err != nil {
		return
	}
	defer f.Close()
	slog.New(slog.NewJSONHandler(f, nil)).Warn("ssh request refused", "peer", cut(peer), "request", cut(request), "error", why.Error())
}
