package agentruntime

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/parser"
)

// dialectError is a bundle that goja refuses. The place counts from 1, in the bundle; it is 0 where not known.
type dialectError struct {
	line, col int
	text      string
}

func (e *dialectError) Error() string { return fmt.Sprintf("%d:%d: %s", e.line, e.col, e.text) }

// maxFieldEdits bounds the class fields that are renamed in one bundle, each of which costs a parse.
const maxFieldEdits = 200

// compileBundle parses and compiles a bundle, after changing what goja's parser takes wrongly. The changes are written
// down in stacks.
func compileBundle(code string, stacks *sourceMap) (*goja.Program, error) {
	tree, err := parseBundle(code, stacks)
	if err != nil {
		return nil, err
	}
	if err := adaptTree(code, tree); err != nil {
		return nil, err
	}
	program, err := goja.CompileAST(tree, true) // a module's code is strict
	if err != nil {
		return nil, placeOf(err)
	}
	return program, nil
}

// parseBundle parses code. goja's parser takes a class field named get, set or async that has an initialiser for the
// beginning of an accessor or a method, and reports the "=". Such a name is written in brackets instead, which means
// the same.
func parseBundle(code string, stacks *sourceMap) (*ast.Program, error) {
	for range maxFieldEdits {
		// The bundle must never name a source map: goja would read the file it names.
		tree, err := parser.ParseFile(nil, bundleName, code, 0, parser.WithDisableSourceMaps)
		if err == nil {
			return tree, nil
		}
		var list parser.ErrorList
		if !errors.As(err, &list) || len(list) == 0 {
			return nil, &dialectError{text: err.Error()}
		}
		first := list[0]
		at := &dialectError{line: first.Position.Line, col: first.Position.Column, text: first.Message}
		changed, ok := bracketField(code, at, stacks)
		if !ok {
			return nil, at
		}
		code = changed
	}
	return nil, &dialectError{text: "too many class fields named get, set or async"}
}

// fieldName finds the name of the field in what precedes its value: the parser reports the token after the "=".
var fieldName = regexp.MustCompile(`(?:^|[^\w$.#])(get|set|async)\s*=\s*(?:/\*.*?\*/\s*)?$`)

// bracketField puts the class field that the parser stumbled over into brackets.
func bracketField(code string, at *dialectError, stacks *sourceMap) (string, bool) {
	start, line := 0, 1
	for ; line < at.line; line++ {
		n := strings.IndexByte(code[start:], '\n')
		if n < 0 {
			return "", false
		}
		start += n + 1
	}
	offset := start + at.col - 1
	if offset <= start || offset > len(code) {
		return "", false
	}
	m := fieldName.FindStringSubmatchIndex(code[start:offset])
	if m == nil {
		return "", false
	}
	from, to := start+m[2], start+m[3]
	bracketed := `["` + code[from:to] + `"]`
	stacks.edits = append(stacks.edits, bundleEdit{line: at.line, col: m[2] + 1, grow: len(bracketed) - (to - from)})
	return code[:from] + bracketed + code[to:], true
}

// placeOf takes the place out of an error of goja's compiler.
func placeOf(err error) error {
	var syntax *goja.CompilerSyntaxError
	if !errors.As(err, &syntax) {
		return &dialectError{text: err.Error()}
	}
	e := &dialectError{text: syntax.Message}
	if syntax.File != nil {
		pos := syntax.File.Position(syntax.Offset)
		e.line, e.col = pos.Line, pos.Column
	}
	return e
}
