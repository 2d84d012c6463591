package wasmbinary

import (
	"bytes"
	"errors"
	"strconv"
)

// StopExport is the name under which a rewritten module exports its stop: a global of type i32. Once it is not zero, the
// module's code traps at the next function that begins and at the next turn of any loop.
const StopExport = "gatehouse.stop"

// FuncModule is the module that a rewritten module imports its functions from, each under the number that it has among
// the imports. ImportModule is the module that it imports anything else from, under the name ImportName.
const (
	FuncModule = "f"
	ImportName = "x"
)

// ImportModule names the module of the import with that number.
func ImportModule(i int) string { return "i" + strconv.Itoa(i) }

// Rewrite writes the module with imports named as above, and with checks for its stop.
func (m *Module) Rewrite() ([]byte, error) {
	stop := uint32(len(m.globals))
	out := bytes.Clone(header)
	globals, exports := false, false
	for _, s := range m.sections {
		if s.id == sectionCustom {
			continue
		}
		// The sections that the module lacks come where the format wants them.
		if !globals && sectionOrder(s.id) > sectionOrder(sectionGlobal) {
			out, globals = appendSection(out, sectionGlobal, stopGlobal(nil, 0)), true
		}
		if !exports && sectionOrder(s.id) > sectionOrder(sectionExport) {
			out, exports = appendSection(out, sectionExport, stopExport(nil, 0, stop)), true
		}
		r := &reader{data: s.content}
		content := s.content
		switch s.id {
		case sectionImport:
			content = m.renamedImports()
		case sectionGlobal:
			n := r.count()
			content, globals = stopGlobal(s.content[r.at:], n), true
		case sectionExport:
			n := r.count()
			content, exports = stopExport(s.content[r.at:], n, stop), true
		case sectionCode:
			var err error
			if content, err = checkedCode(r, stop); err != nil {
				return nil, err
			}
		}
		out = appendSection(out, s.id, content)
	}
	if !globals {
		out = appendSection(out, sectionGlobal, stopGlobal(nil, 0))
	}
	if !exports {
		out = appendSection(out, sectionExport, stopExport(nil, 0, stop))
	}
	return out, nil
}

// sectionOrder is the place of a section: those for data counts and tags came later than their neighbours.
func sectionOrder(id byte) int {
	switch id {
	case 12: // data count, before the code
		return 10*sectionCode - 5
	case 13: // tags, before the globals
		return 10*sectionGlobal - 5
	}
	return 10 * int(id)
}

func stopGlobal(rest []byte, n int) []byte {
	out := append(appendU32(nil, uint32(n+1)), rest...)
	return append(out, I32, 1, 0x41, 0, opEnd)
}

func stopExport(rest []byte, n int, stop uint32) []byte {
	out := append(appendU32(nil, uint32(n+1)), rest...)
	return appendU32(append(appendName(out, StopExport), byte(Global)), stop)
}

func (m *Module) renamedImports() []byte {
	out := appendU32(nil, uint32(len(m.Imports)))
	for i, imp := range m.Imports {
		if imp.Type.Kind == Func {
			out = appendName(appendName(out, FuncModule), strconv.Itoa(i))
		} else {
			out = appendName(appendName(out, ImportModule(i)), ImportName)
		}
		out = m.appendType(out, imp.Type)
	}
	return out
}

func (m *Module) appendType(b []byte, t Type) []byte {
	b = append(b, byte(t.Kind))
	switch t.Kind {
	case Func:
		return appendU32(b, m.typeIndex(t.Func))
	case Table:
		return appendLimits(append(b, t.Value), t.Limits)
	case Memory:
		return appendLimits(b, t.Limits)
	case Global:
		return append(b, t.Value, mutability(t.Mutable))
	}
	return appendU32(append(b, 0), m.typeIndex(t.Func))
}

func (m *Module) typeIndex(t *FuncType) uint32 {
	for i := range m.Types {
		if m.Types[i] == t {
			return uint32(i)
		}
	}
	return 0
}

func appendLimits(b []byte, l Limits) []byte {
	if !l.HasMax {
		return appendU32(append(b, 0), l.Min)
	}
	return appendU32(appendU32(append(b, 1), l.Min), l.Max)
}

func mutability(mutable bool) byte {
	if mutable {
		return 1
	}
	return 0
}

// checkedCode puts the check for the stop in front of each function's body and of each loop's.
func checkedCode(r *reader, stop uint32) ([]byte, error) {
	check := append(appendU32([]byte{0x23}, stop), opIf, 0x40, 0x00, opEnd) // global.get stop, if, unreachable, end
	n := r.count()
	out := appendU32(nil, uint32(n))
	for range n {
		body := r.bytes(r.count())
		if r.err != nil {
			return nil, r.err
		}
		b := &reader{data: body}
		for range b.count() {
			b.u32()
			b.valueType()
		}
		code := append(bytes.Clone(body[:b.at]), check...)
		from := b.at
		for !b.done() {
			if b.instruction() == opLoop {
				code = append(append(code, body[from:b.at]...), check...)
				from = b.at
			}
		}
		if b.err != nil {
			return nil, b.err
		}
		code = append(code, body[from:]...)
		out = append(appendU32(out, uint32(len(code))), code...)
	}
	if !r.done() {
		return nil, errors.New("there is more code than functions")
	}
	return out, nil
}
