package agentruntime

import "testing"

func TestSharedArrayBuffer(t *testing.T) {
	const caught = `const caught = (f) => { try { return String(f()) } catch (e) { return e.name } };`
	for _, c := range []struct{ name, src, want string }{
		{"its own class", `const b = new SharedArrayBuffer(8); return [b.byteLength, b instanceof ArrayBuffer, Object.prototype.toString.call(b), b.constructor === SharedArrayBuffer, b.growable, b.maxByteLength]`, "8,false,[object SharedArrayBuffer],true,false,8"},
		{"views", `const b = new SharedArrayBuffer(8); const v = new Uint8Array(b, 2, 4); v[0] = 7; return [new DataView(b).getUint8(2), v.buffer === b, b.slice(2, -1).byteLength, new Uint8Array(b.slice(2))[0], Object.prototype.toString.call(b.slice())]`, "7,true,5,7,[object SharedArrayBuffer]"},
		{"a class of code's own", `class Mine extends SharedArrayBuffer {} return [new Mine(4) instanceof Mine, new Mine(4).byteLength]`, "true,4"},
		{"no copy of it leaves", `const b = new SharedArrayBuffer(8), v = new Uint8Array(b); return [caught(() => structuredClone(b)), caught(() => structuredClone(v)), caught(() => structuredClone(1, { transfer: [b] })), caught(() => new MessageChannel().port1.postMessage(1, [b])), caught(() => ArrayBuffer.prototype.transfer.call(b))]`, "DataCloneError,DataCloneError,DataCloneError,DataCloneError,TypeError"},
		{"where it may be", `const b = new SharedArrayBuffer(8), v = new Uint8Array(b); return [new TextEncoder().encodeInto("hello", v).written, new TextDecoder().decode(b).slice(0, 5), new TextDecoder().decode(v.subarray(1, 3))]`, "5,hello,el"},
		{"where it may not", `const v = new Uint8Array(new SharedArrayBuffer(8)); return [caught(() => crypto.getRandomValues(v)), v.join(""), await new Response(new ReadableStream({ pull(c) { c.enqueue(v); c.close(); } }).pipeThrough(new CompressionStream("gzip"))).text().catch(e => e.name), await new ReadableStream({ type: "bytes" }).getReader({ mode: "byob" }).read(v).catch(e => e.name), await new Response(v.buffer).text()]`, "TypeError,00000000,TypeError,TypeError,[object SharedArrayBuffer]"},
		{"what it is not", `return [caught(() => SharedArrayBuffer(1)), caught(() => new SharedArrayBuffer(-1)), caught(() => new SharedArrayBuffer(1, { maxByteLength: 2 })), caught(() => new SharedArrayBuffer(1).grow(2)), caught(() => SharedArrayBuffer.prototype.slice.call(new ArrayBuffer(1)))]`, "TypeError,RangeError,TypeError,TypeError,TypeError"},
		{"a memory of WebAssembly", `const m = new WebAssembly.Memory({ shared: true, initial: 1, maximum: 2 }); return [m.buffer instanceof SharedArrayBuffer, m.buffer === m.buffer, m.buffer.byteLength, m.grow(0), caught(() => m.grow(1)), caught(() => new WebAssembly.Memory({ shared: true, initial: 1 }))]`, "true,true,65536,1,RangeError,TypeError"},
		{"the memory of a module stays where it is", `const m = new WebAssembly.Memory({ initial: 1 }); return [caught(() => m.buffer.transfer()), caught(() => structuredClone(1, { transfer: [m.buffer] })), await new ReadableStream({ type: "bytes" }).getReader({ mode: "byob" }).read(new Uint8Array(m.buffer)).catch(e => e.name), m.buffer.byteLength, structuredClone(m.buffer).byteLength]`, "TypeError,DataCloneError,TypeError,65536,65536"},
		{"Atomics", `const v = new Int32Array(new SharedArrayBuffer(8)); return [Atomics.add(v, 0, 5), Atomics.sub(v, 0, 2), Atomics.or(v, 0, 4), Atomics.and(v, 0, 6), Atomics.xor(v, 0, 1), Atomics.load(v, 0), Atomics.exchange(v, 0, 9), Atomics.compareExchange(v, 0, 9, 2 ** 32 + 1), Atomics.compareExchange(v, 0, 9, 3), v[0], Atomics.store(v, 1, 3.7), Atomics.notify(v, 0), Atomics.isLockFree(4)]`, "0,5,3,7,6,7,7,9,1,1,3,0,true"},
		{"Atomics of big integers", `const v = new BigInt64Array(1); return [Atomics.add(v, 0, 5n), Atomics.compareExchange(v, 0, 5n, 7n), v[0], caught(() => Atomics.add(v, 0, 1))]`, "0,5,7,TypeError"},
		{"Atomics refuse", `const v = new Int32Array(2); return [caught(() => Atomics.wait(v, 0, 0)), caught(() => Atomics.load(v, 2)), caught(() => Atomics.load([1], 0)), caught(() => Atomics.add(new Float32Array(1), 0, 1)), Object.prototype.toString.call(Atomics)]`, "TypeError,RangeError,TypeError,TypeError,[object Atomics]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newWebRealm(t, nil)
			for _, s := range supplies {
				s.put(r.realm)
			}
			if got := r.run(t, caught+c.src); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
