package integration

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
	"github.com/gatehouse-edge/gatehouse/record"
)

// repeated is the one template that the suite's data has.
var repeated = regexp.MustCompile(`\{\{ "([^"]*)" \| repeat (\d+) \}\}`)

// crsRequest is what goes over the wire.
func crsRequest(t *testing.T, in testkit.CRSInput) []byte {
	t.Helper()
	if in.Encoded != "" {
		raw, err := base64.StdEncoding.DecodeString(in.Encoded)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	var b strings.Builder
	method, uri, version := in.Method, in.URI, "HTTP/1.1"
	if method == "" {
		method = "GET"
	}
	if uri == "" {
		uri = "/"
	}
	if in.Version != nil {
		version = *in.Version
	}
	data := repeated.ReplaceAllStringFunc(in.Data, func(template string) string {
		m := repeated.FindStringSubmatch(template)
		n, _ := strconv.Atoi(m[2])
		return strings.Repeat(m[1], n)
	})
	fmt.Fprintf(&b, "%s\r\n", strings.TrimSuffix(method+" "+uri+" "+version, " "))
	has := func(name string) bool {
		for n := range in.Headers {
			if strings.EqualFold(n, name) {
				return true
			}
		}
		return false
	}
	for name, value := range in.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
	}
	if in.Autocomplete == nil || *in.Autocomplete {
		if data != "" && !has("Content-Type") {
			b.WriteString("Content-Type: application/x-www-form-urlencoded\r\n")
		}
		if data != "" && !has("Content-Length") && !has("Transfer-Encoding") {
			fmt.Fprintf(&b, "Content-Length: %d\r\n", len(data))
		}
		if !has("Connection") {
			b.WriteString("Connection: close\r\n")
		}
	}
	b.WriteString("\r\n" + data)
	return []byte(b.String())
}

// echo answers as the suite's own echo server does: what the JSON of a request to /reflect describes.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/reflect" {
		return
	}
	var spec struct {
		Status      int
		Headers     map[string]string
		Body        string
		EncodedBody string
	}
	if err := json.NewDecoder(r.Body).Decode(&spec); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	for name, value := range spec.Headers {
		w.Header().Set(name, value)
	}
	if spec.Status != 0 {
		w.WriteHeader(spec.Status)
	}
	if spec.EncodedBody != "" {
		body, _ := base64.StdEncoding.DecodeString(spec.EncodedBody)
		spec.Body = string(body)
	}
	_, _ = io.WriteString(w, spec.Body)
}

// suiteRules set the rules up as the suite wants them: its own limits, and none of what this project allows beyond the CRS.
const suiteRules = `SecRuleRemoveById 8800002 8800003
SecAction "id:1,phase:1,t:none,pass,nolog,setvar:'tx.allowed_methods=GET HEAD POST OPTIONS',setvar:tx.crs_validate_utf8_encoding=1,\
setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,\
setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535"
SecDefaultAction "phase:3,log,auditlog,pass"
SecDefaultAction "phase:4,log,auditlog,pass"
SecDefaultAction "phase:5,log,auditlog,pass"
`

// suiteFailures are the tests that fail. Each fails with plain Coraza behind net/http too.
var suiteFailures = map[string]string{
	"920100-5": "net/http passes a CONNECT on that the suite's server refuses with 400",
	"920100-8": "net/http passes a path with a colon on that the suite's server refuses with 400",
	"920270-4": "net/http passes a NUL on that the suite's server refuses with 400",
	"920274-1": "net/http passes a control character on that the suite's server refuses with 400",
	"920280-3": "net/http answers HTTP/3.0 with 505 where the suite's server answers 400",
	"920290-4": "net/http does not tell an empty Host from none; rule 920280 matches instead",
	"920430-3": "net/http answers with 505 where the suite's server answers 400",
	"920430-5": "net/http refuses the request line before the rules see it",
	"920430-8": "net/http refuses the version before the rules see it",
	"920430-9": "net/http answers with 505 where the suite's server answers 400",
	"920610-2": "net/http passes on what the suite's server refuses with 400",
	"920620-1": "net/http does not join repeated headers, as the suite's server does",
}

// suiteResult is a stage that was sent.
type suiteResult struct {
	test   string
	stage  testkit.CRSStage
	by     *server
	id     string // of the record, "" where the server answered before there was one
	status int
	failed bool // no answer came
}

