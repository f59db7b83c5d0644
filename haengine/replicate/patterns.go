package replicate

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// patterns are paths from a tree's root in which * and ? stand for letters but
// not for slashes. What matches and is a folder stands for all that is in it.
type patterns []string

func (p patterns) match(at string) bool {
	for _, one := range p {
		if hit, err := path.Match(one, at); err == nil && hit {
			return true
		}
	}
	return false
}

// matchBelow is match for a path whose folders may match.
func (p patterns) matchBelow(at string) bool {
	for i, letter := range at {
		if letter == '/' && p.match(at[:i]) {
			return true
		}
	}
	return p.match(at)
}

// CheckPattern says what is wrong with a pattern, nil if nothing is.
func CheckPattern(one string) error {
	switch {
	case one == "" || one != path.Clean(one) || path.IsAbs(one) || one == "." || strings.HasPrefix(one, ".."):
		return fmt.Errorf("the pattern %q must be a path from the tree's root, like cache/*.tmp", one)
	case strings.ContainsAny(one, "[]\\\n\r\x00"), strings.Contains(one, "**"):
		return errors.New("a pattern knows only * and ?, which stand for letters of one name")
	case patterns{one}.match(markerName):
		return fmt.Errorf("the pattern %q takes %s, by which the dataset is known", one, markerName)
	}
	return nil
}
