package agentruntime

import "testing"

func TestFormData(t *testing.T) {
	const multipart = `const form = (...parts) => new Response(parts.map(p => '--B\r\n' + p[0] + '\r\n\r\n' + p[1] + '\r\n').join('') + '--B--\r\n', {headers: {'content-type': 'multipart/form-data; boundary=B'}}).formData(); `
	runWebCases(t, []webCase{
		{"append, set, delete", `const f = new FormData(); f.append('a', 1); f.append('a', 2); f.append('b', 3); f.set('a', 9); f.delete('b'); return JSON.stringify([...f])`, `[["a","9"]]`},
		{"a blob becomes a file", `const f = new FormData(); f.append('a', new Blob(['x'], {type: 'text/x'})); const v = f.get('a'); return [v instanceof File, v.name, v.type, f.get('a') === v]`, "true,blob,text/x,true"},
		{"a name for the file", `const f = new FormData(); f.append('a', new File(['x'], 'old'), 'new'); return f.get('a').name`, "new"},
		{"a name needs a blob", `try { new FormData().append('a', 'b', 'c') } catch (e) { return e.name }`, "TypeError"},
		{"multipart", multipart + `const f = await form(['Content-Disposition: form-data; name="t"', 'v\u00e9'], ['Content-Disposition: form-data; name="f"; filename="a.bin"\r\nContent-Type: a/b', 'data']); const x = f.get('f'); return [f.get('t'), x.name, x.type, await x.text()]`, "vé,a.bin,a/b,data"},
		{"multipart without a name", multipart + `return form(['Content-Disposition: form-data', 'v']).catch(e => e.name)`, "TypeError"},
		{"multipart cut short", `return new Response('--B\r\nContent-Dis', {headers: {'content-type': 'multipart/form-data; boundary=B'}}).formData().catch(e => e.name)`, "TypeError"},
		{"no boundary", `return new Response('x', {headers: {'content-type': 'multipart/form-data'}}).formData().catch(e => e.name)`, "TypeError"},
		{"not a form", `return new Response('x').formData().catch(e => e.name)`, "TypeError"},
		{"names are escaped", `const f = new FormData(); f.append('a"\n', 'x'); const t = await new Response(f).text(); return /name="a%22%0D%0A"/.test(t)`, "true"},
		{"there and back", `const f = new FormData(); f.append('k', 'l1\nl2'); const g = await new Response(f).formData(); return JSON.stringify(g.get('k'))`, `"l1\r\nl2"`},
	})
}

func TestBlob(t *testing.T) {
	runWebCases(t, []webCase{
		{"parts", `return new Blob(['a', new Uint8Array([98]), new Blob(['c']), 1]).text()`, "abc1"},
		{"size and type", `const b = new Blob(['é'], {type: 'Text/Plain'}); return b.size + b.type`, "2text/plain"},
		{"slice", `const b = new Blob(['hello'], {type: 'a/b'}); return [await b.slice(1, 3).text(), await b.slice(-2).text(), b.slice(4, 1).size, b.slice(0, 1, 'c/d').type, b.slice().type]`, "el,lo,0,c/d,"},
		{"stream", `return new Response(new Blob(['xy']).stream()).text()`, "xy"},
		{"bytes and arrayBuffer", `const b = new Blob(['ab']); return (await b.bytes()).join() + (await b.arrayBuffer()).byteLength`, "97,982"},
		{"file", `const f = new File(['a'], 'n.txt', {lastModified: 5}); return [f.name, f.lastModified, f.size, f instanceof Blob]`, "n.txt,5,1,true"},
		{"file made now", `return Math.abs(new File([], 'a').lastModified - Date.now()) < 10000`, "true"},
		{"not a sequence", `try { new Blob('abc') } catch (e) { return e.name }`, "TypeError"},
	})
}
