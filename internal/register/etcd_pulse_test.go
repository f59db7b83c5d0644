package register

import (
	"strings"
	"testing"
)

func TestOldVersionsOfEtcdAreRefused(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"3.3.27": false, "3.4.0": false, "3.4.23": false, "3.4.31": false, "3.4.32": true, "3.4.40": true,
		"3.5.0": false, "3.5.13": false, "3.5.14": true, "3.5.21": true, "3.6.0": true, "3.6.8": true, "3.6.0-rc.1": true, "v3.6.1": true,
		"3.7.0": true, "3.10.2": true, "4.0.0": true, "2.3.8": false, "": false, "3": false, "3.x.1": false, "not decided": false,
	} {
		err := fit(version)
		if (err == nil) != want {
			t.Errorf("%q: %v", version, err)
		}
		if err != nil && !strings.Contains(err.Error(), "3.5.14") {
			t.Errorf("%q: %v does not say what is needed", version, err)
		}
	}
}
