package account

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// User is a person with a password.
type User struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Hash    string    `json:"hash"`
	Made    time.Time `json:"made"`
	Changed time.Time `json:"changed"` // the password
}

// Token is what a program shows instead of a password.
type Token struct {
	Name  string    `json:"name"`
	Role  Role      `json:"role"`
	Sum   string    `json:"sha256"`
	Made  time.Time `json:"made"`
	Until time.Time `json:"until,omitzero"` // zero: for ever
}

// mostOf is how many users, and how many tokens, a place has.
const mostOf = 1000

func (s stored) clone() stored {
	s.Users, s.Tokens = slices.Clone(s.Users), slices.Clone(s.Tokens)
	return s
}

// user gives the place of a user, -1 if there is none.
func (s stored) user(name string) int {
	return slices.IndexFunc(s.Users, func(u User) bool { return u.Name == name })
}

// admins counts those who may make users.
func (s stored) admins() (n int) {
	for _, u := range s.Users {
		if u.Role == Admin {
			n++
		}
	}
	return n
}

var errLastAdmin = errors.New("that is the last admin; make another one first")

func noUser(name string) error { return fmt.Errorf("there is no user %.60q", name) }

// checkName says what is wrong with a user's or a token's name.
func checkName(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_@"
	if name == "" || len(name) > 60 || strings.Trim(name, letters) != "" {
		return fmt.Errorf("%.60q is no name: letters, digits and . - _ @, at most 60 of them", name)
	}
	return nil
}

// newUser checks both and gives the hash.
func newUser(name, password string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	if err := checkPassword(name, password); err != nil {
		return "", err
	}
	return hash(password), nil
}

// Users gives the users by name, without their hashes.
func (b *Book) Users() []User {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refresh()
	users := slices.Clone(b.stored.Users)
	for i := range users {
		users[i].Hash = ""
	}
	slices.SortFunc(users, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return users
}

// AddUser makes a user.
func (b *Book) AddUser(name, password string, role Role) error {
	hashed, err := newUser(name, password)
	if err != nil {
		return err
	}
	if role <= Nobody || role > Admin {
		return errors.New("a user needs a role")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.change(func(s *stored) error {
		now := b.now().UTC()
		switch {
		case s.user(name) >= 0:
			return fmt.Errorf("there is a user %q already", name)
		case len(s.Users) >= mostOf:
			return fmt.Errorf("there are %d users already, more there cannot be", mostOf)
		}
		s.Users = append(s.Users, User{name, role, hashed, now, now})
		return nil
	})
}

// SetPassword gives a user a new password and ends that user's sessions, but
// for the one with the id keep.
func (b *Book) SetPassword(name, password, keep string) error {
	hashed, err := newUser(name, password)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	err = b.change(func(s *stored) error {
		i := s.user(name)
		if i < 0 {
			return noUser(name)
		}
		s.Users[i].Hash, s.Users[i].Changed = hashed, b.now().UTC()
		return nil
	})
	if err == nil {
		b.end(func(s *Session) bool { return s.User == name && s.ID != keep })
	}
	return err
}

// SetRole gives a user another role, which counts from the next request on.
func (b *Book) SetRole(name string, role Role) error {
	if role <= Nobody || role > Admin {
		return errors.New("a user needs a role")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.change(func(s *stored) error {
		i := s.user(name)
		switch {
		case i < 0:
			return noUser(name)
		case s.Users[i].Role == Admin && role != Admin && s.admins() == 1:
			return errLastAdmin
		}
		s.Users[i].Role = role
		return nil
	})
}

// RemoveUser removes a user and ends that user's sessions.
func (b *Book) RemoveUser(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.change(func(s *stored) error {
		i := s.user(name)
		switch {
		case i < 0:
			return noUser(name)
		case s.Users[i].Role == Admin && s.admins() == 1:
			return errLastAdmin
		}
		s.Users = slices.Delete(s.Users, i, i+1)
		return nil
	})
	if err == nil {
		b.end(func(s *Session) bool { return s.User == name })
	}
	return err
}
