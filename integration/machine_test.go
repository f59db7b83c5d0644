//go:build linux

package integration

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a host of a world on which systemd is PID 1, with the programs of
// the machine below it, a disk of its own that is gone with the test, its own
// host name, users' files, sshd and cgroups. What is installed there is what
// `make install` puts, and a person works there as root.
type machine struct {
	*host
	boot *process
	init string // systemd's process id, as the test sees it
	said *output
}

// boot is what the machine does before systemd: R is a folder, NAME its name.
// Its disk lies over that of the machine below, in memory.
const boot = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$R"
mkdir "$R/up" "$R/work" "$R/root"
cp -a "$LAYER/." "$R/up/"
chmod 755 "$R/up"
mount -t overlay overlay -o "lowerdir=/,upperdir=$R/up,workdir=$R/work" "$R/root"
cd "$R/root"
mount -t proc proc proc
mount -t sysfs sysfs sys -o ro
mount -t cgroup2 cgroup2 sys/fs/cgroup
for dir in run tmp dev; do mount -t tmpfs tmpfs $dir; done
rm -rf var/lib/understudy etc/understudy
sed -i /^understudy:/d etc/passwd etc/shadow etc/group etc/gshadow
for file in null zero full random urandom tty; do touch dev/$file; mount --bind /dev/$file dev/$file; done
touch dev/console
mkdir dev/shm dev/pts
mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
hostname "$NAME"
echo "$NAME" >etc/hostname
: >etc/machine-id
rm -f etc/ssh/ssh_host_* etc/systemd/system/*.wants/*
ssh-keygen -q -t ed25519 -N '' -f etc/ssh/ssh_host_ed25519_key
for unit in firstboot journal-flush modules-load networkd networkd-wait-online random-seed sysctl sysusers udev-trigger udevd update-utmp; do
	ln -sf /dev/null etc/systemd/system/systemd-$unit.service
done
for unit in dev-hugepages dev-mqueue sys-kernel-debug sys-kernel-tracing sys-kernel-config sys-fs-fuse-connections; do
	ln -sf /dev/null etc/systemd/system/$unit.mount
done
ln -sf /dev/null etc/systemd/system/modprobe@.service
cat >etc/systemd/system/story.target <<END
[Unit]
Requires=basic.target
Wants=dbus.service ssh.service systemd-user-sessions.service
After=basic.target dbus.service ssh.service systemd-user-sessions.service
END
mkdir old
pivot_root . old
umount -l old
exec env -i container=story PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --log-target=console --unit=story.target
`

// machine starts a machine with the files of a layer on its disk.
func (w *world) machine(name, address, layer string) *machine {
	w.t.Helper()
	m := &machine{host: w.host(name, address), said: new(output)}
	group := newGroup(w.t, name)
	dir := tempDir(w.t)
	cmd := m.host.command("sh", "-c", `echo $$ >"$GROUP/cgroup.procs" && exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child sh -c "$BOOT"`)
	cmd.Env = append(os.Environ(), "GROUP="+group, "BOOT="+boot, "R="+dir, "LAYER="+layer, "NAME="+name)
	cmd.Stdout, cmd.Stderr = m.said, m.said
	m.boot = run(w.t, cmd)
	return m
}

// newGroup gives a cgroup of the unified hierarchy that is gone with the test.
func newGroup(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("findmnt", "--noheadings", "--types", "cgroup2", "--options", "rw", "--output", "TARGET").Output()
	root, _, _ := strings.Cut(string(out), "\n")
	if err != nil || root == "" {
		t.Skip("no unified cgroup hierarchy that can be written: systemd cannot be PID 1 of a machine of the test")
	}
	group := filepath.Join(root, fmt.Sprintf("understudy-story-%d-%s", os.Getpid(), name))
	if err := os.Mkdir(group, 0o755); err != nil { // #nosec G301 -- a cgroup
		t.Skipf("a cgroup cannot be made: %v", err)
	}
	t.Cleanup(func() { // runs after the processes in it were killed
		within(patience, func() bool {
			_ = exec.Command("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run()
			_, err := os.Stat(group)
			return err != nil
		})
	})
	return group
}

// up waits until the machine has booted.
func (m *machine) up() {
	m.world.t.Helper()
	var last string
	if !within(4*patience, func() bool {
		if !m.boot.up() {
			return true
		}
		if m.init == "" {
			m.init = m.first()
			return false
		}
		out, _ := m.command("systemctl", "is-active", "story.target", "ssh.service", "dbus.service").CombinedOutput()
		last = string(out)
		return last == "active\nactive\nactive\n"
	}) || !m.boot.up() {
		m.world.t.Fatalf("%s has not booted; %s\n%s", m.name, last, m.said.tail(30))
	}
}

// first gives the id of the first process of the machine, once that is systemd.
func (m *machine) first() string {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", m.boot.cmd.Process.Pid))
	id := strings.TrimSpace(string(children))
	if name, _ := os.ReadFile(filepath.Join("/proc", id, "comm")); string(name) != "systemd\n" {
		return ""
	}
	return id
}

// command gives a program that will run on the machine as root.
func (m *machine) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--target", m.init, "--all", "--", name}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "LANG=C.UTF-8"}
	return cmd
}

// types has a person type a line at the machine, with an input.
func (m *machine) types(line, input string) (said string, code int) {
	m.world.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	whole := m.command("sh", "-c", line)
	cmd := exec.CommandContext(ctx, whole.Path, whole.Args[1:]...)
	cmd.Env, cmd.Stdin = whole.Env, strings.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		m.world.t.Fatalf("%s: %s: %v", m.name, line, err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// puts writes a file on the machine.
func (m *machine) puts(path, text string) {
	m.world.t.Helper()
	cmd := m.command("sh", "-c", `mkdir -p "$(dirname "$0")" && cat >"$0"`, path)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.world.t.Fatalf("%s: %s: %v: %s", m.name, path, err, out)
	}
}

// listen gives a listener of the host.
func (h *host) listen(address string) (l net.Listener, err error) {
	err = h.there(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
}

// layer gives a folder with what is installed on a machine: understudy, as make
// install does it, and an application that its unit starts.
func layer(t *testing.T) string {
	t.Helper()
	dir := tempDir(t)
	install := exec.Command("make", "-C", "..", "-o", "build", "install", "BIN="+understudy, "PREFIX=/usr", "DESTDIR="+dir)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	self := must(os.Executable())
	for _, d := range []string{"usr/local/bin", "etc/systemd/system"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil { // #nosec G301 -- as on any machine
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("cp", self, filepath.Join(dir, "usr/local/bin/app")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	write(t, filepath.Join(dir, "etc/systemd/system/app.service"), `[Unit]
Description=The application
[Service]
ExecStart=/usr/local/bin/app sample run / 9000,9443 %H
`)
	return dir
}
