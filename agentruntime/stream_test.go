package agentruntime

import "testing"

// collect is what the streams' tests share: it reads a stream to its end.
const collect = `
const enc = s => new TextEncoder().encode(s), dec = b => new TextDecoder().decode(b);
async function all(s) { const out = []; const rd = s.getReader(); for (;;) { const {done, value} = await rd.read(); if (done) return out; out.push(value) } }
const tick = async (n = 5) => { for (let i = 0; i < n; i++) await null };
`

func runStreamCases(t *testing.T, cases []webCase) {
	for i := range cases {
		cases[i].src = collect + cases[i].src
	}
	runWebCases(t, cases)
}

func TestReadableStream(t *testing.T) {
	runStreamCases(t, []webCase{
		{"queued values", `return all(new ReadableStream({start(c){ c.enqueue(1); c.enqueue('b'); c.close() }}))`, "1,b"},
		{"pull", `let n = 0; return all(new ReadableStream({pull(c){ if (n == 3) c.close(); else c.enqueue(n++) }}))`, "0,1,2"},
		{"asynchronous pull", `let n = 0; return all(new ReadableStream({async pull(c){ await tick(); if (n == 3) c.close(); else c.enqueue(n++) }}))`, "0,1,2"},
		{"asynchronous start", `return all(new ReadableStream({async start(c){ await tick(); c.enqueue('s'); c.close() }}))`, "s"},
		{"pull is called for room only", `let n = 0; const s = new ReadableStream({pull(c){ n++; c.enqueue(n) }}, {highWaterMark: 3}); await tick(50); return n`, "3"},
		{"pull once at a time", `let n = 0, most = 0; const s = new ReadableStream({async pull(c){ n++; most = Math.max(most, n); await tick(); n--; c.enqueue(1) }}, {highWaterMark: 4}); await tick(60); return most`, "1"},
		{"size", `const s = new ReadableStream({start(c){ c.enqueue('abc'); s2 = c.desiredSize }}, {highWaterMark: 10, size: x => x.length}); var s2; return s2`, "7"},
		{"desiredSize", `let c; const s = new ReadableStream({start(k){ c = k }}, {highWaterMark: 2}); const a = c.desiredSize; c.enqueue(1); const b = c.desiredSize; c.close(); const d = c.desiredSize; await s.getReader().read(); return [a, b, d, c.desiredSize]`, "2,1,1,0"},
		{"error while reading", `let c; const s = new ReadableStream({start(k){ c = k }}); const p = s.getReader().read(); c.error(new Error('e1')); try { await p } catch (e) { return e.message }`, "e1"},
		{"error drops the queue", `let c; const s = new ReadableStream({start(k){ c = k; c.enqueue(1) }}); c.error(new Error('e1')); try { await s.getReader().read() } catch (e) { return e.message }`, "e1"},
		{"throwing start", `try { new ReadableStream({start(){ throw new Error('s') }}) } catch (e) { return e.message }`, "s"},
		{"rejecting pull", `try { await all(new ReadableStream({async pull(){ throw new Error('p') }})) } catch (e) { return e.message }`, "p"},
		{"throwing size", `try { await all(new ReadableStream({start(c){ try { c.enqueue(1) } catch {} }}, {size(){ throw new Error('sz') }})) } catch (e) { return e.message }`, "sz"},
		{"cancel", `let why; const s = new ReadableStream({cancel(r){ why = r }}); await s.cancel('bored'); return why + (await s.getReader().read()).done`, "boredtrue"},
		{"cancel that fails", `const s = new ReadableStream({cancel(){ throw new Error('c') }}); try { await s.cancel() } catch (e) { return e.message }`, "c"},
		{"cancel of a locked stream", `const s = new ReadableStream(); s.getReader(); try { await s.cancel() } catch (e) { return e.name + s.locked }`, "TypeErrortrue"},
		{"closed", `let c; const s = new ReadableStream({start(k){ c = k }}); const rd = s.getReader(); c.close(); await rd.closed; return 'closed'`, "closed"},
		{"releaseLock", `let c; const s = new ReadableStream({start(k){ c = k }}); const rd = s.getReader(); const p = rd.read(); rd.releaseLock(); try { await p } catch (e) { c.enqueue('x'); c.close(); return e.name + await all(s) }`, "TypeErrorx"},
		{"enqueue after close", `try { new ReadableStream({start(c){ c.close(); c.enqueue(1) }}) } catch (e) { return e.name }`, "TypeError"},
		{"two readers", `const s = new ReadableStream(); s.getReader(); try { s.getReader() } catch (e) { return e.message }`, "This ReadableStream is currently locked to a reader."},
		{"concurrent reads", `let c; const s = new ReadableStream({start(k){ c = k }}); const rd = s.getReader(); const ps = [rd.read(), rd.read(), rd.read()]; c.enqueue(1); c.enqueue(2); c.close(); return (await Promise.all(ps)).map(r => r.done ? '-' : r.value).join()`, "1,2,-"},
		{"tee", `const [a, b] = new ReadableStream({start(c){ c.enqueue(1); c.enqueue(2); c.close() }}).tee(); return (await all(a)).join() + (await all(b)).join()`, "1,21,2"},
		{"tee passes errors on", `let c; const [a, b] = new ReadableStream({start(k){ c = k }}).tee(); c.error(new Error('t')); const f = s => all(s).catch(e => e.message); return [await f(a), await f(b)]`, "t,t"},
		{"tee cancels when both do", `let why; const [a, b] = new ReadableStream({cancel(r){ why = r }}).tee(); const p = a.cancel('x'); await b.cancel('y'); await p; return why`, "x,y"},
		{"tee goes on when one cancels", `const [a, b] = new ReadableStream({start(c){ c.enqueue(1); c.close() }}).tee(); a.cancel(); return all(b)`, "1"},
		{"asyncIterator", `const it = new ReadableStream({start(c){ c.enqueue(1); c.enqueue(2); c.close() }})[Symbol.asyncIterator](); const out = []; for (;;) { const r = await it.next(); if (r.done) return out; out.push(r.value) }`, "1,2"},
		{"asyncIterator return cancels", `let why; const s = new ReadableStream({start(c){ c.enqueue(1) }, cancel(r){ why = r }}); const it = s.values(); await it.next(); const r = await it.return('enough'); return [why, r.done, s.locked]`, "enough,true,false"},
		{"asyncIterator with preventCancel", `let why = 'no'; const s = new ReadableStream({start(c){ c.enqueue(1); c.enqueue(2) }, cancel(r){ why = 'yes' }}); const it = s.values({preventCancel: true}); await it.next(); await it.return(); return why + (await s.getReader().read()).value`, "no2"},
		{"asyncIterator, reads in order", `let c; const s = new ReadableStream({start(k){ c = k }}); const it = s.values(); const ps = [it.next(), it.next()]; c.enqueue('a'); c.enqueue('b'); return (await Promise.all(ps)).map(r => r.value).join()`, "a,b"},
		{"from an array", `return all(ReadableStream.from(['a', Promise.resolve('b')]))`, "a,b"},
		{"from a generator", `let end = 'no'; const s = ReadableStream.from((function*(){ try { yield 1; yield 2 } finally { end = 'yes' } })()); const rd = s.getReader(); const v = (await rd.read()).value; await rd.cancel(); return v + end`, "1yes"},
		{"from a string", `return all(ReadableStream.from('ab'))`, "a,b"},
		{"invalid type", `try { new ReadableStream({type: 'x'}) } catch (e) { return e.name }`, "TypeError"},
		{"queuing strategies", `return [new CountQueuingStrategy({highWaterMark: 3}).size('abc'), new ByteLengthQueuingStrategy({highWaterMark: 3}).size(new Uint8Array(5)), new CountQueuingStrategy({highWaterMark: 3}).highWaterMark]`, "1,5,3"},
	})
}

