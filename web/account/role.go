package account

import "fmt"

// Role is what somebody may do. Each may do what the one before may.
type Role int

// The roles. Nobody, the zero value, may do nothing.
const (
	Nobody   Role = iota
	Viewer        // may look
	Operator      // may act on traffic and syncs
	Admin         // may change settings, trust and users
)

var roleWords = [...]string{Nobody: "nobody", Viewer: "viewer", Operator: "operator", Admin: "admin"}

// Roles gives the roles that somebody may have, the smallest first.
func Roles() []Role { return []Role{Viewer, Operator, Admin} }

func (r Role) String() string {
	if r < Nobody || r > Admin {
		return roleWords[Nobody]
	}
	return roleWords[r]
}

// ParseRole gives the role of a word.
func ParseRole(word string) (Role, error) {
	for _, r := range Roles() {
		if r.String() == word {
			return r, nil
		}
	}
	return Nobody, fmt.Errorf("%.40q is no role; there are viewer, operator and admin", word)
}

// MarshalText gives the role's word.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the role's word; one that is not known may do nothing.
func (r *Role) UnmarshalText(text []byte) error {
	*r, _ = ParseRole(string(text))
	return nil
}
