package agentruntime

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/file"
)

// slowStart is the evaluation time past which SlowStart has something to say. Each fresh runtime pays it.
const slowStart = 20 * time.Millisecond

// SlowStart says, if evaluating the module took long at load, which of the files and packages in it take most of the time. It
// evaluates the module once more to find out. Empty means that it did not take long.
func (a *Agent) SlowStart() string {
	if a.startup <= slowStart {
		return ""
	}
	text := fmt.Sprintf("evaluating the module takes %s for each fresh runtime", a.startup.Round(time.Millisecond))
	var parts []string
	for _, c := range a.moduleCosts() {
		if share := float64(a.startup) * c.share; share >= float64(time.Millisecond) && len(parts) < 3 {
			parts = append(parts, fmt.Sprintf("%s (%s)", c.module, time.Duration(share).Round(time.Millisecond)))
		}
	}
	if len(parts) > 0 {
		text += ", most of it " + strings.Join(parts, ", ")
	}
	return text + "; import less, or load what few requests need with import() where they need it"
}

// moduleCost is the part of the evaluation that one file, or one npm package, takes.
type moduleCost struct {
	module string
	share  float64 // of 1
}

// moduleCosts evaluates the module with a clock at the beginning and the end of each file, and returns the files and packages,
// the dearest first. It is empty where that fails.
func (a *Agent) moduleCosts() []moduleCost {
	program, modules, err := a.script.clocked()
	if err != nil {
		return nil
	}
	limits := a.limits
	limits.CPU, limits.Wall = a.limits.Startup, a.limits.Startup*2
	r := a.newRealm()
	inv := r.newInvocation(context.Background(), noHost{}, &limits, limits.Wall)
	r.home = &inv.home
	spent := make([]time.Duration, len(modules)+1)
	stack, last := []int{len(modules)}, time.Now()
	tick := func() {
		now := time.Now()
		spent[stack[len(stack)-1]] += now.Sub(last)
		last = now
	}
	_ = r.rt.GlobalObject().Set(clockGlobal, func(call goja.FunctionCall) goja.Value {
		tick()
		n := int(call.Argument(0).ToInteger())
		switch call.Argument(1).ToInteger() {
		case clockEnter:
			stack = append(stack, n)
		case clockLeave:
			stack = stack[:max(1, len(stack)-1)]
		default:
			stack[len(stack)-1] = n
		}
		return goja.Undefined()
	})
	r.loop.run(task{scope: &inv.home, run: func() {
		_, err := r.rt.RunProgram(program)
		tick()
		if err != nil {
			r.failed(err, inv.fail)
			return
		}
		inv.answer(nil, Value{})
	}})
	_, err = inv.Response()
	inv.Wait()
	if err != nil {
		return nil
	}
	total := time.Duration(0)
	sums := map[string]time.Duration{}
	for i, d := range spent[:len(modules)] {
		total += d
		sums[packageName(modules[i])] += d
	}
	var costs []moduleCost
	for _, m := range slices.Sorted(maps.Keys(sums)) {
		costs = append(costs, moduleCost{m, float64(sums[m]) / float64(max(total, 1))})
	}
	slices.SortStableFunc(costs, func(x, y moduleCost) int { return cmp.Compare(y.share, x.share) })
	return costs
}