func TestByteStream(t *testing.T) {
	runStreamCases(t, []webCase{
		{"default reader", `return (await all(new ReadableStream({type: 'bytes', start(c){ c.enqueue(enc('ab')); c.enqueue(enc('c')); c.close() }}))).map(dec).join('|')`, "ab|c"},
		{"enqueue detaches", `const b = enc('ab'); new ReadableStream({type: 'bytes', start(c){ c.enqueue(b) }}); return b.byteLength`, "0"},
		{"BYOB fills what there is", `const s = new ReadableStream({type: 'bytes', start(c){ c.enqueue(enc('abc')) }}); const rd = s.getReader({mode: 'byob'}); const v = new Uint8Array(2); const a = await rd.read(v); const b = await rd.read(new Uint8Array(9)); return dec(a.value) + '|' + dec(b.value) + v.byteLength`, "ab|c0"},
		{"BYOB waits", `let c; const s = new ReadableStream({type: 'bytes', start(k){ c = k }}); const p = s.getReader({mode: 'byob'}).read(new Uint8Array(4)); c.enqueue(enc('xy')); return dec((await p).value)`, "xy"},
		{"byobRequest", `const s = new ReadableStream({type: 'bytes', pull(c){ const v = c.byobRequest.view; v[0] = 65; v[1] = 66; c.byobRequest.respond(2) }}); return dec((await s.getReader({mode: 'byob'}).read(new Uint8Array(4))).value)`, "AB"},
		{"respondWithNewView", `const s = new ReadableStream({type: 'bytes', pull(c){ const v = c.byobRequest.view; v[0] = 67; c.byobRequest.respondWithNewView(v.subarray(0, 1)) }}); return dec((await s.getReader({mode: 'byob'}).read(new Uint8Array(4))).value)`, "C"},
		{"close answers the read", `let c; const s = new ReadableStream({type: 'bytes', start(k){ c = k }}); const p = s.getReader({mode: 'byob'}).read(new Uint8Array(4)); c.close(); c.byobRequest.respond(0); const r = await p; return [r.done, r.value.byteLength]`, "true,0"},
		{"autoAllocateChunkSize", `const s = new ReadableStream({type: 'bytes', autoAllocateChunkSize: 8, pull(c){ const q = c.byobRequest; q.view[0] = 90; const n = q.view.byteLength; q.respond(1); c.close() }}); return (await all(s)).map(dec).join()`, "Z"},
		{"elements larger than a byte", `const s = new ReadableStream({type: 'bytes', start(c){ c.enqueue(new Uint8Array([1, 0, 2])); c.enqueue(new Uint8Array([0, 3])); }}); const rd = s.getReader({mode: 'byob'}); const r = await rd.read(new Uint16Array(4)); return r.value.constructor.name + r.value.join()`, "Uint16Array1,2"},
		{"min", `let c; const s = new ReadableStream({type: 'bytes', start(k){ c = k }}); let got = 'no'; const p = s.getReader({mode: 'byob'}).read(new Uint8Array(8), {min: 3}).then(r => got = dec(r.value)); c.enqueue(enc('ab')); await tick(); const early = got; c.enqueue(enc('c')); await p; return early + got`, "noabc"},
		{"empty view", `const s = new ReadableStream({type: 'bytes'}); try { await s.getReader({mode: 'byob'}).read(new Uint8Array(0)) } catch (e) { return e.name }`, "TypeError"},
		{"BYOB of a plain stream", `try { new ReadableStream().getReader({mode: 'byob'}) } catch (e) { return e.name }`, "TypeError"},
		{"error", `let c; const s = new ReadableStream({type: 'bytes', start(k){ c = k }}); const p = s.getReader({mode: 'byob'}).read(new Uint8Array(4)); c.error(new Error('b')); try { await p } catch (e) { return e.message }`, "b"},
		{"cancel", `const s = new ReadableStream({type: 'bytes'}); const rd = s.getReader({mode: 'byob'}); const p = rd.read(new Uint8Array(4)); await rd.cancel(); const r = await p; return [r.done, r.value]`, "true,"},
		{"tee copies", `const [a, b] = new ReadableStream({type: 'bytes', start(c){ c.enqueue(enc('ab')); c.close() }}).tee(); const x = (await all(a))[0]; x[0] = 0; return dec((await all(b))[0])`, "ab"},
		{"release while a read waits", `let c; const s = new ReadableStream({type: 'bytes', start(k){ c = k }}); const rd = s.getReader({mode: 'byob'}); const p = rd.read(new Uint8Array(4)).catch(e => e.name); rd.releaseLock(); c.enqueue(enc('q')); c.close(); return await p + (await all(s)).map(dec).join()`, "TypeErrorq"},
	})
}

