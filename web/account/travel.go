package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// travels is what of a Book two places may share: the users. Its ID, tokens,
// sessions and the setup code belong to one place.
type travels struct {
	Version int    `json:"version"`
	Users   []User `json:"users"`
}

// Export gives the users, with the hashes of their passwords, as text that is the
// same whenever they are.
func (b *Book) Export() (text []byte, users int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refresh()
	all := slices.SortedFunc(slices.Values(b.stored.Users), func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	text, err = json.MarshalIndent(travels{version, all}, "", "  ")
	return text, len(all), err
}

// Check says how many users a text of Export has, or what is wrong with it.
func (b *Book) Check(text []byte) (users int, err error) {
	all, err := usersIn(text)
	return len(all), err
}

// Import puts the users of a text of Export in the place of those that there are.
// Sessions of users who are gone, or whose password is another, end.
func (b *Book) Import(text []byte) error {
	all, err := usersIn(text)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	hashes := map[string]string{}
	for _, u := range b.stored.Users {
		hashes[u.Name] = u.Hash
	}
	if err := b.change(func(s *stored) error { s.Users = all; return nil }); err != nil {
		return err
	}
	for _, u := range all {
		if hashes[u.Name] == u.Hash {
			delete(hashes, u.Name)
		}
	}
	b.end(func(s *Session) bool { _, other := hashes[s.User]; return other })
	b.until = time.Time{} // a setup code is worth nothing any more
	_ = os.Remove(b.path(codeFile))
	return nil
}

// usersIn reads a text of Export, which another place has written: hashes cost
// what ours cost, and somebody can make users.
func usersIn(text []byte) ([]User, error) {
	var t travels
	if err := json.Unmarshal(text, &t); err != nil || t.Version != version {
		return nil, errors.New("they are not what this version has written")
	}
	if len(t.Users) > mostOf {
		return nil, fmt.Errorf("there are more than %d", mostOf)
	}
	cost := strings.Join(strings.Split(noHash(), "$")[:4], "$") + "$"
	names := map[string]bool{}
	for _, u := range t.Users {
		switch {
		case checkName(u.Name) != nil:
			return nil, checkName(u.Name)
		case names[u.Name]:
			return nil, fmt.Errorf("%s is there twice", u.Name)
		case u.Role <= Nobody || u.Role > Admin:
			return nil, fmt.Errorf("%s has no role", u.Name)
		case !strings.HasPrefix(u.Hash, cost) || len(u.Hash) > 200:
			return nil, fmt.Errorf("the password of %s is not kept as this version keeps it", u.Name)
		}
		names[u.Name] = true
	}
	if (stored{Users: t.Users}).admins() == 0 {
		return nil, errors.New("none of them is an admin")
	}
	return t.Users, nil
}
