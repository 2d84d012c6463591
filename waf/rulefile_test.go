package waf

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write puts a rule file into dir and returns its path.
func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const denyRule = `SecRule REQUEST_HEADERS:X-Test "@streq yes" "id:101,phase:1,deny,status:418,msg:'test'"`

func TestRuleErrorsNameFileAndLine(t *testing.T) {
	const good = "# a comment\n\n" + denyRule + "\n"
	tests := []struct {
		name    string
		content string
		at      string // what the error names
	}{
		{"unknown directive", good + "\nSecNonsense On\n", "bad.conf:5"},
		{"unknown operator", good + `SecRule ARGS "@nonsense x" "id:102,phase:1,pass"`, "bad.conf:4"},
		{"unknown variable", `SecRule NONSENSE "@rx x" "id:102,phase:1,pass"`, "bad.conf:1"},
		{"bad expression", good + "SecRule ARGS \"@rx (\" \\\n  \"id:102,phase:1,pass\"\n", "bad.conf:4"},
		{"same id twice", good + "# again\n" + denyRule, "bad.conf:5"},
		{"missing data file", good + `SecRule ARGS "@pmFromFile nowhere.data" "id:102,phase:1,pass"`, "bad.conf:4"},
		{"missing include", good + "Include nowhere.conf", "bad.conf:4"},
		{"unfinished directive", good + "SecRule ARGS \"@rx x\" \\\n", "bad.conf:4"},
		{"line too long", good + "# " + strings.Repeat("x", 70000) + "\n" + denyRule, "bad.conf:4"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			first := write(t, dir, "a.conf", `SecRule ARGS "@rx first" "id:99,phase:2,pass,msg:'first'"`)
			bad := write(t, dir, "bad.conf", tc.content)
			e, err := New(Config{RuleFiles: []string{first, bad}}, nil)
			if err == nil {
				_ = e.Close()
				t.Fatal("no error")
			}
			if !errors.Is(err, ErrRules) || !strings.Contains(err.Error(), tc.at) {
				t.Errorf("error %q does not name %s", err, tc.at)
			}
		})
	}
}

func TestRuleErrorInAnIncludedFileAmongTheCRS(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "inner.conf", "# inner\nSecRule ARGS \"@nonsense x\" \"id:102,phase:1,pass\"\n")
	write(t, dir, "outer-after-crs.conf", denyRule+"\nInclude inner.conf\n")
	_, err := New(Config{CRS: true, RuleFiles: []string{filepath.Join(dir, "*.conf")}}, nil)
	// inner.conf is matched by the pattern too and comes first.
	if err == nil || !strings.Contains(err.Error(), "inner.conf:2") {
		t.Errorf("error %v", err)
	}
	_, err = New(Config{CRS: true, RuleFiles: []string{filepath.Join(dir, "outer*")}}, nil)
	if err == nil || !strings.Contains(err.Error(), "inner.conf:2") {
		t.Errorf("error %v", err)
	}
}

func TestInlineRuleErrorNamesTheLine(t *testing.T) {
	_, err := New(Config{Directives: denyRule + "\nSecNonsense On"}, nil)
	if !errors.Is(err, ErrRules) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v", err)
	}
}

func TestMissingRuleFile(t *testing.T) {
	for _, p := range []string{"nowhere.conf", "nowhere/*.conf"} {
		if _, err := New(Config{RuleFiles: []string{p}}, nil); !errors.Is(err, ErrRules) || !strings.Contains(err.Error(), p) {
			t.Errorf("%s: error %v", p, err)
		}
	}
}

func TestRuleFilesRunBeforeAndAfterTheCRS(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "10-site.conf", denyRule)
	write(t, dir, "20-data.conf", `SecRule REQUEST_HEADERS:X-Word "@pmFromFile words.data" "id:103,phase:1,deny,msg:'word'"`)
	write(t, dir, "words.data", "forbidden\n")
	write(t, dir, "90-after-crs.conf", "SecRuleRemoveById 942100")
	e := newEngine(t, Config{CRS: true, RuleFiles: []string{filepath.Join(dir, "*.conf")}})
	if v := judge(t, e, with(browser("GET", "/", "", ""), "X-Test", "yes")); v.Status != 418 || !hasRule(v, 101) {
		t.Errorf("own rule: %+v", v)
	}
	if v := judge(t, e, with(browser("GET", "/", "", ""), "X-Word", "a forbidden word")); v.Status != 403 || !hasRule(v, 103) {
		t.Errorf("rule with a data file: %+v", v)
	}
	if v := judge(t, e, browser("GET", "/?q=1%27%20OR%20%271%27%3D%271%27%20--%20", "", "")); hasRule(v, 942100) {
		t.Errorf("a removed rule matched: %+v", v)
	}
}

func TestRuleFilesCannotChangeWhatTheConfigDecides(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "a.conf", "SecRuleEngine Off\nSecRequestBodyAccess Off\nSecRequestBodyLimit 10\nSecAuditEngine On\nSecAuditLog "+filepath.Join(dir, "audit.log")+"\n")
	e := newEngine(t, Config{CRS: true, RuleFiles: []string{path}})
	if v := judge(t, e, browser("POST", "/", "application/json", `{"a":"`+sqli+`"}`)); v.Action != Block || v.Status != 403 {
		t.Errorf("%s %d", v.Action, v.Status)
	}
	if log, err := os.ReadFile(filepath.Join(dir, "audit.log")); err == nil && len(log) > 0 {
		t.Errorf("an audit log of %d bytes was written", len(log))
	}
}

func TestKeyFollowsFileContent(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "inner.conf", denyRule)
	write(t, dir, "words.data", "one\n")
	path := write(t, dir, "a.conf", "Include inner.conf\nSecRule ARGS \"@pmFromFile words.data\" \"id:5,phase:2,pass\"\n")
	c := Config{CRS: true, RuleFiles: []string{path}}
	last := c.Key()
	if again := c.Key(); again != last {
		t.Fatal("the key of an unchanged configuration changed")
	}
	for _, change := range []struct{ name, content string }{
		{"a.conf", "Include inner.conf\nSecRule ARGS \"@pmFromFile words.data\" \"id:6,phase:2,pass\"\n"},
		{"inner.conf", strings.Replace(denyRule, "418", "451", 1)},
		{"words.data", "two\n"},
	} {
		write(t, dir, change.name, change.content)
		key := c.Key()
		if key == last {
			t.Errorf("a changed %s left the key as it was", change.name)
		}
		last = key
	}
	glob := Config{RuleFiles: []string{filepath.Join(dir, "*.conf")}}
	last = glob.Key()
	write(t, dir, "b.conf", "SecAction \"id:7,phase:1,pass\"")
	if glob.Key() == last {
		t.Error("a new file of a pattern left the key as it was")
	}
}

func FuzzSplitFile(f *testing.F) {
	f.Add([]byte(denyRule + "\n# c\nSecRule A \\\n  b\n"))
	f.Add([]byte("SecDataset d `\na\nb\n`\n"))
	f.Add([]byte("\\\n\\\nx"))
	f.Fuzz(func(t *testing.T, content []byte) {
		list, _ := splitFile("f", content)
		lines := strings.Count(string(content), "\n") + 1
		last := 0
		for _, d := range list {
			if d.line <= last || d.line > lines {
				t.Fatalf("directive at line %d after %d of %d", d.line, last, lines)
			}
			last = d.line
		}
	})
}