func TestWritableStream(t *testing.T) {
	const log = `const log = []; const sink = {start(){ log.push('start') }, async write(c){ log.push('w' + c); await tick() }, close(){ log.push('close') }, abort(r){ log.push('abort' + r) }}; `
	runStreamCases(t, []webCase{
		{"writes in order", log + `const w = new WritableStream(sink).getWriter(); w.write(1); w.write(2); await w.close(); return log`, "start,w1,w2,close"},
		{"ready follows the queue", log + `const w = new WritableStream(sink, {highWaterMark: 1}).getWriter(); await w.ready; const a = w.desiredSize; w.write(1); const b = w.desiredSize; let r = 'waiting'; const p = w.ready.then(() => r = 'ready'); await null; const c = r; await p; return [a, b, c, r]`, "1,0,waiting,ready"},
		{"abort", log + `const s = new WritableStream(sink); const w = s.getWriter(); w.closed.catch(() => {}); await w.ready; const p = w.write(1).catch(e => 'w:' + e); const q = w.write(2).catch(e => 'q:' + e); await w.abort('no'); return [await p, await q, log].join()`, ",q:no,start,w1,abortno"},
		{"controller signal", `let sig; const w = new WritableStream({start(c){ sig = c.signal }}).getWriter(); w.closed.catch(() => {}); await w.abort('x'); return sig.aborted + sig.reason`, "truex"},
		{"failing write", `const w = new WritableStream({write(){ throw new Error('disk') }}).getWriter(); const a = await w.write(1).catch(e => e.message); const b = await w.closed.catch(e => e.message); const c = await w.write(2).catch(e => e.message); return [a, b, c]`, "disk,disk,disk"},
		{"failing close", `const w = new WritableStream({close(){ throw new Error('shut') }}).getWriter(); w.closed.catch(() => {}); return w.close().catch(e => e.message)`, "shut"},
		{"write after close", `const w = new WritableStream().getWriter(); await w.close(); return w.write(1).catch(e => e.name)`, "TypeError"},
		{"close twice", `const w = new WritableStream().getWriter(); w.close(); return w.close().catch(e => e.name)`, "TypeError"},
		{"controller error", `let c; const w = new WritableStream({start(k){ c = k }}).getWriter(); c.error(new Error('ce')); return w.closed.catch(e => e.message)`, "ce"},
		{"locked", `const s = new WritableStream(); s.getWriter(); try { s.getWriter() } catch (e) { return e.name + s.locked }`, "TypeErrortrue"},
		{"releaseLock", `const s = new WritableStream(); const w = s.getWriter(); w.releaseLock(); return w.closed.catch(e => e.name + s.locked)`, "TypeErrorfalse"},
		{"rejecting start", `const w = new WritableStream({async start(){ throw new Error('st') }}).getWriter(); return w.closed.catch(e => e.message)`, "st"},
		{"close of the stream", log + `const s = new WritableStream(sink); await s.close(); return log`, "start,close"},
	})
}

