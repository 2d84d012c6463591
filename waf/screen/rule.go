package screen

import (
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/types/variables"
)

// Rule is a rule as Coraza compiled it.
type Rule struct {
	ID    int
	Phase int
	// Text is the directive with its arguments, of a chain all directives, as types.RuleMetadata.Raw gives it.
	Text string
	// Runs says that the rule is not to be judged.
	Runs bool
	// Open reads a file of phrases that the rule names. nil: such a rule is not judged.
	Open func(name string) ([]byte, error)
}

// target is a variable that a rule looks at. Exclusions only take away, so they are left out.
type target struct {
	variable variables.RuleVariable
	key      string // in lower case; "" is every value
}

// condition is a rule taken apart. A chain is judged by its first condition: without it the others do not run.
type condition struct {
	targets    []target
	operator   string // in lower case
	argument   string
	steps      []string // transformations in lower case
	multiMatch bool
	skips      int // how many rules after it, of its phase, it may leave out
}

// steady are the variables that no rule of a phase changes while it runs.
var steady = []string{
	"ARGS", "ARGS_GET", "ARGS_POST", "ARGS_NAMES", "ARGS_GET_NAMES", "ARGS_POST_NAMES",
	"FILES", "FILES_NAMES", "MULTIPART_PART_HEADERS", "QUERY_STRING",
	"REQUEST_BASENAME", "REQUEST_BODY", "REQUEST_COOKIES", "REQUEST_COOKIES_NAMES", "REQUEST_FILENAME", "REQUEST_HEADERS",
	"REQUEST_HEADERS_NAMES", "REQUEST_LINE", "REQUEST_METHOD", "REQUEST_PROTOCOL", "REQUEST_URI", "REQUEST_URI_RAW",
	"RESPONSE_BODY", "RESPONSE_HEADERS", "XML",
}

// parse takes the first directive of a rule's text apart, and tells whether the rule can be judged. skips is right either way.
func parse(text string) (c condition, ok bool) {
	c.skips = skipped(text)
	word, rest, _ := strings.Cut(text, " ")
	vars, rest, found := strings.Cut(strings.TrimLeft(rest, " "), " ")
	if !strings.EqualFold(word, "SecRule") {
		return c, false
	}
	operator, rest, quoted := cutQuoted(strings.TrimLeft(rest, " "))
	actions, rest, acted := cutQuoted(strings.TrimLeft(rest, " "))
	rest = strings.TrimLeft(rest, " ")
	if !found || !quoted || !acted || rest != "" && rest[0] != '\n' {
		return c, false
	}
	return c, c.parseTargets(vars) && c.parseOperator(strings.ReplaceAll(operator, `\"`, `"`)) && c.parseActions(actions)
}

var skipAction = regexp.MustCompile(`(?i)[,"\s]skip\s*:[\s']*(\d*)`)

// skipped is the most that an action of the text skips.
func skipped(text string) (most int) {
	for _, m := range skipAction.FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			n = math.MaxInt
		}
		most = max(most, n)
	}
	return most
}

// cutQuoted cuts s after the quoted string that it begins with.
func cutQuoted(s string) (inside, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[1:i], s[i+1:], true
		}
	}
	return "", s, false
}

func (c *condition) parseTargets(vars string) bool {
	// An expression may hold the separator. Its pieces are then no variables, and the rule is not judged.
	for v := range strings.SplitSeq(vars, "|") {
		if strings.HasPrefix(v, "!") {
			continue
		}
		name, key, _ := strings.Cut(v, ":")
		name = strings.ToUpper(name)
		if !slices.Contains(steady, name) {
			return false
		}
		variable, err := variables.Parse(name)
		if err != nil {
			return false
		}
		key = strings.Trim(key, "'")
		if strings.ContainsAny(key, "/*") { // by an expression, or by a path
			key = ""
		}
		c.targets = append(c.targets, target{variable, strings.ToLower(key)})
	}
	return len(c.targets) > 0
}

