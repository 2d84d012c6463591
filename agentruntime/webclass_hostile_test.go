package agentruntime

import (
	"slices"
	"strings"
	"testing"
)

// Whatever code calls with whatever it likes, an API throws or answers: a defect of the runtime, which the harness
// would show as a Go panic, is never reached.
func TestHostileArguments(t *testing.T) {
	var names []string
	for name := range globals {
		switch name {
		case "Request", "Response", "Headers", "FormData", "Blob", "File", "URL", "URLSearchParams", "ReadableStream",
			"ReadableStreamDefaultReader", "ReadableStreamBYOBReader", "WritableStream", "WritableStreamDefaultWriter", "TransformStream",
			"IdentityTransformStream", "FixedLengthStream", "TextEncoderStream", "TextDecoderStream", "TextEncoder", "TextDecoder",
			"AbortController", "AbortSignal", "Event", "CustomEvent", "EventTarget", "DOMException", "CountQueuingStrategy",
			"ByteLengthQueuingStrategy", "Crypto", "SubtleCrypto", "ReadableStreamDefaultController", "ReadableByteStreamController",
			"ReadableStreamBYOBRequest", "WritableStreamDefaultController", "TransformStreamDefaultController":
			names = append(names, name)
		}
	}
	slices.Sort(names)
	const poke = `
	const detached = new Uint8Array(4); new ReadableStream({type: 'bytes', start(c){ c.enqueue(detached) }});
	const trap = new Proxy(function(){}, {get(t, k){ throw new Error('trap') }});
	const values = () => [undefined, null, 0, -1, NaN, 1e308, '', 'x', '\ud800', Symbol('s'), {}, [], [[]], [['a', 'b']], () => 1, () => { throw 1 },
		trap, detached, new Uint8Array(3), new DataView(new ArrayBuffer(2)), new Float64Array(1), new ArrayBuffer(8), {then: 1}, {get then(){ throw 2 }},
		Object.create(null), {highWaterMark: -1}, {highWaterMark: Infinity, size: 5}, {type: 'bytes', autoAllocateChunkSize: 1e9}, {mode: 'byob'},
		new Response('a'), new Response(new ReadableStream()), new Headers({a: 'b'}), new URL('http://a/?b#c'), new FormData(), new Blob(['x']), AbortSignal.abort(),
		new ReadableStream(), new ReadableStream({type: 'bytes'}), new WritableStream(), new TransformStream(), new Event('x'), 'http://a/', 10n ** 30n];
	const extra = { ReadableStreamDefaultController: [], ReadableByteStreamController: [], ReadableStreamBYOBRequest: [], WritableStreamDefaultController: [], TransformStreamDefaultController: [], Crypto: [crypto], SubtleCrypto: [crypto.subtle], AbortSignal: [AbortSignal.abort(), new AbortController().signal] };
	new ReadableStream({start(c){ extra.ReadableStreamDefaultController.push(c) }});
	new ReadableStream({type: 'bytes', start(c){ extra.ReadableByteStreamController.push(c) }}).getReader({mode: 'byob'}).read(new Uint16Array(4)).catch(() => {});
	extra.ReadableStreamBYOBRequest.push(extra.ReadableByteStreamController[0].byobRequest);
	new WritableStream({start(c){ extra.WritableStreamDefaultController.push(c) }});
	new TransformStream({start(c){ extra.TransformStreamDefaultController.push(c) }});
	const quiet = v => { try { if (v && typeof v.then === 'function') v.then(() => {}, () => {}) } catch {} };
	let calls = 0;
	function poke(name, a, b) {
		const C = globalThis[name];
		const made = [Object.create(C.prototype), C.prototype, {}, ...(extra[name] ?? [])];
		for (const args of [[], [a], [a, b]]) { try { made.push(new C(...args)) } catch {} try { quiet(C(...args)) } catch {} }
		const keys = []; for (const k in C.prototype) keys.push(k);
		for (const o of made) for (const k of keys) {
			try { quiet(o[k]) } catch {}
			try { o[k] = a } catch {}
			try { if (typeof o[k] === 'function') { calls++; quiet(o[k](a, b)) } } catch {}
			try { const f = C.prototype[k]; if (typeof f === 'function') quiet(f.call(a, b)) } catch {}
		}
		for (const k of ['json', 'redirect', 'error', 'canParse', 'parse', 'from', 'abort', 'any', 'timeout']) try { if (typeof C[k] === 'function') quiet(C[k](k === 'timeout' ? -1 : a, b)) } catch {}
		for (const s of [Symbol.iterator, Symbol.asyncIterator]) for (const o of made) try { const it = o[s](); quiet(it.next()); quiet(it.next(a)); quiet(it.return?.(b)) } catch {}
	}
	const list = NAMES.split(','), n = values().length;
	for (const name of list) for (let i = 0; i < n; i++) { const v = values(), w = values(); poke(name, v[i], w[(i * 7 + 3) % n]) }
	await null;
	return calls > 1000`
	w := newWebRealm(t, &testHost{})
	if got := w.run(t, strings.Replace(poke, "NAMES", "'"+strings.Join(names, ",")+"'", 1)); got != "true" {
		t.Fatal(got)
	}
}
