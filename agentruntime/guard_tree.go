package agentruntime

import (
	"math/big"
	"regexp"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/file"
	"github.com/dop251/goja/token"
	"github.com/dop251/goja/unistring"
)

// The guards of this file stand before operators and constructors, which no replacement of a method can. They are written
// into the syntax tree, where the code has what they are for: a power or shift whose operands may be BigInts, and a buffer
// whose length is not written down.

const (
	powerGlobal  = "__power"
	shiftGlobal  = "__shift"
	lengthGlobal = "__length"

	// maxPower and maxShift are how many bits a BigInt may have that one operation makes. A power of as many takes about 50 ms.
	maxPower = 1 << 22
	maxShift = 1 << 26
)

var (
	namesBigInt = regexp.MustCompile(`\bBigInt\b|\b\d[\da-fA-Fxob]*n\b`)
	makesBigInt = regexp.MustCompile(`\*\*|<<`)
	makesBuffer = regexp.MustCompile(`\bnew (?:[A-Z]\w*Array|ArrayBuffer)\(`)
)

// elementSizes are the bytes of an element of what is made with a length.
var elementSizes = map[string]int64{
	"ArrayBuffer": 1, "Int8Array": 1, "Uint8Array": 1, "Uint8ClampedArray": 1, "Int16Array": 2, "Uint16Array": 2, "Int32Array": 4,
	"Uint32Array": 4, "Float32Array": 4, "Float64Array": 8, "BigInt64Array": 8, "BigUint64Array": 8,
}

// guardOperator returns what is to stand in the place of e, or nil.
func (a *adapter) guardOperator(e ast.Expression) ast.Expression {
	b, ok := e.(*ast.BinaryExpression)
	if !ok || numberOnly(b.Left) || numberOnly(b.Right) {
		return nil // with a Number, the result is a Number or a TypeError
	}
	switch b.Operator {
	case token.EXPONENT:
		return guardCall(powerGlobal, b, b.Left, b.Right)
	case token.SHIFT_LEFT:
		call := guardCall(shiftGlobal, b, b.Left, b.Right)
		right, plain := b.Right.(*ast.Identifier)
		if _, ok := b.Left.(*ast.Identifier); !ok || !plain {
			return call
		}
		// Hash functions shift by variables: those of Numbers must not cost a call.
		at := right.Idx
		return &ast.ConditionalExpression{
			Test: &ast.BinaryExpression{
				Operator: token.STRICT_EQUAL, Comparison: true,
				Left:  &ast.UnaryExpression{Operator: token.TYPEOF, Idx: at, Operand: right},
				Right: &ast.StringLiteral{Idx: at, Literal: `"bigint"`, Value: "bigint"},
			},
			Consequent: call, Alternate: b,
		}
	}
	return nil
}

// numberOnly says whether the value of e cannot be a BigInt.
func numberOnly(e ast.Expression) bool {
	switch n := e.(type) {
	case *ast.NumberLiteral:
		_, big := n.Value.(*big.Int)
		return !big
	case *ast.UnaryExpression:
		return n.Operator == token.PLUS || (n.Operator == token.MINUS || n.Operator == token.BITWISE_NOT) && numberOnly(n.Operand)
	case *ast.BinaryExpression:
		switch n.Operator {
		case token.UNSIGNED_SHIFT_RIGHT:
			return true
		case token.PLUS, token.MINUS, token.MULTIPLY, token.SLASH, token.REMAINDER, token.EXPONENT,
			token.AND, token.OR, token.EXCLUSIVE_OR, token.SHIFT_LEFT, token.SHIFT_RIGHT:
			return numberOnly(n.Left) || numberOnly(n.Right)
		}
	}
	return false
}

// guardLength wraps the length that a buffer is made with.
func guardLength(n *ast.NewExpression) {
	class, ok := n.Callee.(*ast.Identifier)
	if !ok || len(n.ArgumentList) == 0 {
		return
	}
	size, ok := elementSizes[class.Name.String()]
	if !ok {
		return
	}
	first := n.ArgumentList[0]
	switch l := first.(type) {
	case *ast.NumberLiteral:
		if l.Value == nil || goja.New().ToValue(l.Value).ToFloat() < 1<<20 {
			return
		}
	case *ast.ArrayLiteral, *ast.StringLiteral, *ast.ObjectLiteral, *ast.SpreadElement:
		return
	}
	at := first.Idx0()
	n.ArgumentList[0] = guardCall(lengthGlobal, first, first, &ast.NumberLiteral{Idx: at, Literal: "0", Value: size})
}

// guardCall calls a guard at the place of e.
func guardCall(name string, e ast.Expression, args ...ast.Expression) ast.Expression {
	var at file.Idx = e.Idx0()
	return &ast.CallExpression{
		Callee: &ast.Identifier{Name: unistring.String(name), Idx: at}, LeftParenthesis: at, ArgumentList: args, RightParenthesis: lastOf(e),
	}
}

var (
	powerProgram = goja.MustCompile(internalPrefix+"power", "((a, b) => a ** b)", true)
	shiftProgram = goja.MustCompile(internalPrefix+"shift", "((a, b) => a << b)", true)
)

func init() {
	globals[powerGlobal] = operatorGuard(powerGlobal, powerProgram, func(base, exponent *big.Int) bool {
		// The bits of the result, rounded down.
		return exponent.Sign() > 0 && base.BitLen() > 1 && (!exponent.IsInt64() || float64(base.BitLen()-1)*float64(exponent.Int64()) > maxPower)
	})
	globals[shiftGlobal] = operatorGuard(shiftGlobal, shiftProgram, func(n, by *big.Int) bool {
		return by.Sign() > 0 && n.Sign() != 0 && (!by.IsInt64() || by.Int64() > maxShift)
	})
	globals[lengthGlobal] = func(r *realm) goja.Value {
		return r.function(lengthGlobal, 2, func(r *realm, call goja.FunctionCall) goja.Value {
			length := call.Argument(0)
			if _, object := length.(*goja.Object); object || r.agent == nil {
				return length
			}
			size := call.Argument(1).ToInteger()
			if n, ok := length.Export().(int64); ok && n > r.agent.limits.Memory/size {
				panic(r.newError("RangeError", "Array buffer allocation failed"))
			} else if f, ok := length.Export().(float64); ok && f > float64(r.agent.limits.Memory/size) {
				panic(r.newError("RangeError", "Array buffer allocation failed"))
			}
			return length
		})
	}
}

// operatorGuard makes the function that an operator is replaced by. Two BigInts that are too much for it are a RangeError, as
// V8 has it for larger ones.
func operatorGuard(name string, operator *goja.Program, tooMuch func(a, b *big.Int) bool) func(*realm) goja.Value {
	return func(r *realm) goja.Value {
		apply := r.program(operator)
		return r.function(name, 2, func(r *realm, call goja.FunctionCall) goja.Value {
			a, b := call.Argument(0), call.Argument(1)
			if isBigInt(a) && isBigInt(b) && tooMuch(a.Export().(*big.Int), b.Export().(*big.Int)) {
				panic(r.newError("RangeError", "Maximum BigInt size exceeded"))
			}
			return r.callNative(apply, goja.Undefined(), a, b)
		})
	}
}
