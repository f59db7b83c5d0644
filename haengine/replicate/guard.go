package replicate

import "fmt"

// The mass deletion that a person has to see first: so many, and so large a part
// of all.
const (
	massCount = 100
	massPart  = 10 // a tenth
)

// accept is how a person lets a guard through.
const accept = "if that is right: failover sync HOST --accept-deletions"

// mass says whether a deletion is one.
func mass(deleted, of int64) bool { return deleted >= massCount && deleted*massPart >= of }

// identity compares what a source offers with what it offered before.
func identity(known record, tree, from string, o offered) error {
	switch was := known.Volumes[from]; {
	case o.ID == "":
		return &Refused{Guard, fmt.Sprintf("%s has no marker on %s: is the volume mounted there?", tree, from)}
	case known.ID != "" && o.ID != known.ID:
		return &Refused{Guard, fmt.Sprintf("%s on %s is another dataset than the one that was copied so far; %s", tree, from, accept)}
	case was != "" && o.Volume != "" && o.Volume != was:
		return &Refused{Guard, fmt.Sprintf("%s on %s lies on another file system than at the last sync: was a volume exchanged, or is it not mounted? %s", tree, from, accept)}
	}
	return nil
}

// emptied compares how much there is on both sides, before anything is fetched.
func emptied(tree, from string, source, live int64) error {
	const marker = 1
	switch {
	case source <= marker && live > marker:
		return &Refused{Guard, fmt.Sprintf("%s on %s is empty, and there are %d files here: mount or restore it there; %s", tree, from, live-marker, accept)}
	case mass(live-source, live):
		return deletions(tree, from, live-source, live)
	}
	return nil
}

func deletions(what, from string, deleted, of int64) error {
	return &Refused{Guard, fmt.Sprintf("at least %d of %d in %s are deleted on %s: nothing was changed here; look whether that is right, and %s", deleted, of, what, from, accept)}
}

// rows is emptied for what is counted in a database.
func rows(dataset, from string, offered, known map[string]int64) error {
	var was, lost int64
	for name, n := range known {
		was += n
		lost += max(0, n-offered[name])
	}
	if was > 0 && lost == was || mass(lost, was) {
		return deletions("the rows of "+dataset, from, lost, was)
	}
	return nil
}
