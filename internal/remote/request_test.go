package remote

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRequestsAreAllowedOrRefusedByTheTable(t *testing.T) {
	t.Parallel()
	text := readFile(t, "testdata/requests.txt")
	cases := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		request, want, ok := strings.Cut(line, "\t")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		cases++
		r, err := ParseRequest(request)
		got := strings.Join(r.Options, " ") + " | " + r.Root
		switch {
		case r.Test:
			got = "test"
		case r.Session:
			got = "replicate"
		case err != nil:
			got = err.Error()
			if strings.Contains(got, "\n") {
				t.Errorf("%q: the refusal has more than one line: %q", request, got)
			}
		}
		if allowed := want == "test" || want == "replicate" || strings.Contains(want, " | "); allowed && got != want || !allowed && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%q:\n got %s\nwant %s", request, got, want)
		}
	}
	if cases < 60 {
		t.Errorf("only %d cases were read", cases)
	}
}

func TestLongRequestsAreRefused(t *testing.T) {
	t.Parallel()
	for _, request := range []string{strings.Repeat("a", mostRequest+1), strings.Repeat("a ", mostWords+1), "test\n", "te\x00st", "te\xffst", "test\tx"} {
		if _, err := ParseRequest(request); err == nil {
			t.Errorf("%.40q was allowed", request)
		}
	}
}

// asked runs the system's rsync, and gives what it asks the other side for.
func asked(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("rsync"); err != nil {
		t.Skip("no rsync here; tools/deps.sh installs it")
	}
	dir := t.TempDir()
	said := filepath.Join(dir, "said")
	shell := filepath.Join(dir, "rsh")
	must(t, os.WriteFile(shell, []byte("#!/bin/sh\nshift\nprintf '%s' \"$*\" > "+said+"\nexit 1\n"), 0o700)) // #nosec G306 -- a program
	cmd := exec.Command("rsync", append([]string{"-e", shell}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("rsync got an answer: %s", out)
	}
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatalf("rsync %v: %s", args, out)
	}
	return string(text)
}

// TestWhatTheRealRsyncAsksForIsUnderstood lets the system's rsync write the
// requests: those that a sync makes are allowed, whatever the name of the
// dataset; with one more option that leads out of it they are not.
func TestWhatTheRealRsyncAsksForIsUnderstood(t *testing.T) {
	t.Parallel()
	to := t.TempDir()
	pull := []string{"-aHAX", "--numeric-ids", "--delete", "--modify-window=-1", "--partial-dir=.partial", "--link-dest=/x", "--fsync", "--timeout=60"}
	for _, root := range []string{"/srv/app", "/srv/s p a c e", `/srv/a;b|c&d$e"f'g`, "/srv/ümlaut", "/srv/[x]*?{y}", `/srv/back\slash`, "/srv/-rf", "/srv/~x#!"} {
		text := asked(t, append(slices.Clone(pull), "h:"+root+"/", to)...)
		r, err := ParseRequest(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if r.Root != root {
			t.Errorf("%s: the folder is read as %q, want %q", text, r.Root, root)
		}
	}
	pull = []string{"-aHAX", "--numeric-ids", "--timeout=60"}
	for _, more := range []string{"-L", "-k", "-R", "-s", "--remove-source-files", "--copy-unsafe-links", "--files-from=:/etc/passwd", "--append", "--inplace"} {
		text := asked(t, append(slices.Clone(pull), more, "h:/srv/app/", to)...)
		if r, err := ParseRequest(text); err == nil {
			t.Errorf("with %s: %s was allowed as %+v", more, text, r)
		}
	}
	for _, line := range [][]string{{"h:/srv/app", to}, {"h:/srv/app/../../etc/", to}, {"h:/srv/app/", "h:/srv/b/", to}, {to + "/", "h:/srv/app/"}} {
		text := asked(t, append(slices.Clone(pull), line...)...)
		if r, err := ParseRequest(text); err == nil {
			t.Errorf("%s was allowed as %+v", text, r)
		}
	}
}

// harmless is what may stand in an allowed request, said another way than the
// parser says it.
var harmless = regexp.MustCompile(`^(-[A-Za-z]+e\.[A-Za-z]*|--numeric-ids|--safe-links|--timeout=\d+|--bwlimit=\d+|--checksum-choice=xxh128|--compress-choice=zstd)$`)

// holds says what is wrong with a request that was allowed.
func holds(r Request) error {
	if r.Test || r.Session {
		return nil
	}
	for i, option := range r.Options {
		letters, _, _ := strings.Cut(option, ".")
		if !harmless.MatchString(option) || (i == 0) == strings.HasPrefix(option, "--") || !strings.HasPrefix(option, "--") && strings.ContainsAny(letters, "LksRbKf") {
			return fmt.Errorf("option %q", option)
		}
	}
	if !strings.HasPrefix(r.Root, "/") || r.Root == "/" || filepath.Clean(r.Root) != r.Root {
		return fmt.Errorf("folder %q", r.Root)
	}
	return nil
}

func FuzzParseRequest(f *testing.F) {
	text, err := os.ReadFile("testdata/requests.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		request, _, _ := strings.Cut(line, "\t")
		f.Add(request)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRequest(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("the refusal has more than one line: %q", err)
			}
			return
		}
		if err := holds(r); err != nil {
			t.Errorf("%q was allowed: %v", text, err)
		}
	})
}

func TestNoMixOfWordsIsAllowedThatIsNotHarmless(t *testing.T) {
	t.Parallel()
	words := []string{
		"rsync", "--server", "--sender", "-logDtpre.iLsfxCIvu", "-Le.x", "--numeric-ids", "--timeout=9", "--daemon", ".", "..", "/srv/app/", "/srv/", "/", "/etc/../srv/",
		"-e.x", "--files-from=/x", "--rsh=sh", "test", "sh", "-c", `\/`, `\.\./`, "-", "--", "",
	}
	rapid.Check(t, func(rt *rapid.T) {
		mix := rapid.SliceOfN(rapid.SampledFrom(words), 0, 8).Draw(rt, "words")
		text := strings.Join(append([]string{"rsync", "--server", "--sender", "-logDtpre.iLsfxCIvu"}[:rapid.IntRange(0, 4).Draw(rt, "begin")], mix...), " ")
		if r, err := ParseRequest(text); err == nil {
			if err := holds(r); err != nil {
				rt.Errorf("%q was allowed: %v", text, err)
			}
		}
	})
}
