package screen

import (
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
	"unicode"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/types"
)

// coreRules are the texts of the Core Rule Set's rules.
func coreRules(t testing.TB) (list []Rule) {
	t.Helper()
	config := coraza.NewWAFConfig().WithRootFS(coreruleset.FS)
	config = experimental.WAFConfigWithRuleObserver(config, func(r types.RuleMetadata) {
		list = append(list, Rule{ID: r.ID(), Phase: int(r.Phase()), Text: r.Raw()})
	})
	_, err := coraza.NewWAF(config.WithDirectivesFromFile("@coraza.conf-recommended").
		WithDirectivesFromFile("@crs-setup.conf.example").WithDirectivesFromFile("@owasp_crs/*.conf"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		ok   bool
		want string
	}{
		{`SecRule ARGS "@rx a" "id:1,phase:2,t:none,t:lowercase,t:urlDecodeUni"`, true, "ARGS rx a lowercase,urldecodeuni"},
		{`SecRule ARGS|REQUEST_HEADERS:X-Y|!ARGS:/^a|b/ "a" "id:1,t:lowercase,t:none"`, false, ""},
		{`SecRule ARGS|REQUEST_HEADERS:X-Y|!ARGS:/^a/ "a \"b\"" "id:1,t:lowercase,t:none"`, true, `ARGS,REQUEST_HEADERS:x-y rx a "b" `},
		{`SecRule XML:/*|ARGS "@pm a b" "id:1,msg:'it, t:sha1',T:Lowercase"`, true, "XML,ARGS pm a b lowercase"},
		{`SecRule ARGS "!@rx a" "id:1"`, false, ""},
		{`SecRule &ARGS "@gt 1" "id:1"`, false, ""},
		{`SecRule TX:a "@rx a" "id:1"`, false, ""},
		{`SecRule MATCHED_VARS "@rx a" "id:1"`, false, ""},
		{`SecRule ARGS "@rx a" "id:1,logdata:'"',t:sha1"`, false, ""},
		{"SecRule ARGS \"@rx a\" \"id:1,chain\" \nSecRule ARGS \"@rx b\" \"t:sha1\"", true, "ARGS rx a "},
		{`SecAction "id:1,t:none"`, false, ""},
		{`SecMarker X`, false, ""},
	} {
		got, ok := parse(c.text)
		if ok != c.ok {
			t.Errorf("%s: judged %v, want %v", c.text, ok, c.ok)
		}
		if !ok {
			continue
		}
		var targets []string
		for _, x := range got.targets {
			targets = append(targets, strings.TrimSuffix(x.variable.Name()+":"+x.key, ":"))
		}
		if s := strings.Join(targets, ",") + " " + got.operator + " " + got.argument + " " + strings.Join(got.steps, ","); s != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.text, s, c.want)
		}
	}
}

// TestRulesAfterSkip holds that a rule which another may pass over is not left out, or the other would pass over one more.
func TestRulesAfterSkip(t *testing.T) {
	rule := func(id int, more string) Rule {
		return Rule{ID: id, Phase: 2, Text: `SecRule ARGS "@rx attack" "id:1,phase:2` + more + `"`}
	}
	s := New([]Rule{rule(1, ""), rule(2, ",skip:2"), {ID: 9, Phase: 1, Text: `SecAction "id:9,phase:1"`}, rule(3, ""), rule(4, ""), rule(5, ""), rule(6, ",skipAfter:X")}, Exemption{})
	if want := []int{1, 2, 5, 6}; !slices.Equal(s.ids, want) {
		t.Errorf("judged are %v, want %v", s.ids, want)
	}
}

var demandSeeds = []string{
	"", "u-1024", "please pack with care", "<script>alert(1)</script>", "1' OR '1'='1", "; cat /etc/passwd", "../../etc/passwd", "${jndi:ldap://x/a}",
	"() { :; }; echo", "/bin/b\\ash -c 'id'", "wh''oami", "union/**/select 1,2", "{{7*7}}", "<?php system($_GET[0]); ?>", "javascript:alert`1`", "\u017felect \u212aey",
	"nohup7z", "while(1)", "on\u212aey=1", "@import url(x)", "http://169.254.169.254/", "a\r\nSet-Cookie: b=c", "process.env", "time  (sleep)",
	"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
}

