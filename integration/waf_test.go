package integration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/record"
)

// shadowOf are the refusals in shadow of the record of a path.
func (s *server) shadowOf(path string) []record.Refusal {
	s.t.Helper()
	return s.waitFull("the record of "+path, ofPath(path)).Shadow
}

func TestWAFInShadow(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site("", "waf {\n\tcrs\n\tmode shadow\n\tbody 1KiB reject\n\tresponses text/plain\n}\nrespond /leak `ORA-00942: table or view does not exist; You have an error in your SQL syntax` 200\nrespond hello"),
	})
	want(t, "an attack", s.get("/attack?q="+url.QueryEscape(scripting), 200), "hello")
	want(t, "plain", s.get("/plain", 200), "hello")
	resp, body := s.do("POST", "/long", strings.Repeat("a", 2000), "Content-Type", "text/plain")
	if resp.StatusCode != 200 || body != "hello" {
		t.Errorf("a body over the limit: status %d, %q", resp.StatusCode, body)
	}
	for path, status := range map[string]int{"/attack": 403, "/long": 413} {
		refusals := s.shadowOf(path)
		if len(refusals) != 1 || refusals[0].Stage != "waf" || refusals[0].Status != status {
			t.Errorf("%s: refused in shadow: %+v, want by waf with %d", path, refusals, status)
		}
	}
	if refusals := s.shadowOf("/plain"); len(refusals) != 0 {
		t.Errorf("an ordinary request: refused in shadow: %+v", refusals)
	}
}

// ruled is a site whose WAF has rules in its Caddyfile and in a file.
func ruled(directives string) string {
	return site("", "waf {\n\trules {{dir}}/own.conf\n\tdirectives <<SECLANG\n"+directives+"\n\t\tSECLANG\n}\nrespond hello")
}

// TestRulesChangeUnderLoad changes rules in a file and in the Caddyfile while requests come, to good ones and to bad ones.
func TestRulesChangeUnderLoad(t *testing.T) {
	const deny = "SecRule ARGS:q \"@streq %s\" \"id:%d,phase:1,deny,status:403\"\n"
	s := startServer(t, map[string]string{
		"Caddyfile": ruled("\t\t" + fmt.Sprintf(deny, "inline", 1)),
		"own.conf":  fmt.Sprintf(deny, "zero", 2),
	})
	load := startTraffic(8, func(_, i int) error {
		resp, body, err := s.try("GET", fmt.Sprintf("/?q=%d", i), "")
		if err == nil && (resp.StatusCode != 200 || body != "hello") {
			err = fmt.Errorf("status %d: %s", resp.StatusCode, body)
		}
		return err
	})
	s.get("/?q=inline", 403)
	s.get("/?q=zero", 403)
	for n, word := range []string{"one", "two", "three"} {
		s.write("own.conf", fmt.Sprintf(deny, word, 2))
		s.write("Caddyfile", ruled(fmt.Sprintf("\t\t"+deny, "inline-"+word, 1)))
		if out, err := s.reload(); err != nil {
			t.Fatalf("reload %d: %v\n%s", n, err, out)
		}
		load.more(s, 50)
		s.get("/?q="+word, 403)
		s.get("/?q=inline-"+word, 403)
		s.get("/?q=zero", 200)
	}
	for name, c := range map[string]struct{ file, inline, say string }{
		"a file":        {"# a comment\n\nSecRule ARGS:q \"@nonesuch x\" \"id:2,phase:1,deny\"\n", "\t\t" + fmt.Sprintf(deny, "inline-three", 1), "own.conf:3"},
		"the Caddyfile": {fmt.Sprintf(deny, "three", 2), "\t\t" + fmt.Sprintf(deny, "x", 1) + "\t\tSecRule ARGS:q \"@rx (\" \"id:3,phase:1,deny\"", "directives, line 2"},
	} {
		s.write("own.conf", c.file)
		s.write("Caddyfile", ruled(c.inline))
		out, err := s.reload()
		if err == nil {
			t.Fatalf("bad rules in %s: the reload went well", name)
		}
		mustContain(t, "the error of bad rules in "+name, out, c.say, "Caddyfile:")
		load.more(s, 50)
		s.get("/?q=three", 403)
		s.get("/?q=inline-three", 403)
	}
	load.end(t)
}

// TestLongUploadIsStreamed sends 200 MB past an inspection of the first 1 MiB, to an origin that counts them.
func TestLongUploadIsStreamed(t *testing.T) {
	const size = 200 << 20
	got := make(chan int64, 1)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		got <- n
	}))
	defer origin.Close()
	s := startServer(t, map[string]string{
		"Caddyfile": site("", "waf {\n\tcrs\n\tbody 1MiB partial\n\texclude /upload 920420\n}\nreverse_proxy "+strings.TrimPrefix(origin.URL, "http://")),
	})
	s.get("/", 200)
	<-got
	before := s.memory("VmHWM")
	req, _ := http.NewRequest("POST", s.url("/upload"), io.LimitReader(zeros{}, size))
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	want(t, "bytes that arrived", <-got, int64(size))
	grown := s.memory("VmHWM") - before
	t.Logf("the server grew by %d MiB", grown>>20)
	if grown > 64<<20 {
		t.Errorf("the server grew by %d MiB for an upload of %d", grown>>20, size>>20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}
