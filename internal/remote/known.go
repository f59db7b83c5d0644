package remote

import (
	"strconv"
	"strings"
)

// knownHosts gives the known_hosts of all nodes: each stands there by its name,
// whatever address it is called at (ssh_config, HostKeyAlias).
func knownHosts(hosts []Host) []byte {
	var text strings.Builder
	text.WriteString("# written by failover trusted-hosts, changes are lost\n")
	for _, h := range hosts {
		for _, key := range h.SSH.HostKeys {
			text.WriteString(h.Name + " " + key + "\n")
		}
	}
	return []byte(text.String())
}

// Address gives where a host is called.
func (h Host) Address() string {
	if len(h.Addresses) == 0 {
		return h.Name
	}
	return h.Addresses[0]
}

// SSHArgs gives the arguments with which the system's ssh calls a host: pinned
// host key, own key, nothing from anybody's configuration. The host and the
// command are not part of it.
func (t *Trust) SSHArgs(h Host) []string {
	args := []string{"-F", "none", "-T", "-x", "-i", t.SSH.Path, "-p", strconv.Itoa(int(h.SSH.Port)), "-l", h.SSH.User}
	for _, option := range []string{
		"BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "PreferredAuthentications=publickey",
		"StrictHostKeyChecking=yes", "UpdateHostKeys=no", "CheckHostIP=no", "HostKeyAlias=" + h.Name,
		"UserKnownHostsFile=" + t.knownHosts(), "GlobalKnownHostsFile=/dev/null",
		"ForwardAgent=no", "ControlMaster=no", "ControlPath=none", "Compression=no", "LogLevel=ERROR",
		"ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3",
	} {
		args = append(args, "-o", option)
	}
	return args
}