func (c *condition) parseOperator(text string) bool {
	if text == "" || text[0] == '!' {
		return false // what does not match matches
	}
	if text[0] != '@' {
		text = "@rx " + text
	}
	c.operator, c.argument, _ = strings.Cut(text[1:], " ")
	c.operator = strings.ToLower(strings.TrimSpace(c.operator))
	c.argument = strings.TrimSpace(c.argument)
	return true
}

func (c *condition) parseActions(actions string) bool {
	quoted, start := false, 0
	for i := 0; i <= len(actions); i++ {
		if i < len(actions) {
			if actions[i] == '\'' && (i == 0 || actions[i-1] != '\\') {
				quoted = !quoted
			}
			if actions[i] != ',' || quoted {
				continue
			}
		}
		name, value, _ := strings.Cut(actions[start:i], ":")
		start = i + 1
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "t":
			step := strings.ToLower(strings.Trim(strings.TrimSpace(value), "'"))
			if step == "none" {
				c.steps = nil
				continue
			}
			c.steps = append(c.steps, step)
		case "multimatch":
			c.multiMatch = true
		}
	}
	return !quoted
}

// demand is what an operator needs of a value, tier by tier.
type demand struct {
	no   [len(tiers)]bool
	need [len(tiers)]need
	// ask decides instead, from the value itself.
	ask func(value string) bool
}

// demand works out the operator's. It tells whether it can.
func (c *condition) demand(open func(string) ([]byte, error)) (d demand, ok bool) {
	if strings.Contains(c.argument, "%{") {
		return d, false
	}
	switch c.operator {
	case "rx":
		return regexDemand(c.argument)
	case "pm":
		return phraseDemand(strings.Split(c.argument, " "))
	case "pmfromfile", "pmf":
		if open == nil {
			return d, false
		}
		content, err := open(c.argument)
		if err != nil {
			return d, false
		}
		var phrases []string
		for line := range strings.Lines(string(content)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				phrases = append(phrases, line)
			}
		}
		return phraseDemand(phrases)
	case "contains", "strmatch", "streq", "beginswith", "endswith":
		return phraseDemand([]string{c.argument})
	case "validateurlencoding":
		return phraseDemand([]string{"%"})
	case "validatebyterange":
		return rangeDemand(c.argument)
	case "detectsqli", "detectxss":
		if slices.ContainsFunc(c.steps, func(name string) bool { return steps[name].cases }) {
			return d, false // the case of a value that passes is not changed here, and may matter to it
		}
		d.ask = detectors[c.operator]
		return d, true
	}
	return d, false
}

// arbitraryBytes finds expressions that Coraza may match byte by byte, by another library.
var arbitraryBytes = regexp.MustCompile(`\\x\{?[89a-fA-F]|[^\x00-\x7f]`)

func regexDemand(expression string) (d demand, ok bool) {
	if arbitraryBytes.MatchString(expression) {
		return d, false
	}
	re, err := syntax.Parse("(?sm)"+expression, syntax.Perl)
	if err != nil {
		return d, false
	}
	for i, t := range tiers {
		d.need[i], d.no[i] = t.need(re)
	}
	return d, true
}

func phraseDemand(phrases []string) (d demand, ok bool) {
	for _, p := range phrases {
		p = strings.ToLower(p)
		m := maskOf(p)
		if m&high != 0 {
			return d, false
		}
		for i, t := range tiers {
			if m&^t.bytes == 0 {
				d.need[i] = append(d.need[i], t.quiet(p))
			}
		}
	}
	for i := range tiers {
		d.no[i] = d.need[i] == nil
	}
	return d, true
}

// rangeDemand is of bytes outside of the ones that are allowed.
func rangeDemand(ranges string) (d demand, ok bool) {
	var allowed [256]bool
	for _, r := range strings.Split(ranges, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(r), "-")
		if !isRange {
			to = from
		}
		lo, err1 := strconv.ParseUint(from, 10, 8)
		hi, err2 := strconv.ParseUint(to, 10, 8)
		if err1 != nil || err2 != nil {
			return d, false
		}
		for b := lo; b <= hi; b++ {
			allowed[b] = true
		}
	}
	d.ask = func(value string) bool {
		for i := range len(value) {
			if !allowed[value[i]] {
				return true
			}
		}
		return false
	}
	return d, true
}
