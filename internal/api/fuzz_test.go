package api_test

import (
	"encoding/json"
	"testing"

	"github.com/understudy-ha/understudy/internal/api"
)

// Whatever is sent as a wish, the answer is JSON, and traffic moves only where
// the wish says so.
func FuzzAnyWishIsAnswered(f *testing.F) {
	f.Add("hold", `{"reason":"x","for":"2h"}`)
	f.Add("switch", `{"reason":"x","to":"dr1","force":true,"epoch":1}`)
	f.Add("reorder", `{"reason":"x","order":["core2","core1","dr1"],"dry_run":true}`)
	f.Add("resume", `{"reason":"x","until":"2099-01-01T00:00:00Z"}`)
	f.Add("release", "{\"reason\":\"\x00\"")
	f.Fuzz(func(t *testing.T, verb, body string) {
		m := pair()
		req := post("/", body)
		req.URL.Path = "/understudy/groups/mdm/" + verb
		resp, text := ask(t, m, req)
		switch resp.StatusCode {
		case 200, 400, 404, 405, 409:
		case 307, 308: // the path was not clean
			return
		default:
			t.Errorf("got %d %s", resp.StatusCode, text)
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("got %q, want JSON", text)
		}
		var sent api.Body
		_ = json.Unmarshal([]byte(body), &sent)
		if s := situation(t, m); s.Traffic.Serving != "core1" && s.Traffic.Serving != sent.To {
			t.Errorf("traffic moved to %s", s.Traffic.Serving)
		}
	})
}