// expression is one of the Core Rule Set's with what was worked out of it.
type expression struct {
	id     int
	re     *regexp.Regexp
	syntax *syntax.Regexp
	demand demand
}

func coreExpressions(t testing.TB) (all []expression) {
	t.Helper()
	for _, r := range coreRules(t) {
		c, _ := parse(r.Text)
		if c.operator != "rx" {
			continue
		}
		if d, ok := c.demand(nil); ok {
			text := "(?sm)" + c.argument
			tree, err := syntax.Parse(text, syntax.Perl)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, expression{r.ID, regexp.MustCompile(text), tree, d})
		}
	}
	if len(all) < 200 {
		t.Fatalf("only %d expressions were worked out", len(all))
	}
	return all
}

// holds tells whether value has what e was found to need.
func (e *expression) holds(value string) bool {
	at := tierOf(maskOf(value))
	text := tiers[at].quiet(fold(value))
	return !e.demand.no[at] && slices.ContainsFunc(e.demand.need[at], func(s string) bool { return strings.Contains(text, s) })
}

// TestDemands makes values of each expression, as many as it has ways to match, and holds that each has what is needed.
func TestDemands(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, e := range coreExpressions(t) {
		matched := 0
		for range 300 {
			var b strings.Builder
			sample(&b, e.syntax, random)
			value := b.String()
			if !e.re.MatchString(value) {
				continue // an anchor or a boundary in the middle
			}
			matched++
			if !e.holds(value) {
				t.Errorf("rule %d matches %q, which has nothing of what it needs", e.id, value)
				break
			}
		}
		if matched == 0 {
			t.Logf("rule %d: no value made of it matched", e.id)
		}
	}
}

// sample writes a string that re may match. Characters are of the plainest that are allowed, where chance does not say otherwise,
// so that many values are of a narrow tier.
func sample(b *strings.Builder, re *syntax.Regexp, random *rand.Rand) {
	times := 1
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 {
				for range random.IntN(4) {
					r = unicode.SimpleFold(r)
				}
			}
			b.WriteRune(r)
		}
		return
	case syntax.OpCharClass:
		b.WriteRune(sampleClass(re.Rune, random))
		return
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteString([]string{"a", "7", " ", "<", "\u017f", "."}[random.IntN(6)])
		return
	case syntax.OpAlternate:
		sample(b, re.Sub[random.IntN(len(re.Sub))], random)
		return
	case syntax.OpQuest, syntax.OpStar:
		times = max(0, random.IntN(4)-1)
		if re.Op == syntax.OpQuest {
			times = min(times, 1)
		}
	case syntax.OpPlus:
		times = 1 + random.IntN(2)
	case syntax.OpRepeat:
		times = re.Min
		if re.Max != 0 {
			times += random.IntN(2)
		}
		if re.Max > 0 {
			times = min(times, re.Max)
		}
	}
	for range times {
		for _, sub := range re.Sub {
			sample(b, sub, random)
		}
	}
}

func sampleClass(ranges []rune, random *rand.Rand) rune {
	if random.IntN(3) > 0 {
		for _, r := range "ae1_ ,-./:()'" {
			for i := 0; i < len(ranges); i += 2 {
				if ranges[i] <= r && r <= ranges[i+1] && random.IntN(2) > 0 {
					return r
				}
			}
		}
	}
	i := random.IntN(len(ranges)/2) * 2
	return ranges[i] + rune(random.IntN(int(min(ranges[i+1]-ranges[i], 300)+1)))
}

// FuzzDemands looks for a value that an expression matches without what it was found to need.
func FuzzDemands(f *testing.F) {
	all := coreExpressions(f)
	for _, s := range demandSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) > 1024 {
			return
		}
		for _, e := range all {
			if e.re.MatchString(value) && !e.holds(value) {
				t.Errorf("rule %d matches %q, which has nothing of what it needs", e.id, value)
			}
		}
	})
}
