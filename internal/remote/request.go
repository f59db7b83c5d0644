package remote

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Request is what a trusted node may ask for over SSH: a test, a session of
// replication, or the sender side of rsync for one declared dataset.
type Request struct {
	Test    bool
	Session bool
	Options []string // of rsync, all whitelisted
	Root    string   // the dataset's folder as it was named, without the slash at its end
}

const (
	mostRequest = 4 << 10
	mostWords   = 24

	testCommand    = "test"
	sessionCommand = "replicate"
)

// cluster is the one group of single letters that rsync's client sends. None of
// its letters makes the sender follow a link (L, k), read its arguments from
// elsewhere (s), use names relative to another folder (R) or change anything.
// What follows "e." are the client's abilities.
var cluster = regexp.MustCompile(`^-[vnlHogDtpAXrcSxz]{1,20}e\.[A-Za-z]{0,20}$`)

// options are the long options that may be sent, each once; # stands for a
// number of up to nine digits.
var options = []string{"--numeric-ids", "--safe-links", "--timeout=#", "--bwlimit=#", "--checksum-choice=xxh128", "--compress-choice=zstd"}

var number = regexp.MustCompile(`=[0-9]{1,9}$`)

// ParseRequest reads what a peer's ssh asks for (SSH_ORIGINAL_COMMAND). It
// understands what rsync's client writes and nothing more; the error says in
// one line why a request is not allowed. No shell ever sees it.
func ParseRequest(text string) (Request, error) {
	words, err := split(text)
	switch {
	case err != nil:
		return Request{}, err
	case len(words) == 0:
		return Request{}, errors.New("a shell is not allowed")
	case len(words) == 1 && words[0] == testCommand:
		return Request{Test: true}, nil
	case len(words) == 1 && words[0] == sessionCommand:
		return Request{Session: true}, nil
	case words[0] != "rsync":
		return Request{}, fmt.Errorf("%s is not allowed", cut(words[0]))
	case len(words) < 6 || words[1] != "--server" || words[2] != "--sender":
		return Request{}, errors.New("only the sender side of rsync is allowed")
	}
	last := len(words) - 1
	if words[last-1] != "." {
		return Request{}, errors.New("rsync may be asked for one folder only")
	}
	if err := checkOptions(words[3 : last-1]); err != nil {
		return Request{}, err
	}
	root, ok := strings.CutSuffix(words[last], "/")
	if !ok || root == "/" || !path.IsAbs(root) || path.Clean(root) != root {
		return Request{}, fmt.Errorf("the path %s is not allowed: it must be a dataset's folder with a slash at its end", cut(words[last]))
	}
	return Request{Options: words[3 : last-1], Root: root}, nil
}

func checkOptions(given []string) error {
	for i, option := range given {
		plain := option
		if strings.HasPrefix(option, "--") {
			plain = number.ReplaceAllString(option, "=#")
		}
		switch {
		case i == 0 && cluster.MatchString(option):
		case i > 0 && slices.Contains(options, plain) && !slices.Contains(given[:i], option):
		default:
			return fmt.Errorf("the rsync option %s is not allowed here", cut(option))
		}
	}
	return nil
}

// split gives the words of a request. A backslash takes the next letter as it
// is, as rsync's client writes names; it leaves patterns of names as they are,
// and here they are letters like others. Every other letter that means
// something to a shell is an error.
func split(text string) ([]string, error) {
	if len(text) > mostRequest {
		return nil, errors.New("the request is longer than any that is allowed")
	}
	var words []string
	var word strings.Builder
	open, escaped := false, false
	for _, r := range text {
		switch {
		case r < ' ' || r == 0x7f || r == '\ufffd':
			return nil, errors.New("the request has letters that no request has")
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\':
			open, escaped = true, true
		case r == ' ':
			if open {
				words = append(words, word.String())
				word.Reset()
				open = false
			}
		case strings.ContainsRune("|&;<>()$`\"'#!{}^", r):
			return nil, fmt.Errorf("the request has a letter, %q, that is for shells, and none reads it", r)
		default:
			open = true
			word.WriteRune(r)
		}
	}
	switch {
	case escaped:
		return nil, errors.New("the request ends in its midst")
	case open:
		words = append(words, word.String())
	}
	if len(words) > mostWords {
		return nil, errors.New("the request has more words than any that is allowed")
	}
	return words, nil
}
