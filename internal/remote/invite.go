package remote

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/statefile"
)

const (
	inviteTime  = 10 * time.Minute
	inviteKept  = 24 * time.Hour // after its end, to tell what became of it
	inviteTries = 5
	mostInvites = 64
	tokenLength = 16
)

// token is the secret of a pairing string. Of it a signing key is derived: the
// inviting host keeps only the public half, so that neither its files nor what
// goes over the wire let anybody pair.
type token [tokenLength]byte

func (t token) key() ed25519.PrivateKey {
	seed := sha256.Sum256(append([]byte("understudy pairing token v1\x00"), t[:]...))
	return ed25519.NewKeyFromSeed(seed[:])
}

// inviteID names the invitation of a public key.
func inviteID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(append([]byte("understudy pairing id v1\x00"), public...))
	return hex.EncodeToString(sum[:8])
}

// Invitation is a pairing string in its parts.
type Invitation struct {
	Host string // address or name at which the inviting node is called
	Port uint16
	Role Role // what the invited will be
	Pin  Pin  // of the inviting node

	token token
}

const inviteFormat = 1

// inviteRoles gives the roles by their number in a pairing string.
var inviteRoles = []Role{Node, Front, Admin}

// String gives the pairing string: the address, a colon, and the rest in
// letters that no shell or mail program changes. It is a secret.
func (i Invitation) String() string {
	raw := []byte{inviteFormat, 0}
	raw[1] = byte(max(0, slices.Index(inviteRoles, i.Role)))
	raw = binary.BigEndian.AppendUint16(raw, i.Port)
	raw = append(raw, i.token[:]...)
	raw = append(raw, i.Pin[:]...)
	host := i.host()
	raw = append(raw, inviteSum(host, raw)...)
	return host + ":" + base64.RawURLEncoding.EncodeToString(raw)
}

// LogValue gives all but the secret.
func (i Invitation) LogValue() slog.Value {
	return slog.GroupValue(slog.String("at", i.At()), slog.String("role", string(i.Role)), slog.String("key", i.Pin.String()))
}

func (i Invitation) host() string {
	if strings.Contains(i.Host, ":") {
		return "[" + i.Host + "]"
	}
	return i.Host
}

func inviteSum(host string, raw []byte) []byte {
	sum := sha256.Sum256(append([]byte(host+"\x00"), raw...))
	return sum[:sumLength]
}

// At gives host and port.
func (i Invitation) At() string { return net.JoinHostPort(i.Host, strconv.Itoa(int(i.Port))) }

const inviteLength = 2 + 2 + tokenLength + sha256.Size + sumLength

// ParseInvitation reads a pairing string; blanks around and inside, as line
// breaks of a mail leave them, do no harm. Its errors never show the string.
func ParseInvitation(text string) (Invitation, error) {
	torn := errors.New("the pairing string is not whole, or not one: copy it again, from the first letter to the last")
	if len(text) > 1000 {
		return Invitation{}, torn
	}
	text = strings.Join(strings.Fields(text), "")
	colon := strings.LastIndex(text, ":")
	if colon < 0 {
		return Invitation{}, torn
	}
	host := text[:colon]
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text[colon+1:])
	if err != nil || len(raw) != inviteLength {
		return Invitation{}, torn
	}
	body, sum := raw[:inviteLength-sumLength], raw[inviteLength-sumLength:]
	if string(sum) != string(inviteSum(host, body)) {
		return Invitation{}, torn
	}
	if body[0] != inviteFormat || int(body[1]) >= len(inviteRoles) {
		return Invitation{}, errors.New("the pairing string was made by another release: update the older of both hosts")
	}
	i := Invitation{Host: strings.Trim(host, "[]"), Port: binary.BigEndian.Uint16(body[2:]), Role: inviteRoles[body[1]]}
	copy(i.token[:], body[4:])
	copy(i.Pin[:], body[4+tokenLength:])
	if err := checkAddress(i.Host); err != nil || i.Port == 0 || i.host() != host {
		return Invitation{}, torn
	}
	return i, nil
}

