package waf

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// judge inspects a request and returns the verdict after Close.
func judge(t testing.TB, e *Engine, r *http.Request) Verdict {
	t.Helper()
	tx, err := e.Inspect(r, caller, "test")
	if err != nil {
		t.Fatal(err)
	}
	tx.Close()
	return tx.Verdict()
}

func hasTag(v Verdict, tag string) bool {
	return slices.ContainsFunc(v.Rules, func(m Match) bool { return slices.Contains(m.Tags, tag) })
}

func hasRule(v Verdict, id int) bool {
	return slices.ContainsFunc(v.Rules, func(m Match) bool { return m.ID == id })
}

func TestBenignRequestsPass(t *testing.T) {
	e := newEngine(t, Config{CRS: true})
	for _, tc := range benign {
		t.Run(tc.name, func(t *testing.T) {
			r := tc.make()
			want := ""
			if r.Method != http.MethodConnect {
				b, _ := io.ReadAll(tc.make().Body)
				want = string(b)
			}
			v := judge(t, e, r)
			if v.Action != Pass || v.Status != 0 {
				t.Errorf("verdict %s %d, score %d: %+v", v.Action, v.Status, v.Score, v.Rules)
			}
			if r.Method == http.MethodConnect {
				return // its body is the socket
			}
			if got, err := io.ReadAll(r.Body); err != nil || string(got) != want {
				t.Errorf("the next handler reads %d bytes (%v), the client sent %d", len(got), err, len(want))
			}
		})
	}
}

func TestAddressAsHostScoresBelowTheThreshold(t *testing.T) {
	e := newEngine(t, Config{CRS: true})
	r := browser("GET", "/", "", "")
	r.Host = "192.0.2.10:8080"
	v := judge(t, e, r)
	if v.Action != Pass || v.Score != 3 || !hasRule(v, 920350) {
		t.Errorf("verdict %s, score %d, rules %+v; want pass, 3, 920350", v.Action, v.Score, v.Rules)
	}
}

func TestAttacks(t *testing.T) {
	block := newEngine(t, Config{CRS: true})
	detect := newEngine(t, Config{CRS: true, Mode: ModeDetect})
	for _, tc := range attacks {
		t.Run(tc.name, func(t *testing.T) {
			v := judge(t, block, tc.make())
			if v.Action != Block || v.Status != http.StatusForbidden || v.Score < DefaultAnomaly {
				t.Errorf("block mode: %s %d, score %d", v.Action, v.Status, v.Score)
			}
			if !hasTag(v, tc.tag) {
				t.Errorf("no rule tagged %s in %+v", tc.tag, v.Rules)
			}
			r := tc.make()
			d := judge(t, detect, r)
			if d.Action != Detect || d.Status != http.StatusForbidden || d.Score != v.Score {
				t.Errorf("detect mode: %s %d, score %d; block mode scored %d", d.Action, d.Status, d.Score, v.Score)
			}
			want, _ := io.ReadAll(tc.make().Body)
			if got, err := io.ReadAll(r.Body); err != nil || string(got) != string(want) {
				t.Errorf("detect mode: the next handler reads %q (%v)", got, err)
			}
		})
	}
}

func TestInvalidJSONIsRefusedWith400(t *testing.T) {
	for _, crs := range []bool{false, true} {
		v := judge(t, newEngine(t, Config{CRS: crs}), browser("POST", "/", "application/json", `{"a":`))
		if v.Action != Block || v.Status != http.StatusBadRequest || !hasRule(v, 200002) {
			t.Errorf("crs %v: %s %d %+v", crs, v.Action, v.Status, v.Rules)
		}
	}
}

func TestVerdictHoldsNoValueOfTheRequest(t *testing.T) {
	e := newEngine(t, Config{CRS: true, Paranoia: 4, Directives: `SecRule ARGS:key "@rx ." "id:1,phase:2,pass,log,msg:'key is %{MATCHED_VAR}',logdata:'%{MATCHED_VAR}'"`})
	const secret = "s3cr3t-token-value"
	v := judge(t, e, with(browser("GET", "/?key="+secret+"%27%20OR%201=1--", "", ""), "X-Middleware-Subrequest", secret))
	if len(v.Rules) == 0 || !hasRule(v, 1) {
		t.Fatalf("nothing matched: %+v", v)
	}
	for _, m := range v.Rules {
		for _, s := range append([]string{m.Message, m.Severity}, m.Tags...) {
			if strings.Contains(s, secret) || strings.Contains(s, "%{") {
				t.Errorf("rule %d carries %q", m.ID, s)
			}
		}
	}
}

