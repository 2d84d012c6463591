package agentruntime

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestRequest(t *testing.T) {
	runWebCases(t, []webCase{
		{"defaults", `const q = new Request('https://a.example/x y'); return [q.method, q.url, q.redirect, q.body, q.signal instanceof AbortSignal, q.cf].join('|')`, "GET|https://a.example/x%20y|follow||true|"},
		{"method in capitals", `return ['get','Post','patch','puT'].map(m => new Request('http://a', {method: m}).method).join()`, "GET,POST,patch,PUT"},
		{"forbidden method", `try { new Request('http://a', {method: 'TRACE'}) } catch (e) { return e.name }`, "TypeError"},
		{"no body with GET", `try { new Request('http://a', {body: 'x'}) } catch (e) { return e.message }`, "Request with a GET or HEAD method cannot have a body."},
		{"body", `return new Request('http://a', {method: 'POST', body: 'x'}).text()`, "x"},
		{"relative", `try { new Request('/a') } catch (e) { return e.message }`, "Invalid URL: /a"},
		{"credentials", `try { new Request('http://u:p@a') } catch (e) { return e.name }`, "TypeError"},
		{"URL object", `return new Request(new URL('http://a/b')).url`, "http://a/b"},
		{"of a request", `const a = new Request('http://a', {method: 'POST', body: 'x', headers: {h: '1'}}); const b = new Request(a); return [await b.text(), b.method, b.headers.get('h'), a.bodyUsed]`, "x,POST,1,true"},
		{"of a request with changes", `const a = new Request('http://a', {headers: {h: '1'}}); const b = new Request(a, {method: 'PUT', headers: {i: '2'}, body: 'y'}); return [await b.text(), b.method, b.headers.get('h'), b.headers.get('i')]`, "y,PUT,,2"},
		{"a changed address", `const a = new Request('http://a/x', {method: 'POST', body: 'x'}); const b = new Request('http://b/', a); return [b.url, b.method, await b.text()]`, "http://b/,POST,x"},
		{"of a used request", `const a = new Request('http://a', {method: 'POST', body: 'x'}); await a.text(); try { new Request(a) } catch (e) { return e.name }`, "TypeError"},
		{"clone", `const a = new Request('http://a', {method: 'POST', body: 'x'}); const b = a.clone(); return await a.text() + await b.text()`, "xx"},
		{"cf of init", `return new Request('http://a', {cf: {cacheTtl: 5}}).cf.cacheTtl`, "5"},
		{"redirect mode", `try { new Request('http://a', {redirect: 'no'}) } catch (e) { return e.name }`, "TypeError"},
		{"urlencoded form", `const q = new Request('http://a', {method: 'POST', body: new URLSearchParams('a=1&a=2&b=x+y')}); const f = await q.formData(); return f.getAll('a').join() + f.get('b')`, "1,2x y"},
		{"signal", `const c = new AbortController(); const q = new Request('http://a', {signal: c.signal}); c.abort('why'); return q.signal.aborted + q.signal.reason`, "truewhy"},
	})
}

