package agentruntime

import "testing"

func TestEvents(t *testing.T) {
	runWebCases(t, []webCase{
		{"dispatch", `const t = new EventTarget(); let s = ''; t.addEventListener('x', e => s += e.type + (e.target === t)); t.dispatchEvent(new Event('x')); return s`, "xtrue"},
		{"once and removal", `const t = new EventTarget(); let n = 0; const f = () => n++; t.addEventListener('x', f, {once: true}); t.addEventListener('y', f); t.removeEventListener('y', f); for (const k of ['x', 'x', 'y']) t.dispatchEvent(new Event(k)); return n`, "1"},
		{"the same listener once", `const t = new EventTarget(); let n = 0; const f = () => n++; t.addEventListener('x', f); t.addEventListener('x', f); t.dispatchEvent(new Event('x')); return n`, "1"},
		{"preventDefault", `const t = new EventTarget(); t.addEventListener('x', e => e.preventDefault()); return [t.dispatchEvent(new Event('x', {cancelable: true})), t.dispatchEvent(new Event('x'))]`, "false,true"},
		{"stopImmediatePropagation", `const t = new EventTarget(); let n = 0; t.addEventListener('x', e => { n++; e.stopImmediatePropagation() }); t.addEventListener('x', () => n++); t.dispatchEvent(new Event('x')); return n`, "1"},
		{"handleEvent", `const t = new EventTarget(); const o = {n: 0, handleEvent(){ this.n++ }}; t.addEventListener('x', o); t.dispatchEvent(new Event('x')); return o.n`, "1"},
		{"a throwing listener stops nobody", `const t = new EventTarget(); let n = 0; t.addEventListener('x', () => { throw new Error('l') }); t.addEventListener('x', () => n++); t.dispatchEvent(new Event('x')); return n`, "1"},
		{"signal", `const t = new EventTarget(); let n = 0; const c = new AbortController(); t.addEventListener('x', () => n++, {signal: c.signal}); t.dispatchEvent(new Event('x')); c.abort(); t.dispatchEvent(new Event('x')); return n`, "1"},
		{"subclass", `class B extends EventTarget { go(){ this.dispatchEvent(new CustomEvent('x', {detail: 7})) } } const b = new B(); let d; b.addEventListener('x', e => d = e.detail); b.go(); return d`, "7"},
		{"dispatched twice at once", `const t = new EventTarget(); let r; t.addEventListener('x', e => { try { t.dispatchEvent(e) } catch (x) { r = x.name } }); t.dispatchEvent(new Event('x')); return r`, "InvalidStateError"},
	})
}

func TestAbort(t *testing.T) {
	runWebCases(t, []webCase{
		{"abort", `const c = new AbortController(); let n = 0; c.signal.onabort = e => n += e.isTrusted ? 1 : 10; c.signal.addEventListener('abort', () => n++); c.abort(); c.abort(); return [n, c.signal.aborted, c.signal.reason.name, c.signal.reason instanceof DOMException]`, "2,true,AbortError,true"},
		{"reason", `const c = new AbortController(); c.abort('r'); try { c.signal.throwIfAborted() } catch (e) { return e }`, "r"},
		{"static abort", `return AbortSignal.abort('x').reason`, "x"},
		{"timeout", `const s = AbortSignal.timeout(1); await new Promise(r => s.onabort = r); return s.reason.name`, "TimeoutError"},
		{"any", `const a = new AbortController(), b = new AbortController(); const s = AbortSignal.any([a.signal, b.signal]); const s2 = AbortSignal.any([s]); b.abort('b'); a.abort('a'); return [s.reason, s2.reason]`, "b,b"},
		{"any of an aborted one", `return AbortSignal.any([AbortSignal.abort('q')]).reason`, "q"},
		{"same signal", `const c = new AbortController(); return c.signal === c.signal`, "true"},
	})
}

func TestDOMException(t *testing.T) {
	runWebCases(t, []webCase{
		{"members", `const e = new DOMException('m', 'AbortError'); return [e.name, e.message, e.code, e instanceof Error, String(e)]`, "AbortError,m,20,true,AbortError: m"},
		{"defaults", `const e = new DOMException(); return [e.name, e.message, e.code].join('|')`, "Error||0"},
		{"cause", `return new DOMException('m', {name: 'DataCloneError', cause: 5}).cause + new DOMException('m', 'DataCloneError').code`, "30"},
		{"constants", `return DOMException.DATA_CLONE_ERR + new DOMException().ABORT_ERR`, "45"},
		{"stack", `return typeof new DOMException('m').stack`, "string"},
	})
}

func TestCrypto(t *testing.T) {
	const hex = `const hex = b => [...new Uint8Array(b)].map(x => x.toString(16).padStart(2, '0')).join(''); const abc = new TextEncoder().encode('abc'); `
	runWebCases(t, []webCase{
		{"randomUUID", `const u = crypto.randomUUID(); return /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(u) && u !== crypto.randomUUID()`, "true"},
		{"getRandomValues", `const a = new Uint32Array(8); return crypto.getRandomValues(a) === a && a.some(x => x > 0)`, "true"},
		{"getRandomValues of floats", `try { crypto.getRandomValues(new Float32Array(1)) } catch (e) { return e.name }`, "TypeMismatchError"},
		{"getRandomValues, too many", `try { crypto.getRandomValues(new Uint8Array(65537)) } catch (e) { return e.name }`, "QuotaExceededError"},
		{"SHA-1", hex + `return hex(await crypto.subtle.digest('SHA-1', abc))`, "a9993e364706816aba3e25717850c26c9cd0d89d"},
		{"SHA-256", hex + `return hex(await crypto.subtle.digest({name: 'sha-256'}, abc))`, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"SHA-384", hex + `return hex(await crypto.subtle.digest('SHA-384', abc.buffer)).slice(0, 16)`, "cb00753f45a35e8b"},
		{"SHA-512", hex + `return hex(await crypto.subtle.digest('SHA-512', abc)).slice(0, 16)`, "ddaf35a193617aba"},
		{"MD5", hex + `return hex(await crypto.subtle.digest('MD5', abc))`, "900150983cd24fb0d6963f7d28e17f72"},
		{"unknown digest", `return crypto.subtle.digest('SHA-9', new Uint8Array()).catch(e => e.name)`, "NotSupportedError"},
		{"timingSafeEqual", hex + `return [crypto.subtle.timingSafeEqual(abc, new TextEncoder().encode('abc')), crypto.subtle.timingSafeEqual(abc, new TextEncoder().encode('abd'))]`, "true,false"},
	})
}
