package agentruntime

import (
	"reflect"
	"slices"
	"strings"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/file"
)

// This file changes the syntax tree of a bundle before it is compiled, where the engine takes a piece of the language
// wrongly or lacks it. It works on the tree and not on the text, so that places in errors, and what functions give as their
// source, stay as they were.

// adaptTree makes all changes. It reports what it could not take, with the place in the tree.
func adaptTree(code string, tree *ast.Program) error {
	a := &adapter{
		tree:      tree,
		arguments: strings.Contains(code, "arguments") && strings.Contains(code, "=>"),
		stacks:    strings.Contains(code, "stack"),
		regexps:   rewrittenRegExp.MatchString(code),
		bigInts:   makesBigInt.MatchString(code) && namesBigInt.MatchString(code),
		buffers:   makesBuffer.MatchString(code),
	}
	if a.arguments || a.stacks || a.regexps || a.bigInts || a.buffers {
		a.walk(reflect.ValueOf(&tree.Body).Elem())
	}
	return a.err
}

// adapter walks a tree.
type adapter struct {
	tree *ast.Program

	arguments, stacks, regexps bool
	bigInts, buffers           bool

	fn     *ast.FunctionLiteral // the innermost function that is no arrow
	arrows int                  // arrow functions between it and the node
	shared bool                 // one of them names arguments
	err    error
}

// walk visits all nodes below v in the order of the source.
func (a *adapter) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() {
			a.walk(v.Elem())
			if e, ok := v.Interface().(ast.Expression); ok && a.bigInts && v.CanSet() {
				if guarded := a.guardOperator(e); guarded != nil {
					v.Set(reflect.ValueOf(guarded))
				}
			}
		}
	case reflect.Pointer:
		if !v.IsNil() && v.Type().Elem().PkgPath() == treePackage {
			a.node(v)
		}
	case reflect.Slice:
		for i := range v.Len() {
			a.walk(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.Kind() != reflect.String && f.CanSet() && v.Type().Field(i).Name != "DeclarationList" {
				a.walk(f)
			}
		}
	}
}

// treePackage is where the nodes are from.
var treePackage = reflect.TypeFor[ast.Program]().PkgPath()

// node visits one node, given as a pointer to its struct.
func (a *adapter) node(v reflect.Value) {
	switch n := v.Interface().(type) {
	case *ast.FunctionLiteral:
		outer := *a
		a.fn, a.arrows, a.shared = n, 0, false
		a.walk(reflect.ValueOf(&n.ParameterList).Elem())
		if a.shared {
			for _, p := range n.ParameterList.List {
				if p.Initializer != nil {
					p.Initializer = &ast.SequenceExpression{Sequence: []ast.Expression{argumentsAt(p.Initializer.Idx0()), p.Initializer}}
				}
			}
		}
		a.shared = false
		a.walk(reflect.ValueOf(&n.Body).Elem())
		if a.shared {
			nameArguments(n.Body)
		}
		a.fn, a.arrows, a.shared = outer.fn, outer.arrows, outer.shared
		return
	case *ast.ArrowFunctionLiteral:
		a.arrows++
		a.walk(v.Elem())
		a.arrows--
		return
	case *ast.Identifier:
		a.shared = a.shared || a.arguments && n.Name == "arguments" && a.arrows > 0 && a.fn != nil
		return
	case *ast.PropertyShort:
		a.shared = a.shared || a.arguments && n.Name.Name == "arguments" && a.arrows > 0 && a.fn != nil
	case *ast.DotExpression:
		if a.stacks && n.Identifier.Name == "stack" {
			n.Left = errorRead(n.Left)
		}
	case *ast.BracketExpression:
		if key, ok := n.Member.(*ast.StringLiteral); a.stacks && ok && key.Value == "stack" {
			n.Left = errorRead(n.Left)
		}
	case *ast.Binding:
		if a.stacks && n.Initializer != nil && takesStack(n.Target) {
			n.Initializer = errorCall(n.Initializer)
		}
	case *ast.AssignExpression:
		if a.stacks && takesStack(n.Left) {
			n.Right = errorCall(n.Right)
		}
	case *ast.NewExpression:
		if a.buffers {
			a.walk(v.Elem())
			guardLength(n)
			return
		}
	case *ast.RegExpLiteral:
		if a.regexps {
			a.regexp(n)
		}
		return
	}
	a.walk(v.Elem())
}

// nameArguments makes the body of a function name its arguments object before an arrow function in it does. The engine would
// else look for it, from there, in the wrong place.
func nameArguments(body *ast.BlockStatement) {
	at := 0
	for ; at < len(body.List); at++ { // after the directives
		s, ok := body.List[at].(*ast.ExpressionStatement)
		if !ok {
			break
		}
		if _, ok := s.Expression.(*ast.StringLiteral); !ok {
			break
		}
	}
	body.List = slices.Insert(body.List, at, ast.Statement(&ast.ExpressionStatement{Expression: argumentsAt(body.LeftBrace)}))
}

func argumentsAt(at file.Idx) *ast.Identifier { return &ast.Identifier{Name: "arguments", Idx: at} }

// errorRead wraps the object whose stack is read, so that an error's stack is made what authors can read before it is. An
// object that is this is left as it is: an error seldom reads its own, while parsers have stacks of another kind.
func errorRead(left ast.Expression) ast.Expression {
	switch l := left.(type) {
	case *ast.ThisExpression, *ast.SuperExpression:
		return left
	case *ast.Optional:
		if !inChain(l.Expression) {
			return &ast.Optional{Expression: errorCall(l.Expression)}
		}
		return &ast.Optional{Expression: errorCall(&ast.OptionalChain{Expression: l.Expression})}
	}
	if inChain(left) {
		// A call may not be left half-way, so the part of the chain before it becomes a chain of its own.
		return &ast.Optional{Expression: errorCall(&ast.OptionalChain{Expression: left})}
	}
	return errorCall(left)
}

// inChain says whether an expression may end the optional chain that it is part of.
func inChain(e ast.Expression) bool {
	for {
		switch n := e.(type) {
		case *ast.Optional:
			return true
		case *ast.DotExpression:
			e = n.Left
		case *ast.PrivateDotExpression:
			e = n.Left
		case *ast.BracketExpression:
			e = n.Left
		case *ast.CallExpression:
			e = n.Callee
		default:
			return false
		}
	}
}

// takesStack says whether a pattern takes the property stack.
func takesStack(target ast.Expression) bool {
	p, ok := target.(*ast.ObjectPattern)
	if !ok {
		return false
	}
	return slices.ContainsFunc(p.Properties, func(p ast.Property) bool {
		switch p := p.(type) {
		case *ast.PropertyShort:
			return p.Name.Name == "stack"
		case *ast.PropertyKeyed:
			key, ok := p.Key.(*ast.StringLiteral)
			return ok && key.Value == "stack"
		}
		return false
	})
}

// errorCall calls the global function that errorstack.go declares.
func errorCall(e ast.Expression) ast.Expression {
	at := e.Idx0()
	return &ast.CallExpression{
		Callee: &ast.Identifier{Name: errorStackGlobal, Idx: at}, LeftParenthesis: at,
		ArgumentList: []ast.Expression{e}, RightParenthesis: lastOf(e),
	}
}

// lastOf is the place of an expression's last character.
func lastOf(e ast.Expression) file.Idx { return max(e.Idx0(), e.Idx1()-1) }
