package agentruntime

import (
	"regexp"

	"github.com/dop251/goja/ast"
)

// rewrittenRegExp finds code whose regular expressions may need to be rewritten.
var rewrittenRegExp = regexp.MustCompile(`\\[pP]\{|/[a-z]*[dv]`)

func (a *adapter) regexp(*ast.RegExpLiteral) {}
