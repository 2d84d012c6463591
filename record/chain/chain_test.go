package chain

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/record"
)

var key = []byte(strings.Repeat("k", 32))

func signer(t *testing.T, site string) *Signer {
	t.Helper()
	s, err := NewSigner(site, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCycle(t *testing.T) {
	hops := []record.Hop{{Agent: "a"}, {Agent: "b", Actor: strings.Repeat("0", 64)}, {Agent: "c", Entry: "Tools"}}
	for _, c := range []struct {
		next record.Hop
		want string
	}{
		{record.Hop{Agent: "a", Method: "GET"}, "a -> b actor 000000000000 -> c/Tools -> a"},
		{record.Hop{Agent: "c", Entry: "Tools"}, "c/Tools -> c/Tools"},
		{record.Hop{Agent: "c"}, ""},
		{record.Hop{Agent: "b", Actor: strings.Repeat("1", 64)}, ""},
		{record.Hop{Agent: "a", Site: "elsewhere"}, ""},
	} {
		if got := Cycle(hops, c.next); got != c.want {
			t.Errorf("%+v: %q, want %q", c.next, got, c.want)
		}
	}
}

func TestSignedChain(t *testing.T) {
	now := time.Now()
	here, there := signer(t, "here"), signer(t, "there")
	hops := []record.Hop{{Agent: "a"}, {Agent: "b", Site: "there"}}
	token, err := here.Sign(hops, "There.example", now)
	if err != nil {
		t.Fatal(err)
	}
	got, err := there.Verify(token, "there.example", now.Add(time.Second))
	want := []record.Hop{{Agent: "a", Site: "here"}, {Agent: "b"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v; want %+v", got, err, want)
	}

	parts := strings.Split(token, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	cut := strings.Replace(string(payload), `{"agent":"a","site":"here"},`, "", 1)
	if cut == string(payload) {
		t.Fatal("nothing was cut:", cut)
	}
	other, _ := NewSigner("there", []byte(strings.Repeat("x", 32)))
	forged, _ := other.Sign(hops, "there.example", now)
	for name, c := range map[string]struct {
		token, host string
		at          time.Time
	}{
		"a hop cut out":       {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(cut)) + "." + parts[2], "there.example", now},
		"another key":         {forged, "there.example", now},
		"no signature":        {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", "there.example", now},
		"for another host":    {token, "elsewhere.example", now},
		"too old":             {token, "there.example", now.Add(2 * time.Minute)},
		"of the future":       {token, "there.example", now.Add(-time.Minute)},
		"cut in the middle":   {token[:len(token)-7], "there.example", now},
		"empty":               {"", "there.example", now},
		"longer than allowed": {token + strings.Repeat("A", maxHeader), "there.example", now},
	} {
		if hops, err := there.Verify(c.token, c.host, c.at); err == nil {
			t.Errorf("%s: taken, as %+v", name, hops)
		}
	}
	if _, err := NewSigner("x", []byte("short")); err != ErrKey {
		t.Errorf("a short key: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	s, _ := NewSigner("here", key)
	good, _ := s.Sign([]record.Hop{{Agent: "a"}}, "here", time.Now())
	f.Add(good)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, value string) {
		if hops, err := s.Verify(value, "here", time.Now()); err == nil && value != good {
			// Base64 has bits that say nothing; what is said must be the same.
			if len(hops) != 1 || hops[0].Agent != "a" {
				t.Fatalf("%q was taken: %+v", value, hops)
			}
		}
	})
}
