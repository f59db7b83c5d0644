package remote

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Role is what a trusted host may ask for.
type Role string

// The roles: a node of the pair or chain may ask a node to step down and fetch
// its data; a front or sidecar may only tell it what it has decided; whoever
// administers the pair from elsewhere, such as an upgrade run, may do what
// people do by the failover command.
const (
	Node  Role = "node"
	Front Role = "front"
	Admin Role = "admin"
)

func (r Role) known() bool { return r == Node || r == Front || r == Admin }

// DefaultPort is where an engine's API listens (EPMM guide: ports 8443, 443, 22).
const DefaultPort = 8443

// Card is what a host tells of itself when it is paired.
type Card struct {
	Name      string   `json:"name"`
	Role      Role     `json:"role"`
	Addresses []string `json:"addresses"`      // where it is called and calls from: addresses or host names; the first is the one that is called
	Port      uint16   `json:"port,omitempty"` // of its engine's API; only a node has one
	Pin       Pin      `json:"pin"`            // of its TLS key; zero: not known, so that its engine cannot be asked
	SSH       CardSSH  `json:"ssh,omitzero"`   // only a node has it
}

// CardSSH is a node's SSH side.
type CardSSH struct {
	Port     uint16   `json:"port"`
	User     string   `json:"user"`
	HostKeys []string `json:"host_keys,omitempty"` // type and base64; none: not known, so that it cannot be called
	UserKey  string   `json:"user_key"`            // Local Server SSH Key: with it the node calls others
}

const (
	mostAddresses = 8
	mostHostKeys  = 8
	mostKeyText   = 4 << 10
)

var (
	namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	userPattern = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
)

// Check gives every fault of a card, or nil. A card comes from outside: what
// passes may stand in authorized_keys, known_hosts and on command lines.
func (c Card) Check() error {
	var faults []error
	if !namePattern.MatchString(c.Name) {
		faults = append(faults, fmt.Errorf("name %.80q must be letters, digits, dot, dash and underscore, at most 63, and begin with a letter or digit", c.Name))
	}
	if !c.Role.known() {
		faults = append(faults, fmt.Errorf("role %.20q must be node, front or admin", string(c.Role)))
	}
	if len(c.Addresses) > mostAddresses || c.Role == Node && len(c.Addresses) == 0 {
		faults = append(faults, fmt.Errorf("a node has 1 to %d addresses, not %d", mostAddresses, len(c.Addresses)))
	}
	for _, a := range c.Addresses {
		if err := checkAddress(a); err != nil {
			faults = append(faults, err)
		}
	}
	if c.Role == Node {
		faults = append(faults, c.SSH.check()...)
	}
	return errors.Join(faults...)
}

func (s CardSSH) check() (faults []error) {
	if !userPattern.MatchString(s.User) {
		faults = append(faults, fmt.Errorf("ssh user %.40q is no name of a user", s.User))
	}
	if s.Port == 0 {
		faults = append(faults, errors.New("ssh port 0 cannot be called"))
	}
	if len(s.HostKeys) > mostHostKeys {
		faults = append(faults, fmt.Errorf("%d SSH host keys are more than %d", len(s.HostKeys), mostHostKeys))
	}
	for _, key := range append(slices.Clone(s.HostKeys), s.UserKey) {
		if plain, err := CheckSSHKey(key); err != nil {
			faults = append(faults, err)
		} else if plain != key {
			faults = append(faults, errors.New("an SSH key must be its type and base64 and nothing else"))
		}
	}
	return faults
}

// checkAddress takes an address or a host name, without a port.
func checkAddress(text string) error {
	if a, err := netip.ParseAddr(text); err == nil {
		if a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			return fmt.Errorf("address %q is not one that can be called from elsewhere", text)
		}
		return nil
	}
	if len(text) > 253 || !hostPattern.MatchString(text) {
		return fmt.Errorf("%.80q is neither an address nor a host name", text)
	}
	return nil
}

// CheckSSHKey gives the type and base64 of a public key as OpenSSH writes it.
// A key with options in front, more than one line, or of a weak kind is an
// error that tells what to paste instead.
func CheckSSHKey(text string) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case len(text) > mostKeyText:
		return "", errors.New("the SSH key is longer than any key")
	case strings.Contains(text, "PRIVATE KEY"):
		return "", errors.New("this is a private key: it must never leave its server; paste the Local Server SSH Key, one line that begins with ssh-ed25519")
	case strings.ContainsAny(text, "\r\n"):
		return "", errors.New("the SSH key has more than one line: paste the Local Server SSH Key as one line")
	}
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(rest) > 0 {
		return "", errors.New("this is no SSH key: paste the Local Server SSH Key, one line that begins with ssh-ed25519")
	}
	if len(options) > 0 {
		return "", errors.New("the SSH key has options in front of it: paste it as it is shown")
	}
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA:
		return sshText(key), nil
	}
	return "", fmt.Errorf("SSH keys of type %.40q are not taken: use ssh-ed25519", key.Type())
}

// bundle marks the comment of a Line.
const bundle = "understudy:"

const sumLength = 4 // bytes of a checksum against what copying loses

// Line is the Local Server SSH Key as people copy it: an OpenSSH public key,
// whose comment carries the rest of the card, so that one paste is enough for
// SSH and TLS, both pinned.
func (c Card) Line() (string, error) {
	key := c.SSH.UserKey
	c.SSH.UserKey = ""
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte(key), text...))
	return key + " " + bundle + base64.RawURLEncoding.EncodeToString(append(text, sum[:sumLength]...)), nil
}

// ParseLine reads what a person pasted as SSH key of a host: a Line, or the
// public key of any OpenSSH, of which whole is false and only UserKey is set.
func ParseLine(line string) (c Card, whole bool, err error) {
	line = strings.TrimSpace(line)
	if len(line) > 4*mostKeyText {
		return Card{}, false, errors.New("the SSH key is longer than any key")
	}
	fields := strings.Fields(line)
	if len(fields) != 3 || !strings.HasPrefix(fields[2], bundle) {
		key, err := CheckSSHKey(line)
		return Card{SSH: CardSSH{UserKey: key}}, false, err
	}
	key, err := CheckSSHKey(fields[0] + " " + fields[1])
	if err != nil {
		return Card{}, false, err
	}
	torn := errors.New("the SSH key is not whole: something was lost when it was copied; copy the whole line again")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimPrefix(fields[2], bundle))
	if err != nil || len(raw) < sumLength {
		return Card{}, false, torn
	}
	text, sum := raw[:len(raw)-sumLength], raw[len(raw)-sumLength:]
	want := sha256.Sum256(append([]byte(key), text...))
	if string(sum) != string(want[:sumLength]) {
		return Card{}, false, torn
	}
	if err := decode(strings.NewReader(string(text)), &c); err != nil {
		return Card{}, false, fmt.Errorf("the SSH key was made by another release: %w", err)
	}
	c.SSH.UserKey = key
	return c, true, c.Check()
}
