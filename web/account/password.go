package account

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// What one hash costs (OWASP Password Storage: argon2id, 19 MiB, 2 passes).
const (
	hashMemory = 19 << 10 // KiB
	hashPasses = 2
	hashLanes  = 1
	hashBytes  = 32
	saltBytes  = 16
)

// The bounds of a password. The upper one only keeps a login from costing more
// than it must.
const (
	leastPassword = 12   // characters
	mostPassword  = 1024 // bytes
)

// checkPassword says what is wrong with a new password.
func checkPassword(name, password string) error {
	switch folded := strings.ToLower(password); {
	case utf8.RuneCountInString(password) < leastPassword:
		return fmt.Errorf("the password has fewer than %d characters; four words that do not belong together make a good one", leastPassword)
	case len(password) > mostPassword:
		return fmt.Errorf("the password has more than %d bytes", mostPassword)
	case strings.Contains(folded, strings.ToLower(name)):
		return errors.New("the password contains the user's name; choose one that does not")
	case strings.Trim(folded, folded[:1]) == "", strings.HasPrefix(folded, "password"), strings.HasPrefix(folded, "1234567890"), strings.HasPrefix(folded, "understudy"):
		return errors.New("that password is among the first that others try; choose another")
	}
	return nil
}

// hash gives the argon2id hash of a password in the PHC string format.
func hash(password string) string {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	sum := argon2.IDKey([]byte(password), salt, hashPasses, hashMemory, hashLanes, hashBytes)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashPasses, hashLanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

// matches says whether a password has a hash. One that cannot be read matches
// nothing.
func matches(password, hashed string) bool {
	var version int
	var memory, passes uint32
	var lanes uint8
	parts := strings.Split(hashed, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || len(password) > mostPassword {
		return false
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &lanes); err != nil {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	sum, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || err2 != nil || version != argon2.Version || memory > 1<<20 || passes == 0 || passes > 16 || lanes == 0 || len(sum) != hashBytes {
		return false
	}
	return subtle.ConstantTimeCompare(sum, argon2.IDKey([]byte(password), salt, passes, memory, lanes, hashBytes)) == 1
}
