package replicate

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Remote is how the source is called over ssh: the arguments of the system's
// ssh, with pinned keys, and the address. Nothing in them has a space or a
// quote.
type Remote struct {
	SSH     string // the program; empty: ssh
	Args    []string
	Address string
}

func (r Remote) program() string {
	if r.SSH == "" {
		return "ssh"
	}
	return r.SSH
}

// plainEnv is the environment of what a sync runs.
var plainEnv = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}

// fetch is one run of rsync: a folder of the source into a staging folder.
type fetch struct {
	remote   Remote
	from, to string   // folders
	like     []string // folders whose files are taken where they are equal
	exclude  patterns
	owners   bool
	holes    bool // keep them
	contents bool // compare contents, not only sizes and times
	plain    bool // a dump: neither owners, attributes nor links matter
	progress func(done transferred)
}

// transferred is what rsync tells while it runs.
type transferred struct {
	bytes   int64
	percent int
	files   int64
	left    time.Duration
}

// args gives rsync's. Files are compared by the nanosecond, for one that changed
// in the same second and kept its size is a change too. Deletion is no option:
// the folder is new, so what is not there is gone.
func (f fetch) args() []string {
	a := []string{"-rlpt", "-H", "-A", "-X", "--numeric-ids", "--one-file-system", "--modify-window=-1"}
	switch {
	case f.plain:
		a = []string{"-rt", "--modify-window=-1", "--chmod=D0750,F0640"}
	case f.owners:
		a[0] = "-rlptgo"
	}
	if f.holes {
		a = append(a, "--sparse")
	}
	if f.contents {
		a = append(a, "--checksum")
	}
	a = append(a, "--no-whole-file", "--partial", "--timeout=60", "--info=progress2", "--no-inc-recursive")
	for _, dir := range f.like {
		a = append(a, "--link-dest="+dir)
	}
	for _, p := range f.exclude {
		a = append(a, "--filter=- /"+p)
	}
	shell := strings.Join(append([]string{f.remote.program()}, f.remote.Args...), " ")
	address := f.remote.Address
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	return append(a, "--rsh="+shell, "--", address+":"+f.from+"/", f.to+"/")
}

// errVanished says that files were gone when rsync came to them.
var errVanished = errors.New("files vanished while they were copied")

// fullDisk is the error of a file system that is full.
type fullDisk struct{ said string }

func (f *fullDisk) Error() string { return "no room was left: " + f.said }

// run runs rsync to its end, or until ctx ends.
func (f fetch) run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "rsync", f.args()...) // #nosec G204 -- an argument list of our own
	said := &bounded{}
	cmd.Env, cmd.Stderr, cmd.WaitDelay = plainEnv, said, 5*time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the kernel kills the child when the thread that started it ends
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return errors.New("this machine has no rsync: install it")
		}
		return fmt.Errorf("run rsync: %w", err)
	}
	f.listen(out)
	err = cmd.Wait()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return ended(cmd.ProcessState.ExitCode(), said.String(), err)
}

// ended says what an exit code of rsync means (rsync(1), EXIT VALUES).
func ended(code int, said string, err error) error {
	first := firstLine(said)
	switch {
	case strings.Contains(said, "No space left on device"), strings.Contains(said, "Disk quota exceeded"):
		return &fullDisk{first}
	case code == 24, code == 23 && onlyVanished(said):
		return errVanished
	case code == 11:
		return fmt.Errorf("rsync cannot read or write: %s", first)
	case code == 23:
		return fmt.Errorf("rsync could not copy everything: %s; the ssh user of the source has to be able to read the whole tree", first)
	case code == 12, code == 30, code == 35, code == 255, code == 5, code == 10:
		return fmt.Errorf("the connection to the source ended: %s", first)
	case first == "":
		return fmt.Errorf("rsync: %w", err)
	}
	return fmt.Errorf("rsync: %s", first)
}

// onlyVanished says whether all that rsync complains of are files that were gone
// when it came to them: if one goes before its access list is read, that is an
// error like any other to rsync. What arrived is compared with the source in any
// case.
func onlyVanished(said string) bool {
	gone := false
	for line := range strings.Lines(said) {
		switch line = strings.TrimRight(line, "\r\n"); {
		case strings.HasPrefix(line, "file has vanished: "), strings.HasSuffix(line, ": No such file or directory (2)"):
			gone = true
		case line == "", strings.HasPrefix(line, "rsync error: "), strings.HasPrefix(line, "rsync warning: "):
		default:
			return false
		}
	}
	return gone
}

// firstLine gives the first thing that a program said, for people.
func firstLine(said string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	if line == "" {
		return "it said nothing"
	}
	return quoted(line)
}

// progressLine is one of --info=progress2: bytes, part, rate, time, files.
var progressLine = regexp.MustCompile(`^\s*([0-9,]+)\s+([0-9]+)%\s+\S+\s+([0-9]+):([0-9]{2}):([0-9]{2})(?:\s+\(xfr#([0-9]+),)?`)

func (f fetch) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Split(func(data []byte, end bool) (int, []byte, error) {
		if i := bytes.IndexAny(data, "\r\n"); i >= 0 {
			return i + 1, data[:i], nil
		}
		if end || len(data) > 4<<10 {
			return len(data), nil, nil
		}
		return 0, nil, nil
	})
	for lines.Scan() {
		m := progressLine.FindStringSubmatch(lines.Text())
		if m == nil || f.progress == nil {
			continue
		}
		var n [6]int64
		for i, text := range m[1:] {
			n[i], _ = strconv.ParseInt(strings.ReplaceAll(text, ",", ""), 10, 64)
		}
		f.progress(transferred{bytes: n[0], percent: int(n[1]), files: n[5], left: time.Duration(n[2]*3600+n[3]*60+n[4]) * time.Second})
	}
	_, _ = io.Copy(io.Discard, out)
}

// bounded keeps the beginning of what is written to it. It embeds no buffer: its
// ReadFrom would go past the bound.
type bounded struct{ text []byte }

func (b *bounded) Write(p []byte) (int, error) {
	if room := 8<<10 - len(b.text); room > 0 {
		b.text = append(b.text, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (b *bounded) String() string { return string(b.text) }