func TestIncomingRequest(t *testing.T) {
	for _, c := range []webCase{
		{"text", `return [req.method, req.url, await req.text(), req.bodyUsed]`, "POST,https://a.example/p?q=1,{\"a\": [1]},true"},
		{"json", `return (await req.json()).a[0]`, "1"},
		{"headers", `return req.headers.get('x-one') + [...req.headers].join(';')`, "1, 2content-type,application/json;x-one,1, 2"},
		{"immutable headers", `try { req.headers.set('a', 'b') } catch (e) { return e.name + e.message }`, "TypeErrorCan't modify immutable headers."},
		{"cf", `return req.cf.country`, "NL"},
		{"copy can be changed", `const q = new Request(req, {headers: {...Object.fromEntries(req.headers), y: 'z'}}); return q.headers.get('x-one') + q.headers.get('y') + await q.text()`, `1, 2z{"a": [1]}`},
		{"copy of the headers", `const q = new Request(req); q.headers.append('x-one', '3'); return req.headers.get('x-one') + '|' + q.headers.get('x-one')`, "1, 2|1, 2, 3"},
		{"clone", `const c = req.clone(); return [await c.text(), await req.text()].join()`, `{"a": [1]},{"a": [1]}`},
		{"by chunks", `let n = 0; for (const rd = req.body.getReader();;) { const {done, value} = await rd.read(); if (done) return n; n += value.byteLength }`, "10"},
		{"BYOB", `const rd = req.body.getReader({mode: 'byob'}); const {value} = await rd.read(new Uint8Array(4)); return new TextDecoder().decode(value)`, `{"a"`},
		{"BYOB to the end", `const rd = req.body.getReader({mode: 'byob'}); let b = new ArrayBuffer(6), s = ''; for (;;) { const {done, value} = await rd.read(new Uint8Array(b)); if (done) return s + value.byteLength; s += new TextDecoder().decode(value); b = value.buffer }`, `{"a": [1]}0`},
		{"locked", `req.body.getReader(); try { await req.text() } catch (e) { return e.name }`, "TypeError"},
		{"spread", `return Object.keys({...req}).length`, "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWebRealm(t, nil)
			w.on(func() {
				_ = w.rt.Set("req", w.requestValue(&Request{
					Method: "POST", URL: "https://a.example/p?q=1", CF: []byte(`{"country":"NL"}`), ContentLength: 10,
					Header: http.Header{"X-One": {"1", "2"}, "Content-Type": {"application/json"}},
					Body:   io.NopCloser(strings.NewReader(`{"a": [1]}`)),
				}))
			})
			if got := w.run(t, c.src); got != c.want {
				t.Fatalf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	runWebCases(t, []webCase{
		{"append combines", `const h = new Headers(); h.append('A', '1'); h.append('a', '2'); return h.get('a')`, "1, 2"},
		{"iteration is sorted", `return [...new Headers([['b', '1'], ['A', '2'], ['c', '3']])].join(';')`, "a,2;b,1;c,3"},
		{"cookies stay apart", `const h = new Headers(); h.append('set-cookie', 'a=1'); h.append('Set-Cookie', 'b=2'); return h.getSetCookie().length + [...h.keys()].join() + h.get('set-cookie')`, "2set-cookie,set-cookiea=1, b=2"},
		{"values are trimmed", `return new Headers({a: '  x y\t'}).get('a') + '|'`, "x y|"},
		{"invalid name", `try { new Headers({'a b': '1'}) } catch (e) { return e.name }`, "TypeError"},
		{"invalid value", `try { new Headers({a: 'x\ny'}) } catch (e) { return e.name }`, "TypeError"},
		{"value past Latin 1", `try { new Headers({a: '€'}) } catch (e) { return e.name }`, "TypeError"},
		{"Latin 1", `return new Headers({a: 'é'}).get('a')`, "é"},
		{"missing", `return new Headers().get('a') === null`, "true"},
		{"delete and has", `const h = new Headers({a: '1'}); h.delete('A'); return h.has('a')`, "false"},
		{"bad pair", `try { new Headers([['a']]) } catch (e) { return e.name }`, "TypeError"},
		{"null init", `try { new Headers(null) } catch (e) { return e.name }`, "TypeError"},
		{"forEach", `let s = ''; new Headers({b: '1', a: '2'}).forEach((v, k, h) => s += k + v + (h instanceof Headers)); return s`, "a2trueb1true"},
		{"of Headers", `return new Headers(new Headers({a: 'b'})).get('a')`, "b"},
		{"Object.fromEntries", `return JSON.stringify(Object.fromEntries(new Headers({a: 'b', c: 'd'})))`, `{"a":"b","c":"d"}`},
		{"iterator", `const it = new Headers({a: 'b'})[Symbol.iterator](); return it.next().value + it.next().done + (it[Symbol.iterator]() === it)`, "a,btruetrue"},
	})
}