// TestCRSSuite runs the regression tests of the Core Rule Set, all of them, through a server. They are those of the module that the rules
// come from, or those of the folder that CRS_TESTS names.
func TestCRSSuite(t *testing.T) {
	t.Parallel()
	origin := httptest.NewServer(http.HandlerFunc(echo))
	defer origin.Close()
	start := func(servers string) *server {
		config := siteWith(servers, "", "header >X-Record {http.gatehouse.id}\nwaf {\n\tcrs\n\tparanoia 4\n\tmode detect\n\trules {{dir}}/suite.conf\n"+
			"\tresponses text/plain text/html application/json text/xml application/xml\n}\nreverse_proxy "+strings.TrimPrefix(origin.URL, "http://"))
		config = strings.Replace(config, "http://127.0.0.1:{{site}} {", "http://:{{site}} {", 1) // whatever the host
		return startServer(t, map[string]string{"suite.conf": suiteRules, "Caddyfile": config})
	}
	// Caddy lets headers with underscores and dots pass only where they are named, and then none like them with a hyphen.
	usual, unusual := start(""), start("\tservers {\n\t\texpected_underscore_headers X_Filename\n\t\texpected_dot_headers X.Filename\n\t}")
	results := usual.sendSuite(suiteFS(t), unusual)
	logged := map[string]record.WAFDecision{}
	for _, s := range []*server{usual, unusual} {
		s.wait("its last record", func() bool {
			last := ""
			for _, r := range results {
				if r.id != "" && r.by == s {
					last = r.id
				}
			}
			for _, r := range s.records() {
				logged[r.ID] = r.WAF
			}
			_, there := logged[last]
			return there
		})
	}
	failed := map[string]bool{}
	tests := map[string]bool{}
	for _, r := range results {
		tests[r.test] = true
		if why := r.judge(logged[r.id]); why != "" {
			failed[r.test] = true
			if _, known := suiteFailures[r.test]; !known {
				t.Errorf("%s: %s", r.test, why)
			}
		}
	}
	t.Logf("%d tests, %d passed", len(tests), len(tests)-len(failed))
	for test, why := range suiteFailures {
		if tests[test] && !failed[test] {
			t.Errorf("%s passes, but is listed as failing: %s", test, why)
		}
	}
}

func suiteFS(t *testing.T) fs.FS {
	t.Helper()
	if dir := os.Getenv("CRS_TESTS"); dir != "" {
		return os.DirFS(dir)
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/corazawaf/coraza-coreruleset/v4").Output()
	if err != nil {
		t.Fatalf("where the module of the rules lies: %v", err)
	}
	return os.DirFS(filepath.Join(strings.TrimSpace(string(out)), "tests"))
}

// sendSuite sends every request of the suite on a connection of its own: those with unusual headers to another server.
func (s *server) sendSuite(from fs.FS, unusual *server) (results []suiteResult) {
	s.t.Helper()
	testkit.CRSSuite(s.t, from, func(rule string, id int, stage testkit.CRSStage) {
		r := suiteResult{test: fmt.Sprintf("%s-%d", rule, id), stage: stage, by: s}
		for name := range stage.Input.Headers {
			if strings.ContainsAny(name, "_.") {
				r.by = unusual
			}
		}
		var err error
		r.status, r.id, err = r.by.sendRaw(crsRequest(s.t, stage.Input))
		r.failed = err != nil
		results = append(results, r)
	})
	if len(results) < 4000 {
		s.t.Fatalf("only %d requests were found", len(results))
	}
	return results
}

func (s *server) sendRaw(request []byte) (status int, id string, err error) {
	conn, err := net.Dial("tcp", s.address())
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := conn.Write(request); err != nil {
		return 0, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("X-Record"), nil
}

// judge gives what of a stage does not hold.
func (r suiteResult) judge(d record.WAFDecision) string {
	out := r.stage.Output
	if r.failed {
		if out.ExpectError {
			return ""
		}
		return "no answer"
	}
	var text strings.Builder
	var ids []int
	// The rules that add scores up are the decision's scores.
	if d.Score >= 5 {
		ids = append(ids, 949110)
		text.WriteString("Inbound Anomaly Score Exceeded (Total Score: ")
	}
	if d.OutboundScore >= 4 {
		ids = append(ids, 959100)
		text.WriteString("Outbound Anomaly Score Exceeded (Total Score: ")
	}
	if d.Score > 0 {
		ids = append(ids, 980170)
	}
	for _, m := range d.Rules {
		if m.ID == 200002 {
			text.WriteString("Multipart parsing error: Multipart: Invalid part header (contains invalid character)\n") // the data of the rule's message
		}
		ids = append(ids, m.ID)
		fmt.Fprintf(&text, "[id \"%d\"] [msg \"%s\"]\n", m.ID, m.Message)
	}
	for _, id := range out.Log.Expect {
		if !slices.Contains(ids, id) {
			return fmt.Sprintf("rule %d did not match; status %d, rules %v", id, r.status, ids)
		}
	}
	for _, id := range out.Log.NoExpect {
		if slices.Contains(ids, id) {
			return fmt.Sprintf("rule %d matched", id)
		}
	}
	// The record has no values of the request, so of an expression that looks for one the rule is looked at that the test is about.
	if e := out.Log.Match; strings.Contains(e, "ARGS:") || strings.Contains(e, "found within") {
		rule, _, _ := strings.Cut(r.test, "-")
		if id, err := strconv.Atoi(rule); err != nil || !slices.Contains(ids, id) {
			return fmt.Sprintf("rule %s did not match; status %d, rules %v", rule, r.status, ids)
		}
	}
	if e := out.Log.Match; e != "" && !strings.Contains(e, "ARGS:") && !strings.Contains(e, "found within") && !regexp.MustCompile(e).MatchString(text.String()) {
		return fmt.Sprintf("nothing matches %s in %s", e, text.String())
	}
	if e := out.Log.NoMatch; e != "" && regexp.MustCompile(e).MatchString(text.String()) {
		return fmt.Sprintf("something matches %s in %s", e, text.String())
	}
	if out.Status != 0 && out.Status != r.status && len(out.Log.Expect) == 0 {
		return fmt.Sprintf("status %d, want %d", r.status, out.Status)
	}
	return ""
}
