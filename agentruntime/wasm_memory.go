package agentruntime

import (
	"unsafe"

	"github.com/dop251/goja"
	"github.com/tetratelabs/wazero/api"

	"github.com/gatehouse-edge/gatehouse/agentruntime/wasmbinary"
)

// wasmMemory is the state of a WebAssembly.Memory. Its buffer is the memory itself, until the memory grows.
type wasmMemory struct {
	w      *wasmState
	memory api.Memory
	// owner exports the memory as name.
	owner api.Module
	name  string
	other api.Module // see linkable
	buf   goja.ArrayBuffer
	obj   *goja.Object // the buffer, nil until it is asked for
	// shared says that the buffer is a SharedArrayBuffer. No module can import such a memory, as the engine has no threads, and
	// it does not grow: a SharedArrayBuffer stays what it is, and the memory might move.
	shared bool
	data   []byte // what is behind it
}

// linkable returns a module that exports the memory as wasmbinary.ImportName.
func (m *wasmMemory) linkable() api.Module {
	if m.other == nil {
		m.other = m.w.alias(m.owner, m.name, wasmbinary.Type{Kind: wasmbinary.Memory})
	}
	return m.other
}

// bytes are all of the memory.
func (m *wasmMemory) bytes() []byte {
	data, _ := m.memory.Read(0, m.memory.Size())
	return data
}

// moved reports whether the buffer does not show the memory any more.
func (m *wasmMemory) moved() bool {
	data := m.bytes()
	return len(data) != len(m.data) || unsafe.SliceData(data) != unsafe.SliceData(m.data)
}

func (m *wasmMemory) detach() {
	m.buf.Detach()
	m.obj, m.data = nil, nil
}

func (m *wasmMemory) buffer() goja.Value {
	if m.obj == nil || m.buf.Detached() {
		m.data = m.bytes()
		m.buf = m.w.r.rt.NewArrayBuffer(m.data)
		m.obj = m.w.r.rt.ToValue(m.buf).(*goja.Object)
		if m.shared {
			m.w.r.share(m.obj, m.w.r.classPrototype("SharedArrayBuffer"))
			return m.obj
		}
		m.w.watch(m)
	}
	return m.obj
}

func (w *wasmState) watch(m *wasmMemory) {
	for _, o := range w.memories {
		if o == m {
			return
		}
	}
	w.memories = append(w.memories, m)
}

// limit reads a size in a descriptor.
func (r *realm) wasmLimit(descriptor goja.Value, name string, most float64) (value uint32, ok bool) {
	v := optional(descriptor, name)
	if v == nil {
		return 0, false
	}
	return uint32(r.enforceRange(v, most, name)), true
}

func (r *realm) wasmLimits(descriptor goja.Value, what string, most float64) wasmbinary.Limits {
	if _, ok := descriptor.(*goja.Object); !ok {
		panic(r.typeError(what + ": the descriptor is not an object"))
	}
	var l wasmbinary.Limits
	var ok bool
	if l.Min, ok = r.wasmLimit(descriptor, "initial", most); !ok {
		panic(r.typeError(what + ": the descriptor has no member 'initial'"))
	}
	if l.Max, l.HasMax = r.wasmLimit(descriptor, "maximum", most); l.HasMax && l.Max < l.Min {
		panic(r.newError("RangeError", what+": 'maximum' is below 'initial'"))
	}
	return l
}

func init() {
	(&webClass{
		name: "Memory", length: 1,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			r.newOnly(call, "Memory")
			w := r.wasmState()
			limits := r.wasmLimits(call.Argument(0), "WebAssembly.Memory()", 65536)
			v := optional(call.Argument(0), "shared")
			shared := v != nil && v.ToBoolean()
			if shared && !limits.HasMax {
				panic(r.typeError("WebAssembly.Memory(): a shared memory must have a 'maximum'"))
			}
			if int64(limits.Min)*wasmPage > wasmMemoryLimit-w.used {
				panic(r.newError("RangeError", "WebAssembly.Memory(): could not allocate memory"))
			}
			limits.Max = min(limits.Max, wasmMemoryLimit/wasmPage)
			owner := w.small(wasmbinary.Define(wasmbinary.Type{Kind: wasmbinary.Memory, Limits: limits}), nil)
			r.attach(call.This, &wasmMemory{w: w, memory: owner.ExportedMemory(wasmbinary.ImportName), owner: owner, name: wasmbinary.ImportName, shared: shared})
			return nil
		},
		members: []member{
			{name: "buffer", get: getter(func(_ *realm, m *wasmMemory) goja.Value { return m.buffer() })},
			{name: "grow", length: 1, call: method(func(r *realm, m *wasmMemory, call goja.FunctionCall) goja.Value {
				delta := uint32(r.enforceRange(call.Argument(0), 1<<32-1, "delta"))
				if m.shared {
					if delta > 0 {
						panic(r.newError("RangeError", "WebAssembly.Memory.grow(): a shared memory does not grow here"))
					}
					return r.rt.ToValue(m.memory.Size() / wasmPage)
				}
				before, ok := m.memory.Grow(delta)
				if !ok {
					panic(r.newError("RangeError", "WebAssembly.Memory.grow(): Unable to grow instance memory"))
				}
				if m.obj != nil {
					m.detach() // growing by nothing makes a new buffer too
				}
				m.w.renew()
				return r.rt.ToValue(before)
			})},
		},
	}).declare()
	delete(globals, "Memory")
}
