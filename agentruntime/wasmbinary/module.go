package wasmbinary

import (
	"bytes"
	"errors"
	"fmt"
)

// Kind is what an import or an export is.
type Kind byte

const (
	Func Kind = iota
	Table
	Memory
	Global
	Tag
)

// String is the name that the JavaScript interface has for the kind.
func (k Kind) String() string {
	return [...]string{"function", "table", "memory", "global", "tag"}[k]
}

// ValueType is the type of a value, as in the format.
type ValueType = byte

const (
	I32       ValueType = 0x7f
	I64       ValueType = 0x7e
	F32       ValueType = 0x7d
	F64       ValueType = 0x7c
	V128      ValueType = 0x7b
	FuncRef   ValueType = 0x70
	ExternRef ValueType = 0x6f
)

// FuncType is the type of a function.
type FuncType struct{ Params, Results []ValueType }

func (t *FuncType) Equal(o *FuncType) bool {
	return bytes.Equal(t.Params, o.Params) && bytes.Equal(t.Results, o.Results)
}

// Limits are those of a memory, in pages, or of a table, in elements.
type Limits struct {
	Min, Max uint32
	HasMax   bool
}

// Type is the type of an import or export; what belongs to its kind is set.
type Type struct {
	Kind    Kind
	Func    *FuncType
	Limits  Limits
	Value   ValueType // of a global, or of a table's elements
	Mutable bool
}

// Import is one import of a module, Export one export.
type (
	Import struct {
		Module, Name string
		Type         Type
	}
	Export struct {
		Name  string
		Type  Type
		Index uint32
	}
)

// CustomSection is a section that the format gives no meaning to.
type CustomSection struct {
	Name string
	Data []byte
}

// Module is what a binary says of itself.
type Module struct {
	Imports []Import
	Exports []Export
	Custom  []CustomSection
	// Types are the types of functions that the module names.
	Types []*FuncType

	// Of each kind all there are, imported ones first.
	funcs, tables, memories, globals []Type
	sections                         []section
}

type section struct {
	id      byte
	content []byte
}

const (
	sectionCustom   = 0
	sectionType     = 1
	sectionImport   = 2
	sectionFunction = 3
	sectionTable    = 4
	sectionMemory   = 5
	sectionGlobal   = 6
	sectionExport   = 7
	sectionCode     = 10
)

var header = []byte{0, 'a', 's', 'm', 1, 0, 0, 0}

// Parse reads a module. data must not change afterwards.
func Parse(data []byte) (*Module, error) {
	if len(data) < 8 || !bytes.Equal(data[:4], header[:4]) {
		return nil, errors.New("expected magic word 00 61 73 6d, found something else @+0")
	}
	if !bytes.Equal(data[:8], header) {
		return nil, errors.New("expected version 01 00 00 00 @+4")
	}
	m := &Module{}
	r := &reader{data: data, at: 8}
	for !r.done() {
		id := r.byte()
		s := section{id, r.bytes(r.count())}
		if r.err != nil {
			return nil, r.err
		}
		m.sections = append(m.sections, s)
		if err := m.read(s); err != nil {
			return nil, fmt.Errorf("section %d: %w", id, err)
		}
	}
	return m, nil
}

