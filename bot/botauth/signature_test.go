package botauth

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
)

// rfcKey is test-key-ed25519 of RFC 9421, appendix B.1.4, which the drafts' vectors use too.
var rfcKey = func() ed25519.PublicKey {
	key, err := base64.RawURLEncoding.DecodeString("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs")
	if err != nil {
		panic(err)
	}
	return key
}()

// The messages of RFC 9421, appendix B.2.
var (
	rfcRequest = &message{
		method: "POST", scheme: "https", authority: "example.com", target: "/foo?param=Value&Pet=dog",
		header: http.Header{
			"Date":           {"Tue, 20 Apr 2021 02:07:55 GMT"},
			"Content-Type":   {"application/json"},
			"Content-Digest": {"sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"},
			"Content-Length": {"18"},
		},
	}
	rfcResponse = &message{
		status: 200,
		header: http.Header{
			"Date":           {"Tue, 20 Apr 2021 02:07:56 GMT"},
			"Content-Type":   {"application/json"},
			"Content-Digest": {"sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:"},
			"Content-Length": {"23"},
		},
	}
)

func input(t *testing.T, text string) httpsfv.InnerList {
	t.Helper()
	d, err := httpsfv.UnmarshalDictionary([]string{"s=" + text})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := d.Get("s")
	return m.(httpsfv.InnerList)
}

// TestBase builds the signature bases of RFC 9421, appendix B.2.
func TestBase(t *testing.T) {
	for _, c := range []struct {
		name  string
		m     *message
		input string
		lines []string
	}{
		{"B.2.1", rfcRequest, `();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"`, nil},
		{"B.2.2", rfcRequest, `("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"`, []string{
			`"@authority": example.com`,
			`"content-digest": ` + rfcRequest.header.Get("Content-Digest"),
			`"@query-param";name="Pet": dog`,
		}},
		{"B.2.3", rfcRequest, `("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`, []string{
			`"date": Tue, 20 Apr 2021 02:07:55 GMT`,
			`"@method": POST`,
			`"@path": /foo`,
			`"@query": ?param=Value&Pet=dog`,
			`"@authority": example.com`,
			`"content-type": application/json`,
			`"content-digest": ` + rfcRequest.header.Get("Content-Digest"),
			`"content-length": 18`,
		}},
		{"B.2.4", rfcResponse, `("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"`, []string{
			`"@status": 200`,
			`"content-type": application/json`,
			`"content-digest": ` + rfcResponse.header.Get("Content-Digest"),
			`"content-length": 23`,
		}},
		{"the rest", rfcRequest, `("@scheme" "@request-target" "@target-uri" "host" "content-digest";key="sha-512" "content-type";bs)`, []string{
			`"@scheme": https`,
			`"@request-target": /foo?param=Value&Pet=dog`,
			`"@target-uri": https://example.com/foo?param=Value&Pet=dog`,
			`"host": example.com`,
			`"content-digest";key="sha-512": ` + strings.TrimPrefix(rfcRequest.header.Get("Content-Digest"), "sha-512="),
			`"content-type";bs: :YXBwbGljYXRpb24vanNvbg==:`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.m.base(input(t, c.input))
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Join(append(c.lines, `"@signature-params": `+c.input), "\n"); got != want {
				t.Errorf("the base is\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestAuthority puts authorities into their normal form (RFC 9421, section 2.2.3).
func TestAuthority(t *testing.T) {
	for _, c := range []struct{ scheme, authority, want string }{
		{"https", "Example.COM", "example.com"},
		{"https", "example.com:443", "example.com"},
		{"https", "example.com:80", "example.com:80"},
		{"http", "example.com:80", "example.com"},
		{"http", "example.com:8443", "example.com:8443"},
		{"https", "[::1]:443", "[::1]"},
	} {
		if got := (&message{scheme: c.scheme, authority: c.authority}).normalAuthority(); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.scheme, c.authority, got, c.want)
		}
	}
}

// TestVector verifies RFC 9421's signature by Ed25519, appendix B.2.6.
func TestVector(t *testing.T) {
	value, err := base64.StdEncoding.DecodeString("wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==")
	if err != nil {
		t.Fatal(err)
	}
	s := signature{value: value, input: input(t, `("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`)}
	if err := s.verify(rfcRequest, rfcKey); err != nil {
		t.Error(err)
	}
	other := *rfcRequest
	other.authority = "example.org"
	if err := s.verify(&other, rfcKey); !errors.Is(err, ErrSignature) {
		t.Errorf("another authority: %v", err)
	}
}

// TestComponentsRefused has what a base cannot be made of.
func TestComponentsRefused(t *testing.T) {
	for _, c := range []struct {
		input string
		want  error
	}{
		{`("x-none")`, ErrComponents},
		{`("Date")`, ErrComponents},
		{`(1)`, ErrComponents},
		{`("date" "date")`, ErrMalformed},
		{`("@status")`, ErrComponents},
		{`("@unknown")`, ErrComponents},
		{`("@authority";req)`, ErrComponents},
		{`("@authority";key="x")`, ErrComponents},
		{`("date";tr)`, ErrComponents},
		{`("content-digest";sf)`, ErrComponents},
		{`("content-digest";key="none")`, ErrComponents},
		{`("content-digest";key="sha-512";bs)`, ErrComponents},
		{`("content-type";key="a")`, ErrComponents},
		{`("@query-param")`, ErrComponents},
		{`("@query-param";name="none")`, ErrComponents},
	} {
		if base, err := rfcRequest.base(input(t, c.input)); !errors.Is(err, c.want) {
			t.Errorf("%s: %q, %v, want %v", c.input, base, err, c.want)
		}
	}
}