func TestPipe(t *testing.T) {
	const ends = `const log = []; const src = n => new ReadableStream({start(c){ for (let i = 0; i < n; i++) c.enqueue(i); c.close() }}); const dst = o => new WritableStream({async write(c){ await tick(); log.push(c) }, close(){ log.push('close') }, abort(e){ log.push('abort:' + e.message) }}, o); `
	runStreamCases(t, []webCase{
		{"pipeTo", ends + `await src(3).pipeTo(dst()); return log`, "0,1,2,close"},
		{"pipeTo with room", ends + `await src(5).pipeTo(dst({highWaterMark: 10})); return log`, "0,1,2,3,4,close"},
		{"preventClose", ends + `const d = dst(); await src(1).pipeTo(d, {preventClose: true}); await d.getWriter().write('more'); return log`, "0,more"},
		{"source fails", ends + `const s = new ReadableStream({pull(){ throw new Error('src') }}); const e = await s.pipeTo(dst()).catch(e => e.message); return [e, log]`, "src,abort:src"},
		{"preventAbort", ends + `const s = new ReadableStream({pull(){ throw new Error('src') }}); const e = await s.pipeTo(dst(), {preventAbort: true}).catch(e => e.message); return [e, log.length]`, "src,0"},
		{"destination fails", `let why; const s = new ReadableStream({pull(c){ c.enqueue(1) }, cancel(r){ why = r.message }}); const e = await s.pipeTo(new WritableStream({write(){ throw new Error('dst') }})).catch(e => e.message); return [e, why]`, "dst,dst"},
		{"signal", ends + `let why; const c = new AbortController(); const s = new ReadableStream({cancel(r){ why = r.message }}); const p = s.pipeTo(dst(), {signal: c.signal}).catch(e => e.message); await tick(); c.abort(new Error('sig')); return [await p, why, log]`, "sig,sig,abort:sig"},
		{"locks", ends + `const s = src(1), d = dst(); const p = s.pipeTo(d); const l = [s.locked, d.locked]; await p; return [...l, s.locked, d.locked]`, "true,true,false,false"},
		{"through", ends + `return all(src(3).pipeThrough(new TransformStream({transform(c, k){ k.enqueue(c * 2) }})))`, "0,2,4"},
		{"through two", ends + `const dbl = () => new TransformStream({async transform(c, k){ await tick(); k.enqueue(c); k.enqueue(c) }}); return all(src(2).pipeThrough(dbl()).pipeThrough(dbl()))`, "0,0,0,0,1,1,1,1"},
		{"many chunks", ends + `return (await all(src(5000).pipeThrough(new TransformStream()))).length`, "5000"},
		{"backpressure", `let n = 0; const s = new ReadableStream({pull(c){ n++; c.enqueue(n) }}, {highWaterMark: 0}); s.pipeTo(new WritableStream({write(){ return new Promise(() => {}) }})); await tick(100); return n`, "1"},
	})
}

