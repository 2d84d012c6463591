package egress

import (
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// chest has values by their references. It finds them as they are, and in base64.
type chest map[string]string

func (c chest) Open(_ context.Context, ref string) (string, error) {
	if v, ok := c[ref]; ok {
		return v, nil
	}
	return "", fmt.Errorf("there is no %s", ref)
}

func (c chest) Search(refs []string, except bool) (Search, error) {
	if c["broken"] != "" {
		return nil, errors.New("broken")
	}
	var found finds
	for ref, value := range c {
		if slices.Contains(refs, ref) != except {
			found.words = append(found.words, value, base64.StdEncoding.EncodeToString([]byte(value)))
			found.names = append(found.names, ref, ref)
		}
	}
	return found, nil
}

type finds struct {
	words words
	names []string
}

func (f finds) Longest() int { return f.words.Longest() }

func (f finds) Next(b []byte, from, to int) (int, int, string) {
	at, n, word := f.words.Next(b, from, to)
	if n == 0 {
		return 0, 0, ""
	}
	return at, n, f.names[slices.Index(f.words, word)]
}

func (f finds) InName(host string) string {
	for i, w := range f.words {
		if strings.Contains(strings.ToLower(strings.ReplaceAll(host, ".", "")), strings.ToLower(w)) {
			return f.names[i]
		}
	}
	return ""
}

var treasure = chest{"secret.openai": "sk-open-sesame", "secret.user": "alibaba", "secret.crm": "crm-password-of-forty", "secret.aws": "wJalrXUtnFEMI/K7MDENG"}

// reached starts a server that tells what reached it, and gives a policy that can call it by the name api.example.com, without TLS.
func reached(t *testing.T, config Config, handler http.HandlerFunc) *Policy {
	t.Helper()
	server := serve(t, handler)
	w := &wires{plain: address(server)}
	config.Resolver = &names{answers: map[string][][]netip.Addr{"api.example.com": answer("93.184.216.34"), "other.example.com": answer("93.184.216.35"), "deep.wild.example": answer("93.184.216.36")}}
	config.Dial = w.dial
	return newPolicy(t, config)
}

func TestInject(t *testing.T) {
	tests := []struct {
		name   string
		inject Injection
		want   func(r *http.Request, body string) (got, want string)
	}{
		{"bearer", InjectHeader{"Authorization", "Bearer {secret.openai}"}, func(r *http.Request, _ string) (string, string) {
			return r.Header.Get("Authorization"), "Bearer sk-open-sesame"
		}},
		{"header", InjectHeader{"x-api-key", "{secret.user}/{secret.openai}"}, func(r *http.Request, _ string) (string, string) {
			return strings.Join(r.Header.Values("X-Api-Key"), ","), "alibaba/sk-open-sesame"
		}},
		{"query", InjectQuery{"key", "{secret.openai}"}, func(r *http.Request, _ string) (string, string) {
			return r.URL.RawQuery, "a=1&b=%20x&key=sk-open-sesame"
		}},
		{"basic", InjectBasic{"{secret.user}", "{secret.crm}"}, func(r *http.Request, _ string) (string, string) {
			user, password, _ := r.BasicAuth()
			return user + ":" + password, "alibaba:crm-password-of-forty"
		}},
		{"hmac", InjectHMAC{"X-Signature", "sha256={hmac}", "{secret.crm}"}, func(r *http.Request, body string) (string, string) {
			mac := hmac.New(sha256.New, []byte("crm-password-of-forty"))
			mac.Write([]byte(body))
			return r.Header.Get("X-Signature"), "sha256=" + hex.EncodeToString(mac.Sum(nil))
		}},
		{"hmac in base64", InjectHMAC{"X-Signature", "{hmac.base64}", "{secret.crm}"}, func(r *http.Request, body string) (string, string) {
			mac := hmac.New(sha256.New, []byte("crm-password-of-forty"))
			mac.Write([]byte(body))
			return r.Header.Get("X-Signature"), base64.StdEncoding.EncodeToString(mac.Sum(nil))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got, want, body string
			p := reached(t, Config{Secrets: treasure, Allow: []Rule{{Host: "api.example.com", Inject: []Injection{test.inject}, Plain: true}}},
				func(_ http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					body = string(b)
					got, want = test.want(r, body)
				})
			req, err := http.NewRequest("POST", "http://api.example.com/v1?a=1&key=mine&b=%20x&k%65y=mine", strings.NewReader("the body"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = http.Header{"Authorization": {"mine"}, "X-Api-Key": {"mine", "mine"}}
			var calls []Call
			result, _, err := fetch(t, p, req, Options{Observe: func(c Call) { calls = append(calls, c) }})
			if err != nil {
				t.Fatal(err)
			}
			if got != want || body != "the body" {
				t.Errorf("the server got %q, want %q; body %q", got, want, body)
			}
			if url := result.URL.String(); strings.Contains(url, "sesame") {
				t.Errorf("the code is told %s", url)
			}
			refs, _ := test.inject.refs()
			if len(calls) != 1 || !slices.Equal(calls[0].Injected, refs) || calls[0].BytesOut != int64(len("the body")) {
				t.Errorf("reported %+v", calls)
			}
			if req.Header.Get("Authorization") != "mine" {
				t.Error("the request was changed")
			}
		})
	}
}

// TestInjectAWS signs as AWS describes it: the same request with the same time has the signature that the description's steps give.
func TestInjectAWS(t *testing.T) {
	var header http.Header
	p := reached(t, Config{Secrets: treasure, Allow: []Rule{{Host: "api.example.com", Plain: true,
		Inject: []Injection{InjectAWS{Region: "us-east-1", Service: "iam", KeyID: "AKIDEXAMPLE", Secret: "{secret.aws}"}}}}},
		func(_ http.ResponseWriter, r *http.Request) { header = r.Header.Clone() })
	req, _ := http.NewRequest("POST", "http://api.example.com/?Version=1&Action=List%20Users", strings.NewReader("a=b"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Amz-Date", "forged")
	if _, _, err := fetch(t, p, req, Options{}); err != nil {
		t.Fatal(err)
	}
	date := header.Get("X-Amz-Date")
	scope := date[:8] + "/us-east-1/iam/aws4_request"
	signed := "content-length;content-type;host;x-amz-date"
	sum := func(s string) string {
		h := sha256.Sum256([]byte(s))
		return hex.EncodeToString(h[:])
	}
	canonical := "POST\n/\nAction=List%20Users&Version=1\ncontent-length:3\ncontent-type:application/x-www-form-urlencoded\nhost:api.example.com\nx-amz-date:" + date + "\n\n" + signed + "\n" + sum("a=b")
	mac := func(key []byte, s string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	key := mac(mac(mac(mac([]byte("AWS4"+treasure["secret.aws"]), date[:8]), "us-east-1"), "iam"), "aws4_request")
	want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/" + scope + ", SignedHeaders=" + signed + ", Signature=" +
		hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+sum(canonical)))
	if got := header.Get("Authorization"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestEchoes strikes credentials out of what servers send back.
func TestEchoes(t *testing.T) {
	value := treasure["secret.openai"]
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/body":
			fmt.Fprintf(w, "you sent %s and %s", r.Header.Get("Authorization"), base64.StdEncoding.EncodeToString([]byte(value)))
		case "/pieces":
			for _, c := range "you sent " + value + "!" {
				fmt.Fprintf(w, "%c", c)
				w.(http.Flusher).Flush()
			}
		case "/header":
			w.Header().Set("X-Echo", "got "+value)
			w.Header().Set("X-"+value, "1")
		case "/redirect":
			http.Redirect(w, r, "http://other.example.com/?key="+value, http.StatusFound)
		case "/gzip":
			if r.Header.Get("Accept-Encoding") != "gzip" {
				t.Errorf("asked for %q", r.Header.Get("Accept-Encoding"))
			}
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			fmt.Fprintf(z, "you sent %s", value)
			z.Close()
		case "/br":
			w.Header().Set("Content-Encoding", "br")
			fmt.Fprint(w, "whatever")
		case "/":
			fmt.Fprintf(w, "elsewhere: %s, %s", r.URL.RawQuery, r.Header.Get("Authorization"))
		}
	}
	p := reached(t, Config{Secrets: treasure, Allow: []Rule{
		{Host: "api.example.com", Plain: true, Inject: []Injection{InjectHeader{"Authorization", "Bearer {secret.openai}"}}},
		{Host: "other.example.com"}}}, handler)
	for path, want := range map[string]string{
		"/body":     "you sent Bearer [redacted:secret.openai] and [redacted:secret.openai]",
		"/pieces":   "you sent [redacted:secret.openai]!",
		"/gzip":     "you sent [redacted:secret.openai]",
		"/redirect": "elsewhere: key=[redacted:secret.openai], ",
		"/header":   "",
	} {
		req := get(t, "http://api.example.com"+path)
		req.Header.Set("Accept-Encoding", "br")
		req.Header.Set("Range", "bytes=0-10")
		result, body, err := fetch(t, p, req, Options{})
		if err != nil || body != want {
			t.Errorf("%s: %q, want %q (%v)", path, body, want, err)
			continue
		}
		if all := fmt.Sprint(result.Response.Header, result.URL); strings.Contains(strings.ToLower(all), value) {
			t.Errorf("%s: the value is in %s", path, all)
		}
	}
	_, _, err := fetch(t, p, get(t, "http://api.example.com/br"), Options{})
	if refused, ok := errors.AsType[*Refusal](err); !ok || refused.Rule != RuleInject {
		t.Errorf("a coding that cannot be searched: %v", err)
	}
}

// TestInjectRefuses refuses what would give a credential away, and never sends a request without it.
func TestInjectRefuses(t *testing.T) {
	sent := 0
	bearer := []Injection{InjectHeader{"Authorization", "Bearer {secret.openai}"}}
	p := reached(t, Config{Secrets: treasure, Allow: []Rule{
		{Host: "api.example.com", Inject: bearer},
		{Host: "other.example.com", Plain: true, Inject: []Injection{InjectHeader{"Authorization", "{secret.gone}"}}},
	}}, func(http.ResponseWriter, *http.Request) { sent++ })
	for url, want := range map[string]string{
		"http://api.example.com/":   "https only",
		"http://other.example.com/": "there is no secret.gone",
	} {
		_, _, err := fetch(t, p, get(t, url), Options{})
		if refused, ok := errors.AsType[*Refusal](err); !ok || refused.Rule != RuleInject || !strings.Contains(refused.Reason, want) {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, _, err := fetch(t, p, get(t, "https://api.example.com/"), Options{WebSocket: true}); err == nil || !strings.Contains(err.Error(), "WebSocket") {
		t.Errorf("a WebSocket: %v", err)
	}
	if sent > 0 {
		t.Errorf("%d requests were sent", sent)
	}
	for _, in := range []Injection{
		InjectHeader{"Authorization", "Bearer mine"}, InjectHeader{"Host", "{secret.a}"}, InjectHeader{"Proxy-Authorization", "{secret.a}"}, InjectHeader{"a b", "{secret.a}"},
		InjectHeader{"A", "{env.HOME}{secret.a}"}, InjectHeader{"A", "{secret.}"}, InjectHeader{"A", "{secret.a"}, InjectHeader{"A", "secret.a}"},
		InjectQuery{"", "{secret.a}"}, InjectHMAC{"A", "no place", "{secret.a}"}, InjectAWS{Service: "s3"}, InjectAWS{Region: "r", Service: "s"},
	} {
		if _, err := New(Config{Secrets: treasure, Allow: []Rule{{Host: "api.example.com", Inject: []Injection{in}}}}); err == nil {
			t.Errorf("%#v is taken", in)
		}
	}
	if _, err := New(Config{Allow: []Rule{{Host: "api.example.com", Inject: bearer}}}); err == nil {
		t.Error("an injection without secrets is taken")
	}
}
