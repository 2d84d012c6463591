package waf

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/gatehouse-edge/gatehouse/waf/screen"
)

// skipping is the action of this package's first rule of a phase, which leaves out the rules that cannot match. Coraza makes
// actions by name, without a word of which WAF they are for, so the engine's number is its argument.
const skipping = "gatehouseskip"

// building are the engines whose rules are being compiled, by number.
var (
	building  sync.Map
	engineNum atomic.Int64
)

func init() {
	plugins.RegisterAction(skipping, func() plugintypes.Action { return &skip{} })
}

// directivesSkip returns the rules that leave others out, to be the first of their phases.
func directivesSkip(engine int64) string {
	var b strings.Builder
	for _, phase := range []types.RulePhase{types.PhaseRequestHeaders, types.PhaseRequestBody, types.PhaseResponseBody} {
		fmt.Fprintf(&b, "SecAction \"id:%d,phase:%d,t:none,pass,nolog,%s:%d\"\n", idSkip+int(phase), phase, skipping, engine)
	}
	return b.String()
}

type skip struct{ engine *Engine }

// Init finds the engine.
func (s *skip) Init(_ plugintypes.RuleMetadata, number string) error {
	n, _ := strconv.ParseInt(number, 10, 64)
	e, ok := building.Load(n)
	if !ok {
		return fmt.Errorf("%s is an action of this program's own rules only", skipping)
	}
	s.engine = e.(*Engine)
	return nil
}

// Type says that the action has no say in the rule's flow.
func (s *skip) Type() plugintypes.ActionType { return plugintypes.ActionTypeNondisruptive }

// Evaluate leaves rules out of the phase that has begun.
func (s *skip) Evaluate(_ plugintypes.RuleMetadata, tx plugintypes.TransactionState) {
	// What Coraza's ctl actions call, beyond the interface of transactions.
	if t, ok := tx.(screen.Remover); ok {
		s.engine.screen.Apply(int(tx.LastPhase()), tx, t)
	}
}

// exempt are the values that a profile takes out of some rules.
func (c Config) exempt() screen.Exemption {
	if c.Profile != ProfileLLMJSON {
		return screen.Exemption{}
	}
	return screen.Exemption{Rules: proseRules, Value: isProse}
}

// screened is what the screen is told of a rule. Rules above the engine's paranoia level are passed over anyway.
func (e *Engine) screened(r types.RuleMetadata) screen.Rule {
	rule := screen.Rule{ID: r.ID(), Phase: int(r.Phase()), Text: r.Raw()}
	for _, tag := range r.Tags() {
		if n, found := strings.CutPrefix(tag, "paranoia-level/"); found {
			level, _ := strconv.Atoi(n)
			rule.Runs = level > e.config.Paranoia
		}
	}
	if dir := path.Dir(r.File()); dir == dirCRS {
		rule.Open = func(name string) ([]byte, error) { return fs.ReadFile(ruleFS{}, path.Join(dir, name)) }
	}
	return rule
}

// rewrites tells whether a directive makes a rule look at more, or change what it looks at, than the rule's own text says.
func (d directive) rewrites() bool {
	word, rest, _ := strings.Cut(strings.ToLower(d.text), " ")
	switch {
	case strings.HasPrefix(word, "secruleupdateaction"):
		return true
	case strings.HasPrefix(word, "secruleupdatetarget"):
		_, targets, _ := strings.Cut(strings.TrimSpace(rest), " ")
		for target := range strings.SplitSeq(strings.Trim(strings.TrimSpace(targets), `"'`), "|") {
			if !strings.HasPrefix(target, "!") {
				return true
			}
		}
	}
	return false
}

// rewrites is the same for the directives of a text. One that is read from elsewhere is taken for one that does.
func rewrites(text string) bool {
	list, err := splitFile("", []byte(text))
	return err != nil || slices.ContainsFunc(list, func(d directive) bool { return d.include() != "" || d.rewrites() })
}
