package throttle

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseRate(t *testing.T) {
	good := map[string]Rate{
		"600/m":     {600, time.Minute},
		"10/s":      {10, time.Second},
		"1/h":       {1, time.Hour},
		"5000/d":    {5000, 24 * time.Hour},
		"3/2d":      {3, 48 * time.Hour},
		"10/30s":    {10, 30 * time.Second},
		"5/1h30m":   {5, 90 * time.Minute},
		"7/1m":      {7, time.Minute},
		"2/250ms":   {2, 250 * time.Millisecond},
		"1000000/s": {1000000, time.Second},
	}
	for in, want := range good {
		got, err := ParseRate(in)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
		if again, err := ParseRate(got.String()); err != nil || again != want {
			t.Errorf("%q: written %q, read back %v, %v", in, got, again, err)
		}
	}
	for _, in := range []string{"", "/", "10", "10/", "/m", "ten/m", "0/m", "-1/m", "+1/m", "1.5/m", "10/w", "10/0s", "10/-5s",
		"10/400d", "10/99999999d", "10/1us", "99999999999/d", "1000000000/1ms", "10/m/s", " 10/m"} {
		got, err := ParseRate(in)
		if !errors.Is(err, ErrRate) {
			t.Errorf("%q: %v, %v", in, got, err)
		} else if !strings.Contains(err.Error(), `"`+in+`"`) {
			t.Errorf("%q: the error does not name it: %v", in, err)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"600/m", "10/30s", "1/366d", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRate(s)
		if err != nil {
			return
		}
		if again, err := ParseRate(r.String()); err != nil || again != r {
			t.Fatalf("%q: %v written as %q reads as %v, %v", s, r, r.String(), again, err)
		}
	})
}