// invite is what the inviting host keeps of an invitation.
type invite struct {
	ID      string            `json:"id"`
	Public  ed25519.PublicKey `json:"public"`
	Role    Role              `json:"role"`
	By      string            `json:"by"`
	Expires time.Time         `json:"expires"`
	Wrong   int               `json:"wrong,omitempty"`   // proofs that were not
	UsedBy  string            `json:"used_by,omitempty"` // the name of the host that used it
	Used    Pin               `json:"used,omitzero"`     // that host's key
	UsedAt  time.Time         `json:"used_at,omitzero"`
}

type invitesFile struct {
	Version int      `json:"version"`
	Invites []invite `json:"invites"`
}

func (t *Trust) readInvites() ([]invite, error) {
	text, err := statefile.Read(t.invitesPath(), hostsLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f invitesFile
	if err := json.Unmarshal(text, &f); err != nil || f.Version != version {
		return nil, fmt.Errorf("read %s: it is damaged or of another release; remove it and invite again", t.invitesPath())
	}
	return f.Invites, nil
}

func (t *Trust) writeInvites(invites []invite) error {
	text, err := json.MarshalIndent(invitesFile{version, invites}, "", "  ")
	if err != nil {
		return err
	}
	return writeOwned(t.invitesPath(), text, 0o600)
}

func (t *Trust) invitesPath() string { return filepath.Join(t.dir, "invites.json") }

// Invite makes an invitation for one host of a role, which can be used once,
// within ten minutes, while this node's engine runs.
func (t *Trust) Invite(role Role, by string, now time.Time) (Invitation, error) {
	if t.SSH == nil {
		return Invitation{}, fmt.Errorf("a %s invites nobody: invite it on each node with: failover trusted-hosts invite --%s", t.role, t.role)
	}
	i := Invitation{Host: t.site.Addresses[0], Port: t.site.Port, Role: role, Pin: t.Key.Pin}
	rand.Read(i.token[:]) // never fails since Go 1.24
	public, _ := i.token.key().Public().(ed25519.PublicKey)
	return i, t.locked(func() error {
		invites, err := t.readInvites()
		if err != nil {
			return err
		}
		invites = slices.DeleteFunc(invites, func(v invite) bool { return now.Sub(v.Expires) > inviteKept })
		if len(invites) >= mostInvites {
			return fmt.Errorf("%d invitations were made within a day; wait, or remove %s", len(invites), t.invitesPath())
		}
		return t.writeInvites(append(invites, invite{ID: inviteID(public), Public: public, Role: role, By: by, Expires: now.Add(inviteTime).UTC()}))
	})
}

// voidInvites forgets the invitations that a host has used; the lock is held.
func (t *Trust) voidInvites(used Pin) error {
	invites, err := t.readInvites()
	if err != nil || used == (Pin{}) {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(invites), func(v invite) bool { return v.Used == used })
	if len(left) == len(invites) {
		return nil
	}
	return t.writeInvites(left)
}

// findInvite gives the place of an invitation, -1 if there is none. It looks at
// all of them, whatever it finds.
func findInvite(invites []invite, id string) int {
	found := -1
	for i, v := range invites {
		if subtle.ConstantTimeCompare([]byte(v.ID), []byte(id)) == 1 {
			found = i
		}
	}
	return found
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// refuse says why an invitation does not pair the host with a key now, nil if
// it does. The host that has used it may repeat: its first answer may have been
// lost.
func (v invite) refuse(role Role, key Pin, now time.Time) error {
	switch {
	case v.Used == key && v.Role == role && now.Before(v.Expires):
		return nil
	case !v.UsedAt.IsZero():
		return fmt.Errorf("the pairing string was used already, by %s at %s: it can be used once; make a new one with: failover trusted-hosts invite", v.UsedBy, moment(v.UsedAt))
	case v.Wrong >= inviteTries:
		return fmt.Errorf("the pairing string was tried with %d wrong proofs and is void; make a new one with: failover trusted-hosts invite", v.Wrong)
	case !now.Before(v.Expires):
		return fmt.Errorf("the pairing string expired at %s, %s after it was made; make a new one with: failover trusted-hosts invite", moment(v.Expires), inviteTime)
	case v.Role != role:
		return fmt.Errorf("the pairing string invites a %s, and this is a %s; fronts and admins are invited with --front and --admin", v.Role, role)
	}
	return nil
}