func TestTransformStream(t *testing.T) {
	runStreamCases(t, []webCase{
		{"identity", `const {readable, writable} = new TransformStream(); const w = writable.getWriter(); w.write('a'); w.close(); return all(readable)`, "a"},
		{"flush", `const {readable, writable} = new TransformStream({transform(c, k){ k.enqueue(c) }, flush(k){ k.enqueue('end') }}); const w = writable.getWriter(); w.write('a'); w.close(); return all(readable)`, "a,end"},
		{"start", `const {readable, writable} = new TransformStream({start(k){ k.enqueue('begin') }}, undefined, {highWaterMark: 1}); const w = writable.getWriter(); w.write('a'); w.close(); return all(readable)`, "begin,a"},
		{"throws", `const {readable, writable} = new TransformStream({transform(){ throw new Error('tr') }}); const w = writable.getWriter(); w.closed.catch(() => {}); const p = w.write('a').catch(e => e.message); const q = await all(readable).catch(e => e.message); return [await p, q]`, "tr,tr"},
		{"a write waits for the reader", `const {readable, writable} = new TransformStream(); const w = writable.getWriter(); let done = 'no'; const p = w.write('a').then(() => done = 'yes'); await tick(20); const early = done; await readable.getReader().read(); await p; return early + done`, "noyes"},
		{"terminate", `const {readable, writable} = new TransformStream({transform(c, k){ k.enqueue(c); k.terminate() }}); const w = writable.getWriter(); w.closed.catch(() => {}); w.write('a').catch(() => {}); const got = await all(readable); return got + await w.write('b').catch(e => e.name)`, "aTypeError"},
		{"cancel of the readable", `let why; const {readable, writable} = new TransformStream({cancel(r){ why = r }}); const w = writable.getWriter(); await readable.cancel('c'); return why + await w.write(1).catch(e => e)`, "cc"},
		{"abort of the writable", `const {readable, writable} = new TransformStream(); await writable.abort(new Error('ab')); return all(readable).catch(e => e.message)`, "ab"},
		{"desiredSize", `let k; new TransformStream({start(c){ k = c.desiredSize }}, undefined, {highWaterMark: 4}); return k`, "4"},
		{"IdentityTransformStream", `const {readable, writable} = new IdentityTransformStream(); const w = writable.getWriter(); w.write(enc('ab')); w.close(); return (await all(readable)).map(dec).join()`, "ab"},
		{"IdentityTransformStream wants bytes", `const {readable, writable} = new IdentityTransformStream(); const w = writable.getWriter(); w.closed.catch(() => {}); const p = w.write('text').catch(e => e.name); readable.getReader().read().catch(() => {}); return p`, "TypeError"},
		{"IdentityTransformStream, BYOB", `const {readable, writable} = new IdentityTransformStream(); const w = writable.getWriter(); w.write(enc('abc')); w.close(); const rd = readable.getReader({mode: 'byob'}); const a = await rd.read(new Uint8Array(2)); const b = await rd.read(new Uint8Array(2)); const c = await rd.read(new Uint8Array(2)); return dec(a.value) + dec(b.value) + c.done`, "abctrue"},
		{"FixedLengthStream", `const {readable, writable} = new FixedLengthStream(3); const w = writable.getWriter(); w.write(enc('abc')); w.close(); return (await all(readable)).map(dec).join()`, "abc"},
		{"FixedLengthStream, too much", `const {readable, writable} = new FixedLengthStream(1); const w = writable.getWriter(); w.closed.catch(() => {}); all(readable).catch(() => {}); return w.write(enc('abc')).catch(e => e.name)`, "TypeError"},
		{"FixedLengthStream, too little", `const {readable, writable} = new FixedLengthStream(5); const w = writable.getWriter(); w.closed.catch(() => {}); all(readable).catch(() => {}); await w.write(enc('abc')); return w.close().catch(e => e.name)`, "TypeError"},
		{"text there and back", `const e = new TextEncoderStream(); const w = e.writable.getWriter(); w.write('h\u00e9'); w.write('\ud83d'); w.write('\ude00'); w.close(); return (await all(e.readable.pipeThrough(new TextDecoderStream()))).join('')`, "hé😀"},
		{"decoder splits characters", `const d = new TextDecoderStream(); const w = d.writable.getWriter(); w.write(new Uint8Array([0xe2, 0x82])); w.write(new Uint8Array([0xac])); w.close(); return (await all(d.readable)).join('|') + d.encoding`, "€utf-8"},
		{"lone surrogate at the end", `const e = new TextEncoderStream(); const w = e.writable.getWriter(); w.write('\ud83d'); w.close(); return dec((await all(e.readable))[0])`, "\ufffd"},
	})
}
