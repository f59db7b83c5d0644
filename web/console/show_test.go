package console

import (
	"strings"
	"testing"
)

func TestWatchersNamesAndPoolsAreShown(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.groups.Pair()
	c := d.as()
	for path, wants := range map[string][]string{
		"/console/":           {"a failover needs 2 votes of 3, and has 0; 1 of the watchers cannot be heard", "answer core1, TTL 5.0 s", "clients get s1", "down since", `id="pool-sentries"`},
		"/console/groups/mdm": {"front1 (here)", "votes no", "core1 good since", "answer core1, TTL 5.0 s"},
	} {
		page := bodyOf(d.do("GET", path, nil, c))
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not say %q", path, want)
			}
		}
	}
	if r := d.do("GET", "/console/groups/mdm/freeze", nil, c); r.StatusCode != 404 {
		t.Errorf("what no page has words for is offered: %s", r.Status)
	}
}