func TestParanoiaAndAnomaly(t *testing.T) {
	// A single quote in a word is seen from paranoia level 2 or higher on.
	make := func() *http.Request {
		return browser("GET", "/?name=select%20%22x%22%20%27%27%20--%20%3B%28%29", "", "")
	}
	low := judge(t, newEngine(t, Config{CRS: true, Anomaly: 1000}), make())
	high := judge(t, newEngine(t, Config{CRS: true, Anomaly: 1000, Paranoia: 4}), make())
	if high.Score <= low.Score {
		t.Errorf("score at paranoia 4 is %d, at 1 it is %d", high.Score, low.Score)
	}
	if high.Action != Pass {
		t.Errorf("a score of %d below the threshold of 1000 gave %s", high.Score, high.Action)
	}
	if !slices.ContainsFunc(high.Rules, func(m Match) bool { return m.Paranoia > 1 }) {
		t.Errorf("no rule of a higher level in %+v", high.Rules)
	}
	strict := judge(t, newEngine(t, Config{CRS: true, Anomaly: 3}), func() *http.Request {
		r := browser("GET", "/", "", "")
		r.Host = "192.0.2.10"
		return r
	}())
	if strict.Action != Block || strict.Score != 3 {
		t.Errorf("threshold 3: %s with score %d", strict.Action, strict.Score)
	}
}

func TestClientAddressIsTheCallers(t *testing.T) {
	e := newEngine(t, Config{Directives: `SecRule REMOTE_ADDR "@ipMatch 203.0.113.0/24" "id:1,phase:1,deny,status:451,msg:'that network'"`})
	r := browser("GET", "/", "", "")
	r.RemoteAddr = "127.0.0.1:9"
	if v := judge(t, e, r); v.Status != 451 {
		t.Errorf("status %d, want 451", v.Status)
	}
}

func TestLoopbackGetsNoExemption(t *testing.T) {
	e := newEngine(t, Config{CRS: true})
	r := with(browser("GET", "/", "", ""), "User-Agent", "Apache (internal dummy connection)")
	r.Header.Set("Cookie", "id=1' UNION SELECT password FROM users -- ")
	local := caller
	local.IP = localhost
	tx, err := e.Inspect(r, local, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	if v := tx.Verdict(); v.Action != Block {
		t.Errorf("verdict %s", v.Action)
	}
}

func TestExclude(t *testing.T) {
	e := newEngine(t, Config{CRS: true, Exclude: []Exclusion{
		{Path: "/upload", IDs: []int{942100}},
		{Path: "/docs/*", IDs: []int{942100}},
	}})
	const query = "?q=1%27%20OR%20%271%27%3D%271%27%20--%20"
	for path, want := range map[string]Action{
		"/upload":                    Pass,
		"/upload/":                   Block,
		"/docs/a":                    Pass,
		"/docs":                      Block,
		"/docs/../admin":             Block,
		"/docs/%2e%2e/admin":         Block,
		"/docs/%252e%252e/admin":     Block,
		"/docs/..%5cadmin":           Block,
		"/other":                     Block,
		"/other?x=/upload&path=/doc": Block,
	} {
		target := path + query
		if strings.Contains(path, "?") {
			target = path + "&" + query[1:]
		}
		if v := judge(t, e, browser("GET", target, "", "")); v.Action != want {
			t.Errorf("%s: %s, want %s (%+v)", path, v.Action, want, v.Rules)
		}
	}
}

func TestManyArgumentsAreNotAHidingPlace(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"pad":[0`)
	for range argumentLimit {
		b.WriteString(",0")
	}
	b.WriteString(`],"x":"` + sqli + `"}`)
	v := judge(t, newEngine(t, Config{CRS: true}), browser("POST", "/", "application/json", b.String()))
	if v.Action != Block || v.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("%s %d, want block 413", v.Action, v.Status)
	}
}

func TestOneEngineServesConcurrentRequests(t *testing.T) {
	e := newEngine(t, Config{CRS: true})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, tc := range attacks {
				if v := judge(t, e, tc.make()); v.Action != Block {
					t.Errorf("%s: %s", tc.name, v.Action)
				}
			}
			for _, tc := range benign {
				if v := judge(t, e, tc.make()); v.Action != Pass {
					t.Errorf("%s: %s", tc.name, v.Action)
				}
			}
		})
	}
	wg.Wait()
}

// TestCloseLeavesOpenTransactionsValid is what a reload does: the old engine closes while requests still run.
func TestCloseLeavesOpenTransactionsValid(t *testing.T) {
	e, err := New(inspecting("text/plain"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := browser("GET", "/", "", "")
	tx, err := e.Inspect(r, caller, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	w := tx.ResponseWriter(rec, r, nil)
	w.Header().Set("Content-Type", "text/plain")
	if _, err := io.WriteString(w, leak); err != nil {
		t.Fatal(err)
	}
	if v, err := tx.Finish(); err != nil || v.Action != Block || rec.Code != http.StatusForbidden {
		t.Errorf("%s, %d, %v", v.Action, rec.Code, err)
	}
}