func (m *Module) read(s section) error {
	r := &reader{data: s.content}
	switch s.id {
	case sectionCustom:
		name := r.name()
		if r.err == nil {
			m.Custom = append(m.Custom, CustomSection{name, s.content[r.at:]})
		}
	case sectionType:
		for range r.count() {
			if form := r.byte(); form != 0x60 && r.err == nil {
				return fmt.Errorf("a type of the form 0x%x is not supported", form)
			}
			t := &FuncType{Params: r.valueTypes(), Results: r.valueTypes()}
			m.Types = append(m.Types, t)
		}
	case sectionImport:
		for range r.count() {
			i := Import{Module: r.name(), Name: r.name()}
			i.Type = m.readType(r)
			m.Imports = append(m.Imports, i)
			m.add(i.Type)
		}
	case sectionFunction:
		for range r.count() {
			m.add(Type{Kind: Func, Func: m.typeAt(r, r.u32())})
		}
	case sectionTable:
		for range r.count() {
			if r.at < len(r.data) && r.data[r.at] == 0x40 {
				return errors.New("a table with an initializer is not supported")
			}
			m.add(r.table())
		}
	case sectionMemory:
		for range r.count() {
			m.add(Type{Kind: Memory, Limits: r.limits()})
		}
	case sectionGlobal:
		for range r.count() {
			m.add(r.global())
			r.expression()
		}
	case sectionExport:
		for range r.count() {
			e := Export{Name: r.name()}
			kind := Kind(r.byte())
			e.Index = r.u32()
			all := map[Kind][]Type{Func: m.funcs, Table: m.tables, Memory: m.memories, Global: m.globals}[kind]
			switch {
			case r.err != nil:
			case kind == Tag:
				e.Type.Kind = Tag
			case int64(e.Index) >= int64(len(all)):
				return fmt.Errorf("the export %q is of something that is not there", e.Name)
			default:
				e.Type = all[e.Index]
			}
			m.Exports = append(m.Exports, e)
		}
	}
	return r.err
}

// MemoryPages is how many pages of memory an instance begins with, beside what it imports.
func (m *Module) MemoryPages() uint64 {
	var pages uint64
	for _, t := range m.memories {
		pages += uint64(t.Limits.Min)
	}
	for _, i := range m.Imports {
		if i.Type.Kind == Memory {
			pages -= uint64(i.Type.Limits.Min)
		}
	}
	return pages
}

func (m *Module) add(t Type) {
	switch t.Kind {
	case Func:
		m.funcs = append(m.funcs, t)
	case Table:
		m.tables = append(m.tables, t)
	case Memory:
		m.memories = append(m.memories, t)
	case Global:
		m.globals = append(m.globals, t)
	}
}

func (m *Module) typeAt(r *reader, i uint32) *FuncType {
	if int64(i) >= int64(len(m.Types)) {
		r.fail(errors.New("a type is not there"))
		return &FuncType{}
	}
	return m.Types[i]
}

func (m *Module) readType(r *reader) Type {
	switch kind := Kind(r.byte()); kind {
	case Func:
		return Type{Kind: Func, Func: m.typeAt(r, r.u32())}
	case Table:
		return r.table()
	case Memory:
		return Type{Kind: Memory, Limits: r.limits()}
	case Global:
		return r.global()
	case Tag:
		r.byte()
		return Type{Kind: Tag, Func: m.typeAt(r, r.u32())}
	}
	r.fail(errors.New("an import of an unknown kind"))
	return Type{}
}

func (r *reader) valueType() ValueType {
	t := r.byte()
	switch t {
	case I32, I64, F32, F64, V128, FuncRef, ExternRef:
	default:
		r.fail(fmt.Errorf("a value of the type 0x%x is not supported", t))
	}
	return t
}

func (r *reader) valueTypes() []ValueType {
	n := r.count()
	list := make([]ValueType, 0, n)
	for range n {
		list = append(list, r.valueType())
	}
	return list
}

func (r *reader) limits() Limits {
	flags := r.byte()
	if flags > 1 {
		r.fail(errors.New("shared and 64-bit memories are not supported"))
		return Limits{}
	}
	l := Limits{Min: r.u32(), HasMax: flags&1 != 0}
	if l.HasMax {
		l.Max = r.u32()
	}
	return l
}

func (r *reader) table() Type {
	t := Type{Kind: Table, Value: r.valueType()}
	t.Limits = r.limits()
	return t
}

func (r *reader) global() Type {
	t := Type{Kind: Global, Value: r.valueType()}
	t.Mutable = r.byte() == 1
	return t
}

// expression skips a constant expression.
func (r *reader) expression() {
	for depth := 1; depth > 0 && r.err == nil; {
		switch r.instruction() {
		case opBlock, opLoop, opIf, opTry, opTryTable:
			depth++
		case opEnd:
			depth--
		}
	}
}
