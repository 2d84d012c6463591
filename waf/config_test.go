package waf

import (
	"errors"
	"testing"
)

func TestConfigRefusesWhatIsOutOfRange(t *testing.T) {
	bad := map[string]Config{
		"paranoia":          {Paranoia: 5},
		"negative paranoia": {Paranoia: -1},
		"anomaly":           {Anomaly: -1},
		"mode":              {Mode: 7},
		"body action":       {BodyOver: 7},
		"body limit":        {BodyLimit: -1},
		"huge body limit":   {BodyLimit: 1 << 40},
		"response limit":    {ResponseLimit: -1},
		"relative path":     {Exclude: []Exclusion{{Path: "upload", IDs: []int{1}}}},
		"quote in path":     {Exclude: []Exclusion{{Path: `/a" "id:1`, IDs: []int{1}}}},
		"macro in path":     {Exclude: []Exclusion{{Path: "/%{ARGS.a}", IDs: []int{1}}}},
		"newline in path":   {Exclude: []Exclusion{{Path: "/a\nSecRuleEngine Off", IDs: []int{1}}}},
		"star in path":      {Exclude: []Exclusion{{Path: "/*/a", IDs: []int{1}}}},
		"no rule id":        {Exclude: []Exclusion{{Path: "/a"}}},
		"bad rule id":       {Exclude: []Exclusion{{Path: "/a", IDs: []int{0}}}},
		"media type":        {Responses: []string{"html"}},
		"media range":       {Responses: []string{"text/*"}},
		"parameters":        {Responses: []string{"text/html; charset=utf-8"}},
		"event stream":      {Responses: []string{"text/event-stream"}},
		"grpc":              {Responses: []string{"application/grpc+proto"}},
	}
	for name, c := range bad {
		t.Run(name, func(t *testing.T) {
			if _, err := New(c, nil); !errors.Is(err, ErrConfig) {
				t.Errorf("error %v, want ErrConfig", err)
			}
		})
	}
}

func TestKeyIsCanonical(t *testing.T) {
	base := Config{CRS: true}
	same := Config{CRS: true, Paranoia: 1, Anomaly: 5, BodyLimit: DefaultBodyLimit, ResponseLimit: DefaultResponseLimit}
	if base.Key() != same.Key() {
		t.Error("defaults spelt out give another key")
	}
	a := Config{Responses: []string{"text/html", "text/plain"}}
	b := Config{Responses: []string{"Text/Plain", "text/html", "text/html"}}
	if a.Key() != b.Key() {
		t.Error("the order of media types gives another key")
	}
	seen := map[string]int{}
	for i, c := range []Config{
		{}, {CRS: true}, {Paranoia: 2}, {Anomaly: 6}, {Mode: ModeDetect}, {BodyLimit: 5}, {BodyOver: Partial},
		{Directives: "SecAction \"id:1,phase:1,pass\""}, {Exclude: []Exclusion{{Path: "/a", IDs: []int{1}}}},
		{Exclude: []Exclusion{{Path: "/a", IDs: []int{2}}}}, {Responses: []string{"text/html"}}, {ResponseLimit: 5},
	} {
		if other, ok := seen[c.Key()]; ok {
			t.Errorf("configurations %d and %d have the same key", i, other)
		}
		seen[c.Key()] = i
	}
}
