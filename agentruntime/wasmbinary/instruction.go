package wasmbinary

import "fmt"

const (
	opBlock    = 0x02
	opLoop     = 0x03
	opIf       = 0x04
	opTry      = 0x06
	opEnd      = 0x0b
	opTryTable = 0x1f
)

// instruction skips one instruction with its immediates and returns its first byte.
func (r *reader) instruction() byte {
	op := r.byte()
	switch {
	case op == opBlock, op == opLoop, op == opIf, op == opTry:
		r.blockType()
	case op == opTryTable:
		r.blockType()
		for range r.count() {
			if kind := r.byte(); kind < 2 {
				r.skipLEB()
			}
			r.skipLEB()
		}
	case op == 0x0e: // br_table
		for range r.count() {
			r.skipLEB()
		}
		r.skipLEB()
	case op == 0x11, op == 0x13: // call_indirect, return_call_indirect
		r.skipLEB()
		r.skipLEB()
	case op == 0x07, op == 0x08, op == 0x09, op == 0x0c, op == 0x0d, op == 0x10, op == 0x12, op == 0x14, op == 0x15, op == 0x18,
		op >= 0x20 && op <= 0x26, op == 0x3f, op == 0x40, op == 0x41, op == 0x42, op == 0xd0, op == 0xd2, op == 0xd5, op == 0xd6:
		r.skipLEB()
	case op == 0x1c: // select with types
		for range r.count() {
			r.valueType()
		}
	case op >= 0x28 && op <= 0x3e:
		r.memoryArgument()
	case op == 0x43:
		r.bytes(4)
	case op == 0x44:
		r.bytes(8)
	case op == 0xfc:
		r.miscellaneous()
	case op == 0xfd:
		r.vector()
	case op == 0xfe:
		if r.u32() == 3 { // atomic.fence
			r.byte()
		} else {
			r.memoryArgument()
		}
	case op <= 0x01, op == 0x05, op == 0x0a, op == opEnd, op == 0x0f, op == 0x19, op == 0x1a, op == 0x1b,
		op >= 0x45 && op <= 0xc4, op == 0xd1, op == 0xd3, op == 0xd4:
	default:
		r.fail(fmt.Errorf("the instruction 0x%x is not supported", op))
	}
	return op
}

// blockType is empty, a value type or the index of a type, all of which are a number.
func (r *reader) blockType() { r.skipLEB() }

func (r *reader) memoryArgument() {
	if r.u32()&0x40 != 0 {
		r.skipLEB()
	}
	r.skipLEB()
}

func (r *reader) miscellaneous() {
	switch op := r.u32(); {
	case op <= 7:
	case op == 9, op == 11, op == 13, op >= 15 && op <= 17:
		r.skipLEB()
	case op == 8, op == 10, op == 12, op == 14:
		r.skipLEB()
		r.skipLEB()
	default:
		r.fail(fmt.Errorf("the instruction 0xfc 0x%x is not supported", op))
	}
}

func (r *reader) vector() {
	switch op := r.u32(); {
	case op <= 11, op == 92, op == 93:
		r.memoryArgument()
	case op == 12, op == 13:
		r.bytes(16)
	case op >= 21 && op <= 34:
		r.byte()
	case op >= 84 && op <= 91:
		r.memoryArgument()
		r.byte()
	case op > 0x113:
		r.fail(fmt.Errorf("the instruction 0xfd 0x%x is not supported", op))
	}
}
