package account

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"
)

// Session is one login. Its role is that of its user now.
type Session struct {
	ID    string // for people and logs; it proves nothing
	User  string
	Role  Role
	From  string
	Agent string
	Made  time.Time
	Seen  time.Time
	Prove time.Time // when the password was given last
}

// How long a session lasts.
const (
	IdleFor   = 15 * time.Minute // without a request of its person
	LastsFor  = 8 * time.Hour    // in all
	ProvenFor = 5 * time.Minute  // a password given counts for acts that want it anew

	mostSessions = 2000
)

// Proven says whether the password was given so short a time ago that an act
// that asks for it may go on.
func (s Session) Proven(now time.Time) bool { return now.Sub(s.Prove) < ProvenFor }

// ErrWrong is the error of a login, whichever of the two is wrong.
var ErrWrong = errors.New("the name or the password is wrong")

// noHash is compared with where there is no user, so that the time does not
// tell.
var noHash = sync.OnceValue(func() string { return hash("nobody has this one") })

// Login checks a name and password and begins a session. The token is what
// its cookie holds; it is not kept. The error is ErrWrong or *Later.
func (b *Book) Login(name, password, from, agent string) (token string, err error) {
	if err := b.check(name, password, from); err != nil {
		return "", err
	}
	now := b.now()
	token = rand.Text() + rand.Text()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	if len(b.sessions) >= mostSessions {
		return "", errors.New("there are too many sessions; end one, or try again later")
	}
	b.sessions[sha256.Sum256([]byte(token))] = &Session{
		ID: rand.Text()[:10], User: name, From: from, Agent: agent[:min(len(agent), 200)], Made: now, Seen: now, Prove: now,
	}
	return token, nil
}

// check compares a password with the user's.
func (b *Book) check(name, password, from string) error {
	b.mu.Lock()
	b.refresh()
	wait := b.failed.wait(name, from, b.now())
	hashed, known := noHash(), false
	if i := b.stored.user(name); i >= 0 {
		hashed, known = b.stored.Users[i].Hash, true
	}
	b.mu.Unlock()
	if wait > 0 {
		return &Later{wait}
	}
	b.hashing <- struct{}{}
	right := matches(password, hashed)
	<-b.hashing
	b.mu.Lock()
	defer b.mu.Unlock()
	if !right || !known {
		b.failed.failed(name, from, b.now())
		return ErrWrong
	}
	b.failed.succeeded(name, from)
	return nil
}

// Session gives the session of a cookie's token. touch says that its person is
// there, which keeps it alive.
func (b *Book) Session(token string, touch bool) (Session, bool) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refresh()
	b.expire(now)
	s, ok := b.sessions[sha256.Sum256([]byte(token))]
	if !ok {
		return Session{}, false
	}
	if touch {
		s.Seen = now
	}
	return b.shown(s), true
}

// shown gives a copy with the role of now.
func (b *Book) shown(s *Session) Session {
	c := *s
	c.Role = Nobody
	if i := b.stored.user(s.User); i >= 0 {
		c.Role = b.stored.Users[i].Role
	}
	return c
}

// Prove checks the password of a session's user again.
func (b *Book) Prove(token, password, from string) error {
	s, ok := b.Session(token, true)
	if !ok {
		return ErrWrong
	}
	if err := b.check(s.User, password, from); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.sessions[sha256.Sum256([]byte(token))]; s != nil {
		s.Prove = b.now()
	}
	return nil
}

// Logout ends the session of a token.
func (b *Book) Logout(token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, sha256.Sum256([]byte(token)))
}

// Sessions gives every session, the youngest first.
func (b *Book) Sessions() []Session {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(b.now())
	all := make([]Session, 0, len(b.sessions))
	for _, s := range b.sessions {
		all = append(all, b.shown(s))
	}
	slices.SortFunc(all, func(a, b Session) int { return b.Made.Compare(a.Made) })
	return all
}

// EndSession ends the session with an id; false if there is none.
func (b *Book) EndSession(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end(func(s *Session) bool { return s.ID == id }) > 0
}

// end is called with mu held.
func (b *Book) end(which func(*Session) bool) (n int) {
	for key, s := range b.sessions {
		if which(s) {
			delete(b.sessions, key)
			n++
		}
	}
	return n
}

// expire ends what has lasted, and the sessions of users who are gone. It is
// called with mu held.
func (b *Book) expire(now time.Time) {
	b.end(func(s *Session) bool {
		return now.Sub(s.Seen) > IdleFor || now.Sub(s.Made) > LastsFor || b.stored.user(s.User) < 0
	})
}
