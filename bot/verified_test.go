package bot

import (
	"slices"
	"testing"
)

func TestJudge(t *testing.T) {
	allowed := []AllowedAgent{{"https://agent.example.com", []string{"ExampleAgent/"}}, {"https://other.example.com", []string{"other.example.com"}}}
	tool := Result{Score: scoreLibrary, Reasons: []string{ReasonHTTPLibrary}}
	for _, c := range []struct {
		name, userAgent, proven, claimed string
		want                             Result
	}{
		{"nobody", "curl/8", "", "", tool},
		{"an allowed agent", "ExampleAgent/1", "https://agent.example.com", "https://agent.example.com", Result{95, []string{ReasonVerifiedAgent}, true}},
		{"an allowed agent with another's user agent", "ExampleAgent/1", "https://other.example.com", "", Result{95, []string{ReasonVerifiedAgent}, true}},
		{"a verified agent that is not allowed", "curl/8", "https://third.example.com", "https://third.example.com", Result{tool.Score, tool.Reasons, true}},
		{"a user agent without proof", "Mozilla/5.0 (compatible; exampleagent/1.0)", "", "", Result{1, []string{ReasonHTTPLibrary, ReasonSpoofedAgent}, false}},
		{"an origin without proof", "curl/8", "", "https://agent.example.com", Result{1, []string{ReasonHTTPLibrary, ReasonSpoofedAgent}, false}},
		{"another verified agent with the user agent", "ExampleAgent/1", "https://third.example.com", "", Result{1, []string{ReasonHTTPLibrary, ReasonSpoofedAgent}, true}},
	} {
		r := tool
		r.Reasons = slices.Clone(tool.Reasons)
		got := r.Judge(c.userAgent, c.proven, c.claimed, allowed)
		if got.Score != c.want.Score || got.Verified != c.want.Verified || !slices.Equal(got.Reasons, c.want.Reasons) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
