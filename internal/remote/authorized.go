package remote

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Between these lines authorized_keys is ours.
const (
	blockBegin = "# understudy begin: written by failover trusted-hosts, changes in here are lost"
	blockEnd   = "# understudy end"
)

const authorizedLimit = 1 << 20

// authorizedLines gives the lines of authorized_keys for the nodes among hosts:
// each key may do what the forced command lets it do, from its node's
// addresses, and nothing else. sshd compares addresses, not names (sshd_config,
// UseDNS), so names are looked up; a node of which no address is found has no
// line, and is in the error.
func (t *Trust) authorizedLines(hosts []Host) (lines []string, unresolved error) {
	for _, h := range hosts {
		if h.Role != Node {
			continue
		}
		from, err := t.addresses(h.Addresses)
		if err != nil {
			unresolved = errors.Join(unresolved, fmt.Errorf("%s cannot call this node over SSH: %w; when the name can be looked up: failover trusted-hosts apply", h.Name, err))
		}
		if len(from) == 0 {
			continue
		}
		command := t.site.SSH.Program + " ssh-serve --peer " + h.Name
		if t.dir != Dir(DefaultDataDir) {
			command += " --trust " + t.dir
		}
		lines = append(lines, fmt.Sprintf(`restrict,from="%s",command="%s" %s %s`, strings.Join(from, ","), command, h.SSH.UserKey, h.Name))
	}
	return lines, unresolved
}

// DefaultDataDir is a node's data_dir where its configuration names none.
const DefaultDataDir = "/var/lib/understudy"

// addresses gives the addresses of addresses and names, each once. With an
// error it gives those that were found.
func (t *Trust) addresses(hosts []string) (found []string, err error) {
	for _, host := range hosts {
		if a, parsed := netip.ParseAddr(host); parsed == nil {
			found = append(found, a.Unmap().String())
			continue
		}
		ips, lookup := t.resolve(host)
		if lookup != nil || len(ips) == 0 {
			err = errors.Join(err, fmt.Errorf("no address is known of %s", host))
		}
		for _, ip := range ips {
			if a, ok := netip.AddrFromSlice(ip); ok {
				found = append(found, a.Unmap().String())
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), err
}

// replaceBlock makes lines our block in the authorized_keys at path. All other
// bytes, mode and owner stay; a new file has mode 0600 and the owner of its
// directory. It refuses a file in which one of the keys stands outside our
// block too: sshd would take that line, which restricts nothing.
func replaceBlock(path string, lines []string) error {
	dir, err := openKeyDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := filepath.Base(path)
	old, info, err := readKeys(dir, name)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	text, err := withBlock(old, lines)
	switch {
	case err != nil:
		return fmt.Errorf("%s is left as it is: %w", path, err)
	case bytes.Equal(text, old):
		return nil
	}
	if err := writeKeys(dir, name, text, info); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// openKeyDir opens, or makes, the directory of authorized_keys. A link in its
// place is refused: root must not be led elsewhere by the user who owns it.
func openKeyDir(path string) (*os.Root, error) {
	err := os.Mkdir(path, 0o700)
	if err == nil {
		err = own(path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	dir, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	named, err := os.Lstat(path)
	if err != nil {
		dir.Close()
		return nil, err
	}
	if open, err := dir.Stat("."); err != nil || !os.SameFile(named, open) {
		dir.Close()
		return nil, fmt.Errorf("%s is a link: the folder of authorized_keys must be a real one", path)
	}
	return dir, nil
}

// readKeys gives what a file holds, nothing with a nil info if it is missing.
func readKeys(dir *os.Root, name string) ([]byte, fs.FileInfo, error) {
	named, err := dir.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	case !named.Mode().IsRegular():
		return nil, nil, errors.New("it is not a regular file")
	}
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case !os.SameFile(named, info): // a Root follows links within it
		return nil, nil, errors.New("it is exchanged while it is read")
	case info.Size() > authorizedLimit:
		return nil, nil, errors.New("it is larger than it may be")
	}
	text, err := io.ReadAll(io.LimitReader(f, authorizedLimit))
	return text, info, err
}

// writeKeys replaces a file by way of a new one beside it, durably.
func writeKeys(dir *os.Root, name string, text []byte, old fs.FileInfo) error {
	temp := name + ".understudy-" + rand.Text()
	f, err := dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fillKeys(dir, f, text, old); err != nil {
		return errors.Join(err, dir.Remove(temp))
	}
	if err := dir.Rename(temp, name); err != nil {
		return errors.Join(err, dir.Remove(temp))
	}
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func fillKeys(dir *os.Root, f *os.File, text []byte, old fs.FileInfo) error {
	if _, err := f.Write(text); err != nil {
		return err
	}
	mode, like := fs.FileMode(0o600), old
	if old == nil {
		info, err := dir.Stat(".")
		if err != nil {
			return err
		}
		like = info
	} else {
		mode = old.Mode().Perm()
	}
	uid, gid := owner(like)
	if now, err := f.Stat(); err != nil {
		return err
	} else if u, g := owner(now); u != uid || g != gid {
		if err := f.Chown(uid, gid); err != nil {
			return err
		}
	}
	return errors.Join(f.Chmod(mode), f.Sync())
}

// withBlock gives text with lines as our block: where it stood, else at the end;
// without lines there is none.
func withBlock(text []byte, lines []string) ([]byte, error) {
	before, after, found, err := aroundBlock(string(text))
	if err != nil {
		return nil, err
	}
	for n, line := range strings.Split(before+after, "\n") {
		for _, ours := range lines {
			key := strings.Fields(ours[strings.LastIndex(ours, `" `)+2:])[1]
			if strings.Contains(line, key) && !strings.HasPrefix(strings.TrimSpace(line), "#") {
				return nil, fmt.Errorf("without our block, its line %d has the key of a trusted host too, and sshd may take that line, which lets the host do anything: remove the line, then: failover trusted-hosts apply", n+1)
			}
		}
	}
	if len(lines) == 0 {
		return []byte(before + after), nil
	}
	if !found && before != "" && !strings.HasSuffix(before, "\n") {
		before += "\n"
	}
	return []byte(before + blockBegin + "\n" + strings.Join(lines, "\n") + "\n" + blockEnd + "\n" + after), nil
}

// aroundBlock gives what stands before and after our block.
func aroundBlock(text string) (before, after string, found bool, err error) {
	begin, end := strings.Count(text, blockBegin), strings.Count(text, blockEnd)
	switch {
	case begin == 0 && end == 0:
		return text, "", false, nil
	case begin != 1 || end != 1 || strings.Index(text, blockEnd) < strings.Index(text, blockBegin):
		return "", "", false, fmt.Errorf("our block does not have one beginning and one end; remove every line from %q to %q, then: failover trusted-hosts apply", blockBegin, blockEnd)
	}
	before, rest, _ := strings.Cut(text, blockBegin)
	_, after, _ = strings.Cut(rest, blockEnd)
	return before, strings.TrimPrefix(after, "\n"), true, nil
}
