package waf

import (
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/gatehouse-edge/gatehouse/waf/screen"
)

// Engine is one set of compiled rules. It is safe for concurrent use.
type Engine struct {
	config Config
	waf    coraza.WAF
	create func(experimental.Options) types.Transaction
	rules  map[int]ruleText // by rule id; read-only after New
	log    *slog.Logger
	screen *screen.Screen
}

// ruleText is what a Match says about a rule, prepared once.
type ruleText struct {
	message  string
	severity string
	tags     []string
	phase    int
	paranoia int
}

// New compiles c into an engine. Errors are ErrConfig or ErrRules; a rule error names the file and the line.
// log receives the rare failures that no caller can be told of, never a line per request; nil discards them.
// The caller closes the engine once no transaction of it is open.
func New(c Config, log *slog.Logger) (*Engine, error) {
	c = c.withDefaults()
	c.Responses = normalTypes(c.Responses)
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	before, after, err := expandFiles(c.RuleFiles)
	if err != nil {
		return nil, err
	}
	e := &Engine{config: c, rules: make(map[int]ruleText), log: log}
	number := engineNum.Add(1)
	building.Store(number, e)
	defer building.Delete(number)
	var rules []screen.Rule
	observed := experimental.WAFConfigWithRuleObserver(coraza.NewWAFConfig().WithRootFS(ruleFS{}), func(r types.RuleMetadata) {
		e.observe(r)
		rules = append(rules, e.screened(r))
	})
	w, err := coraza.NewWAF(load(observed.WithDirectives(directivesSkip(number)), c, before, after))
	if err != nil {
		return nil, explain(err, c, before, after)
	}
	// What Coraza's parser would have dropped without an error is found by walking the files.
	rewritten := rewrites(c.Directives)
	for _, f := range append(slices.Clone(before), after...) {
		err := walkFile(f, 0, func(d directive) error {
			rewritten = rewritten || d.rewrites()
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	e.waf = w
	for i := range rules {
		rules[i].Runs = rules[i].Runs || rewritten
	}
	e.screen = screen.New(rules, c.exempt())
	withOptions, ok := w.(experimental.WAFWithOptions)
	if !ok {
		return nil, fmt.Errorf("%w: this coraza version gives transactions no context", ErrConfig)
	}
	e.create = withOptions.NewTransactionWithOptions
	return e, nil
}

// load adds every rule to a Coraza configuration, in order.
func load(w coraza.WAFConfig, c Config, before, after []string) coraza.WAFConfig {
	w = w.WithDirectives(directivesBase(c)).WithDirectivesFromFile(fileCoraza)
	if c.CRS {
		w = w.WithDirectivesFromFile(fileSetup).WithDirectives(directivesSetup(c))
	}
	if len(c.Exclude) > 0 {
		w = w.WithDirectives(directivesExclude(c.Exclude))
	}
	for _, f := range before {
		w = w.WithDirectivesFromFile(f)
	}
	if strings.TrimSpace(c.Directives) != "" {
		w = w.WithDirectives(c.Directives)
	}
	if c.CRS {
		w = w.WithDirectivesFromFile(fileRules)
	}
	for _, f := range after {
		w = w.WithDirectivesFromFile(f)
	}
	return w.WithDirectives(directivesFinal(c))
}

// Close releases the compiled rules. Transactions that are still open stay valid.
func (e *Engine) Close() error {
	if c, ok := e.waf.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

var (
	messageAction = regexp.MustCompile(`(?i)[,"\s]msg:'((?:[^'\\]|\\.)*)'`)
	nologAction   = regexp.MustCompile(`(?i)[,"\s]nolog[,"\s]`)
	macro         = regexp.MustCompile(`%\{[^}]*\}`)
)

// observe keeps what a Match says about a rule, for the rules that want to be reported. The message is the rule's own, before macros put parts of the
// request into it.
func (e *Engine) observe(r types.RuleMetadata) {
	raw, _, _ := strings.Cut(r.Raw(), "\n") // without the rest of a chain
	found := messageAction.FindStringSubmatch(raw)
	if found == nil || nologAction.MatchString(raw) {
		return
	}
	t := ruleText{
		message: macro.ReplaceAllLiteralString(found[1], "*"),
		tags:    slices.Clone(r.Tags()),
		phase:   int(r.Phase()),
	}
	if s := r.Severity(); s != types.RuleSeverityUnset {
		t.severity = strings.ToLower(s.String())
	}
	for _, tag := range t.tags {
		if n, ok := strings.CutPrefix(tag, "paranoia-level/"); ok {
			t.paranoia, _ = strconv.Atoi(n)
		}
		if tag == "anomaly-evaluation" || tag == "reporting" {
			return // adds up scores only
		}
	}
	e.rules[r.ID()] = t
}