// packageName is the npm package that a file belongs to, or the file.
func packageName(path string) string {
	_, in, ok := cutLast(path, "node_modules/")
	if !ok {
		return path
	}
	return "npm package " + packageOf(in)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// What the clock's second argument says of the file that the first one names: the code of it follows, or is entered, or left.
const (
	clockGlobal = "__clock"
	clockNext   = 0
	clockEnter  = 1
	clockLeave  = 2
)

// clocked compiles the bundle with calls of the clock. Files that are evaluated in order follow each other in the bundle's
// wrapper; those that are evaluated when something asks for them are functions of their own, given to a helper of
// esbuild's under the file's name.
func (s *Script) clocked() (*goja.Program, []string, error) {
	stacks := &sourceMap{raw: s.mapping}
	tree, err := parseBundle(s.code, stacks)
	if err != nil {
		return nil, nil, err
	}
	if err := adaptTree(s.code, tree); err != nil {
		return nil, nil, err
	}
	c := &clockmaker{numbers: map[string]int{}}
	var body *ast.BlockStatement
	for _, st := range tree.Body {
		if e, ok := st.(*ast.ExpressionStatement); ok {
			if call, ok := e.Expression.(*ast.CallExpression); ok {
				if fn, ok := call.Callee.(*ast.FunctionLiteral); ok {
					body = fn.Body
				}
			}
		}
	}
	if body == nil {
		return nil, nil, fmt.Errorf("the bundle has no wrapper")
	}
	c.walk(reflect.ValueOf(&body.List).Elem())
	var list []ast.Statement
	at := -1
	for _, st := range body.List {
		pos := tree.File.Position(int(st.Idx0()) - tree.File.Base())
		name, _, _, known := stacks.position(pos.Line, pos.Column)
		if _, declares := st.(*ast.FunctionDeclaration); known && !declares {
			if n := c.number(name); n != at {
				list = append(list, clockCall(n, clockNext, st.Idx0()))
				at = n
			}
		}
		list = append(list, st)
	}
	body.List = list
	program, err := goja.CompileAST(tree, true)
	return program, c.modules, err
}

// clockmaker finds the functions that hold a file each.
type clockmaker struct {
	modules []string
	numbers map[string]int
}

func (c *clockmaker) number(module string) int {
	n, ok := c.numbers[module]
	if !ok {
		n = len(c.modules)
		c.numbers[module] = n
		c.modules = append(c.modules, module)
	}
	return n
}

// walk looks at the declarations of a list of statements: var require_x = __commonJS({ "file"(exports, module) { ... } }).
func (c *clockmaker) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return
		}
		if call, ok := v.Interface().(*ast.CallExpression); ok {
			c.wrap(call)
			return
		}
		if _, ok := v.Interface().(*ast.FunctionLiteral); !ok {
			c.walk(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.walk(v.Index(i))
		}
	case reflect.Struct:
		if _, ok := v.Interface().(ast.VariableStatement); ok || v.Type() == reflect.TypeFor[ast.Binding]() || v.Type() == reflect.TypeFor[ast.LexicalDeclaration]() {
			for i := range v.NumField() {
				c.walk(v.Field(i))
			}
		}
	}
}

func (c *clockmaker) wrap(call *ast.CallExpression) {
	helper, ok := call.Callee.(*ast.Identifier)
	if !ok || !strings.HasPrefix(helper.Name.String(), "__commonJS") && !strings.HasPrefix(helper.Name.String(), "__esm") || len(call.ArgumentList) != 1 {
		return
	}
	object, ok := call.ArgumentList[0].(*ast.ObjectLiteral)
	if !ok || len(object.Value) != 1 {
		return
	}
	p, ok := object.Value[0].(*ast.PropertyKeyed)
	if !ok {
		return
	}
	name, ok := p.Key.(*ast.StringLiteral)
	fn, isFn := p.Value.(*ast.FunctionLiteral)
	if !ok || !isFn || fn.Async || fn.Generator {
		return
	}
	n, at := c.number(name.Value.String()), fn.Body.LeftBrace
	block := &ast.BlockStatement{LeftBrace: at, RightBrace: fn.Body.RightBrace, List: fn.Body.List}
	leave := &ast.BlockStatement{LeftBrace: at, RightBrace: at, List: []ast.Statement{clockCall(n, clockLeave, at)}}
	fn.Body.List = []ast.Statement{clockCall(n, clockEnter, at), &ast.TryStatement{Try: at, Body: block, Finally: leave}}
}

func clockCall(n, what int, at file.Idx) ast.Statement {
	number := func(n int) ast.Expression {
		return &ast.NumberLiteral{Idx: at, Literal: fmt.Sprint(n), Value: int64(n)}
	}
	return &ast.ExpressionStatement{Expression: &ast.CallExpression{
		Callee: &ast.Identifier{Name: clockGlobal, Idx: at}, LeftParenthesis: at, ArgumentList: []ast.Expression{number(n), number(what)}, RightParenthesis: at,
	}}
}
