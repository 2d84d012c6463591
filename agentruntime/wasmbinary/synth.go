package wasmbinary

import "bytes"

// Small modules that stand for values which JavaScript makes, and that reach what an engine keeps to itself.

// Define writes a module that defines one memory, table or mutable global, of zeros or nulls, and exports it as ImportName.
func Define(t Type) []byte {
	out := bytes.Clone(header)
	switch t.Kind {
	case Memory:
		out = appendSection(out, sectionMemory, appendLimits([]byte{1}, t.Limits))
	case Table:
		out = appendSection(out, sectionTable, appendLimits([]byte{1, t.Value}, t.Limits))
	case Global:
		global := []byte{1, t.Value, 1}
		out = appendSection(out, sectionGlobal, append(append(global, zeroOf(t.Value)...), opEnd))
	}
	return appendSection(out, sectionExport, append(appendName([]byte{1}, ImportName), byte(t.Kind), 0))
}

// Constant writes a module that exports a global which does not change, with the given bits, as ImportName.
func Constant(value ValueType, bits uint64) []byte {
	out := bytes.Clone(header)
	global := []byte{1, value, 0}
	switch value {
	case I32:
		global = appendS64(append(global, 0x41), int64(int32(bits)))
	case I64:
		global = appendS64(append(global, 0x42), int64(bits))
	case F32:
		global = append(global, 0x43, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
	case F64:
		global = append(global, 0x44)
		for i := range 8 {
			global = append(global, byte(bits>>(8*i)))
		}
	default:
		global = append(global, zeroOf(value)...)
	}
	out = appendSection(out, sectionGlobal, append(global, opEnd))
	return appendSection(out, sectionExport, append(appendName([]byte{1}, ImportName), byte(Global), 0))
}

func appendS64(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// zeroOf is the constant instruction for zero or null.
func zeroOf(value ValueType) []byte {
	switch value {
	case I32:
		return []byte{0x41, 0}
	case I64:
		return []byte{0x42, 0}
	case F32:
		return append([]byte{0x43}, make([]byte, 4)...)
	case F64:
		return append([]byte{0x44}, make([]byte, 8)...)
	case V128:
		return append([]byte{0xfd, 12}, make([]byte, 16)...)
	}
	return []byte{0xd0, value}
}

// Alias writes a module that imports one thing from ImportModule(0) by its name and exports it as ImportName.
func Alias(name string, t Type) []byte {
	m := &Module{}
	out := bytes.Clone(header)
	if t.Kind == Func {
		m.Types = []*FuncType{t.Func}
		out = appendSection(out, sectionType, appendFuncType([]byte{1}, t.Func))
	}
	out = appendSection(out, sectionImport, m.appendType(appendName(appendName([]byte{1}, ImportModule(0)), name), t))
	return appendSection(out, sectionExport, append(appendName([]byte{1}, ImportName), byte(t.Kind), 0))
}

func appendFuncType(b []byte, t *FuncType) []byte {
	b = append(appendU32(append(b, 0x60), uint32(len(t.Params))), t.Params...)
	return append(appendU32(b, uint32(len(t.Results))), t.Results...)
}

// keep is the type of a table of functions that are kept for JavaScript, see TableAccess.
var keep = Type{Kind: Table, Value: FuncRef}

// TableAccess writes a module that imports a table from ImportModule(0) as ImportName and exports functions on it: size,
// grow and clear, and isnull. For one of externref there are get and set too; for one of funcref keep, which copies an
// element into another table, from ImportModule(1), and put, which copies it back.
func TableAccess(t Type) []byte {
	m := &Module{}
	out := bytes.Clone(header)
	types := []*FuncType{
		{Results: []ValueType{I32}},
		{Params: []ValueType{I32}, Results: []ValueType{I32}},
		{Params: []ValueType{I32}},
		{Params: []ValueType{I32}, Results: []ValueType{ExternRef}},
		{Params: []ValueType{I32, ExternRef}},
		{Params: []ValueType{I32, I32}},
	}
	content := []byte{byte(len(types))}
	for _, t := range types {
		content = appendFuncType(content, t)
	}
	out = appendSection(out, sectionType, content)
	imports := m.appendType(appendName(appendName([]byte{1}, ImportModule(0)), ImportName), t)
	if t.Value == FuncRef {
		imports[0] = 2
		imports = m.appendType(appendName(appendName(imports, ImportModule(1)), ImportName), keep)
	}
	out = appendSection(out, sectionImport, imports)
	functions := []struct {
		name string
		typ  byte
		code []byte
	}{
		{"size", 0, []byte{0xfc, 16, 0}},
		{"grow", 1, []byte{0xd0, t.Value, 0x20, 0, 0xfc, 15, 0}},
		{"clear", 2, []byte{0x20, 0, 0xd0, t.Value, 0x26, 0}},
		{"isnull", 1, []byte{0x20, 0, 0x25, 0, 0xd1}},
		{"get", 3, []byte{0x20, 0, 0x25, 0}},
		{"set", 4, []byte{0x20, 0, 0x20, 1, 0x26, 0}},
	}
	if t.Value == FuncRef {
		functions = append(functions[:4], []struct {
			name string
			typ  byte
			code []byte
		}{
			{"keep", 5, []byte{0x20, 1, 0x20, 0, 0x25, 0, 0x26, 1}},
			{"put", 5, []byte{0x20, 0, 0x20, 1, 0x25, 1, 0x26, 0}},
		}...)
	}
	n := byte(len(functions))
	section, exports, code := []byte{n}, []byte{n}, []byte{n}
	for i, f := range functions {
		section = append(section, f.typ)
		exports = append(appendName(exports, f.name), byte(Func), byte(i))
		code = append(append(append(code, byte(len(f.code)+2), 0), f.code...), opEnd)
	}
	out = appendSection(out, sectionFunction, section)
	out = appendSection(out, sectionExport, exports)
	return appendSection(out, sectionCode, code)
}

// TableCall writes a module that imports a table from ImportModule(0) and exports, as ImportName, a function that calls
// the element of the table which its last parameter names with the others.
func TableCall(f *FuncType) []byte {
	m := &Module{}
	outer := &FuncType{Params: append(bytes.Clone(f.Params), I32), Results: f.Results}
	out := appendSection(bytes.Clone(header), sectionType, appendFuncType(appendFuncType([]byte{2}, f), outer))
	out = appendSection(out, sectionImport, m.appendType(appendName(appendName([]byte{1}, ImportModule(0)), ImportName), keep))
	out = appendSection(out, sectionFunction, []byte{1, 1})
	out = appendSection(out, sectionExport, append(appendName([]byte{1}, ImportName), byte(Func), 0))
	body := []byte{0}
	for i := range outer.Params {
		body = appendU32(append(body, 0x20), uint32(i))
	}
	body = append(body, 0x11, 0, 0, opEnd)
	return appendSection(out, sectionCode, append(appendU32([]byte{1}, uint32(len(body))), body...))
}

// TableSet writes a module that, when it is instantiated, puts the function that it imports from ImportModule(1) into the
// element at of the table that it imports from ImportModule(0).
func TableSet(t Type, f *FuncType, at uint32) []byte {
	m := &Module{Types: []*FuncType{f}}
	out := appendSection(bytes.Clone(header), sectionType, appendFuncType([]byte{1}, f))
	imports := m.appendType(appendName(appendName([]byte{2}, ImportModule(0)), ImportName), t)
	imports = m.appendType(appendName(appendName(imports, ImportModule(1)), ImportName), Type{Kind: Func, Func: f})
	out = appendSection(out, sectionImport, imports)
	elements := append(appendS64([]byte{1, 0, 0x41}, int64(int32(at))), opEnd, 1, 0)
	return appendSection(out, 9, elements)
}
