package agentruntime

import (
	"math"
	"slices"

	"github.com/dop251/goja"
)

// sharedBuffer is the state of a SharedArrayBuffer (https://tc39.es/ecma262/#sec-sharedarraybuffer-objects), which is an
// ArrayBuffer of the engine with another prototype. An agent has one thread, so that there is nobody to share memory with: what
// is left is that it cannot be detached, transferred or cloned, and that Web APIs take it only where the standard says
// AllowShared.
type sharedBuffer struct{ goja.ArrayBuffer }

// share makes a SharedArrayBuffer of an ArrayBuffer that nobody has seen.
func (r *realm) share(buffer, proto *goja.Object) {
	r.web().shares = true
	_ = buffer.SetPrototype(proto)
	r.attach(buffer, &sharedBuffer{buffer.Export().(goja.ArrayBuffer)})
}

// isShared reports whether v is a SharedArrayBuffer or a view of one.
func (r *realm) isShared(v goja.Value) bool {
	obj, ok := v.(*goja.Object)
	if !ok || r.webAPI == nil || !r.webAPI.shares {
		return false
	}
	if isView(obj) {
		v = obj.Get("buffer")
	}
	_, shared := nativeOf[*sharedBuffer](r, v)
	return shared
}

// isPinned reports whether a buffer, or the buffer of a view, cannot be detached: it is shared, or the memory of a WebAssembly
// module (https://webassembly.github.io/spec/js-api/#dom-memory-buffer).
func (r *realm) isPinned(v goja.Value) bool {
	obj, ok := v.(*goja.Object)
	if !ok || r.webAPI == nil || !r.webAPI.shares && r.webAPI.wasm == nil {
		return false
	}
	if isView(obj) {
		obj, ok = obj.Get("buffer").(*goja.Object)
	}
	if !ok || r.isShared(obj) {
		return ok
	}
	return r.webAPI.wasm != nil && slices.ContainsFunc(r.webAPI.wasm.memories, func(m *wasmMemory) bool { return m.obj == obj })
}

// refusePinned throws for a buffer that would have to be detached and cannot be.
func (r *realm) refusePinned(v goja.Value, what string) {
	if r.isPinned(v) {
		panic(r.typeError(what + " is a SharedArrayBuffer or a memory of WebAssembly, or a view of one, and cannot be transferred"))
	}
}

// bytesOf is bytesOrShared for where a SharedArrayBuffer is not a source of bytes, which is nearly everywhere.
func (r *realm) bytesOf(v goja.Value) ([]byte, bool) {
	if r.isShared(v) {
		return nil, false
	}
	return r.bytesOrShared(v)
}

func init() {
	fixed := func(r *realm, _ *sharedBuffer, _ goja.FunctionCall) goja.Value {
		panic(r.typeError("the SharedArrayBuffer does not grow: this engine has no buffers of variable length"))
	}
	size := getter(func(r *realm, b *sharedBuffer) goja.Value { return r.rt.ToValue(len(b.Bytes())) })
	(&webClass{
		name: "SharedArrayBuffer", length: 1,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			if optional(call.Argument(1), "maxByteLength") != nil {
				panic(r.typeError("SharedArrayBuffer: maxByteLength is not supported: this engine has no buffers of variable length"))
			}
			v, err := r.rt.New(r.rt.Get("ArrayBuffer"), call.Argument(0))
			if thrown := thrownBy(err); thrown != nil {
				panic(thrown)
			}
			if v.ExportType() != typeArrayBuffer {
				panic(r.typeError("ArrayBuffer, which SharedArrayBuffer is made of, was replaced"))
			}
			r.share(v, call.This.Prototype())
			return v
		},
		members: []member{
			{name: "byteLength", get: size},
			{name: "maxByteLength", get: size},
			{name: "growable", get: getter(func(r *realm, _ *sharedBuffer) goja.Value { return r.rt.ToValue(false) })},
			{name: "grow", length: 1, call: method(fixed)},
			{name: "slice", length: 2, call: method(func(r *realm, b *sharedBuffer, call goja.FunctionCall) goja.Value {
				data := b.Bytes()
				from, to := sliceIndex(call.Argument(0), len(data), 0, math.Trunc), sliceIndex(call.Argument(1), len(data), len(data), math.Trunc)
				part := r.arrayBuffer(append([]byte(nil), data[from:max(from, to)]...)).(*goja.Object)
				r.share(part, r.classPrototype("SharedArrayBuffer"))
				return part
			})},
		},
	}).declare()

	// With one thread every operation is atomic. Nobody could wake one that waits.
	scripted("Atomics", `(() => {
		const tag = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get;
		const at = (list, index) => {
			if (!/^(?:Int|Uint|BigInt|BigUint)(?:8|16|32|64)Array$/.test(tag.call(list))) throw new TypeError("Atomics: not an array of integers");
			const n = Number(index), i = n !== n ? 0 : Math.trunc(n);
			if (!(i >= 0 && i < list.length)) throw new RangeError("Atomics: the index is out of range");
			return i;
		};
		const integer = (list, v) => typeof list[0] === "bigint" ? BigInt.asIntN(128, v) : (v = Math.trunc(Number(v))) === v ? v + 0 : 0;
		const update = (f) => (list, index, value) => {
			const i = at(list, index), v = integer(list, value), old = list[i];
			list[i] = f(old, v);
			return old;
		};
		const functions = {
			add: update((a, b) => a + b), and: update((a, b) => a & b), exchange: update((a, b) => b), or: update((a, b) => a | b),
			sub: update((a, b) => a - b), xor: update((a, b) => a ^ b),
			compareExchange(list, index, expected, value) {
				const i = at(list, index), old = list[i], same = new list.constructor([integer(list, expected)])[0];
				value = integer(list, value);
				if (old === same) list[i] = value;
				return old;
			},
			isLockFree: (n) => [1, 2, 4, 8].includes(Math.trunc(Number(n))),
			load: (list, index) => list[at(list, index)],
			notify: (list, index) => { at(list, index); return 0; },
			store(list, index, value) { const i = at(list, index), v = integer(list, value); list[i] = v; return v; },
			wait(list, index) { at(list, index); throw new TypeError("Atomics.wait cannot be called: an agent has one thread"); },
		};
		const atomics = {};
		for (const name of Object.keys(functions)) {
			const f = functions[name];
			Object.defineProperty(f, "name", { value: name, configurable: true });
			Object.defineProperty(atomics, name, { value: f, writable: true, configurable: true });
		}
		Object.defineProperty(atomics, Symbol.toStringTag, { value: "Atomics", configurable: true });
		return atomics;
	})()`)
}
