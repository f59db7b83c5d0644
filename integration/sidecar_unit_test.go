//go:build linux

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// installed runs make install with the binary under test and gives the prefix.
func installed(t *testing.T) string {
	t.Helper()
	prefix := filepath.Join(tempDir(t), "usr")
	cmd := exec.Command("make", "-C", "..", "-o", "build", "install", "BIN="+understudy, "PREFIX="+prefix, "DESTDIR=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	return prefix
}

func TestInstallPutsTheBinaryAndTheUnits(t *testing.T) {
	t.Parallel()
	prefix := installed(t)
	out, err := exec.Command(filepath.Join(prefix, "bin", "understudy"), "version").CombinedOutput()
	if err != nil {
		t.Errorf("the installed binary: %v\n%s", err, out)
	}
	if to, err := os.Readlink(filepath.Join(prefix, "bin", "failover")); err != nil || to != "understudy" {
		t.Errorf("failover leads to %q, %v", to, err)
	}
	if info, err := os.Stat(filepath.Join(prefix, "lib", "understudy", "keepalived-check")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the check script: %v", err)
	}
	if text := read(t, filepath.Join(prefix, "share", "man", "man1", "understudy-status.1")); !strings.Contains(text, ".TH") {
		t.Errorf("the manual page of status: %q", text)
	}
	if text := read(t, filepath.Join(prefix, "lib", "sysusers.d", "understudy.conf")); !strings.HasPrefix(text, "u understudy ") {
		t.Errorf("sysusers: %q", text)
	}
	for _, unit := range units(t, prefix) {
		text := read(t, unit)
		if !strings.Contains(text, "ExecStart="+prefix+"/bin/understudy ") || strings.Contains(text, "@BINDIR@") {
			t.Errorf("%s does not name the installed binary:\n%s", unit, text)
		}
	}
}

// A trusted node calls the user of the package over SSH: sshd needs a shell to
// start the forced command, and takes no key from a home that a group can write
// to, such as that of people who may use the socket.
func TestATrustedNodeCanCallTheUserOfThePackage(t *testing.T) {
	t.Parallel()
	prefix := installed(t)
	var user []string
	for line := range strings.Lines(read(t, filepath.Join(prefix, "lib", "sysusers.d", "understudy.conf"))) {
		if strings.HasPrefix(line, "u ") {
			user = strings.Fields(line)
		}
	}
	home, shell := user[len(user)-2], user[len(user)-1]
	if shell != "/bin/sh" {
		t.Errorf("its shell is %q", shell)
	}
	unit := read(t, filepath.Join(prefix, "lib", "systemd", "system", "understudy-node.service"))
	if !strings.Contains(unit, "\nStateDirectory="+filepath.Base(home)+"\nStateDirectoryMode=2750\n") {
		t.Errorf("%s is not the state directory, or a group can write to it:\n%s", home, unit)
	}
}

func units(t *testing.T, prefix string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(prefix, "lib", "systemd", "system", "*.service"))
	if err != nil || len(all) < 2 {
		t.Fatalf("the units are %q, %v", all, err)
	}
	return all
}

// What every unit of ours keeps from the process.
var walls = []string{
	"Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "PrivateDevices=yes",
	"ProtectKernelModules=yes", "ProtectKernelTunables=yes", "ProtectControlGroups=yes", "RestrictNamespaces=yes",
	"MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service", "User=understudy", "StateDirectory=understudy",
}

func TestTheUnitsAreSoundAndHardened(t *testing.T) {
	t.Parallel()
	all := units(t, installed(t))
	for _, unit := range all {
		text := read(t, unit)
		for _, line := range walls {
			if !strings.Contains(text, "\n"+line) {
				t.Errorf("%s lacks %s", filepath.Base(unit), line)
			}
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd is not installed; only the lines were looked at")
		return
	}
	if out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, all...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	const most = "20" // tenths of systemd's scale, on which 100 is no protection at all
	out, err := exec.Command(analyze, append([]string{"security", "--offline=true", "--no-pager", "--threshold=" + most}, all...)...).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "Overall exposure") {
			t.Log(strings.TrimSpace(line))
		}
	}
}
