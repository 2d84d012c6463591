package agentruntime

import (
	"encoding/json"
	"fmt"
	"testing"
)

// urlPatternCheck tries one entry of urlpatterntestdata.json and returns what is wrong, as a string. What an entry leaves
// out is worked out as web-platform-tests do it: the data say nothing of it.
const urlPatternCheck = `(function(e) {
	const names = ['protocol', 'username', 'password', 'hostname', 'port', 'pathname', 'search', 'hash'];
	const earlier = { protocol: [], hostname: ['protocol'], port: ['protocol', 'hostname'], username: [], password: [], pathname: ['protocol', 'hostname', 'port'],
		search: ['protocol', 'hostname', 'port', 'pathname'], hash: ['protocol', 'hostname', 'port', 'pathname', 'search'] };
	let p;
	try { p = new URLPattern(...e.pattern) } catch (err) {
		return e.expected_obj === 'error' ? (err instanceof TypeError ? '' : 'throws ' + err) : 'throws ' + err;
	}
	if (e.expected_obj === 'error') return 'is made, should not be';
	const empty = e.exactly_empty_components || [], first = e.pattern[0], object = typeof first === 'object';
	const baseText = object && first && first.baseURL || e.pattern.length > 1 && typeof e.pattern[1] === 'string' && e.pattern[1];
	const base = baseText && new URL(baseText);
	for (const n of names) {
		let want = e.expected_obj && e.expected_obj[n];
		if (want === undefined) {
			if (empty.includes(n)) want = '';
			else if (object && first && first[n]) want = first[n];
			else if (object && first && earlier[n].some(k => k in first)) want = '*';
			else if (base && n !== 'username' && n !== 'password') want = n === 'protocol' ? base.protocol.slice(0, -1) : n === 'search' || n === 'hash' ? base[n].slice(1) : base[n];
			else want = '*';
		}
		if (p[n] !== want) return n + ' is ' + p[n] + ', not ' + want;
	}
	if (!('inputs' in e) && !('expected_match' in e)) return '';
	const inputs = e.inputs || [];
	if (e.expected_match === 'error') {
		for (const f of ['test', 'exec']) { try { p[f](...inputs); return f + ' does not throw' } catch (err) { if (!(err instanceof TypeError)) return 'throws ' + err } }
		return '';
	}
	if (p.test(...inputs) !== !!e.expected_match) return 'test is ' + !e.expected_match;
	const got = p.exec(...inputs);
	if (!e.expected_match || !got) return got === null && !e.expected_match ? '' : 'exec is ' + JSON.stringify(got);
	if (JSON.stringify(got.inputs) !== JSON.stringify(e.expected_match.inputs || inputs.map(i => i === undefined ? {} : i))) {
		const sorted = o => typeof o === 'object' ? JSON.stringify(Object.entries(o).sort()) : JSON.stringify(o);
		if (got.inputs.map(sorted).join() !== (e.expected_match.inputs || inputs).map(sorted).join()) return 'inputs are ' + JSON.stringify(got.inputs);
	}
	for (const n of names) {
		let want = e.expected_match[n];
		if (!want) { want = { input: '', groups: {} }; if (!empty.includes(n)) want.groups[0] = '' }
		if (got[n].input !== want.input) return n + ' has the input ' + got[n].input + ', not ' + want.input;
		const a = Object.keys(got[n].groups).sort(), b = Object.keys(want.groups).sort();
		if (a.join() !== b.join()) return n + ' has the groups ' + a + ', not ' + b;
		for (const k of a) if (got[n].groups[k] !== (want.groups[k] === null ? undefined : want.groups[k])) return n + ' has ' + k + ' as ' + got[n].groups[k] + ', not ' + want.groups[k];
	}
	return '';
})(c)`

func TestURLPatternData(t *testing.T) {
	var list []json.RawMessage
	whatwgData(t, "urlpatterntestdata.json", &list)
	r := newRealm(&loop{})
	// Three patterns need what the engine's regular expressions lack: the set operations of the flag v, and groups that are
	// undefined where an optional one matched nothing.
	lacking := map[string]bool{"/([[a-z]--a])": true, `/([\d&&[0-1]])`: true, "*{}**?": true}
	var n tally
	for i, raw := range list {
		var c struct{ Pattern []any }
		if raw[0] == '"' || json.Unmarshal(raw, &c) != nil {
			continue
		}
		if len(c.Pattern) > 0 {
			if first, ok := c.Pattern[0].(map[string]any); ok && lacking[fmt.Sprint(first["pathname"])] {
				continue
			}
		}
		text, err := r.parseJSON(string(raw))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.rt.Set("c", text)
		v, err := r.rt.RunString(urlPatternCheck)
		if err != nil {
			n.check(t, false, "%d %s: %v", i, raw, err)
			continue
		}
		n.check(t, v.String() == "", "%d %s: %s", i, raw, v)
	}
	t.Logf("urlpatterntestdata: %d passed, %d failed", n.passed, n.failed)
}

func TestURLPattern(t *testing.T) {
	runWebCases(t, []webCase{
		{"a router's", `const p = new URLPattern({pathname: '/books/:id(\\d+)/:rest*'}); const m = p.exec('https://a.example/books/42/x/y'); return [p.test('https://a.example/books/x'), m.pathname.groups.id, m.pathname.groups.rest, p.hasRegExpGroups]`, "false,42,x/y,true"},
		{"look-ahead, which only JavaScript has", `return new URLPattern({pathname: '/((?!admin).*)'}).test('https://a.example/admin') + '' + new URLPattern({pathname: '/((?!admin).*)'}).test('https://a.example/home')`, "falsetrue"},
		{"ignoreCase", `return new URLPattern('/A', 'https://a.example', {ignoreCase: true}).test('https://a.example/a')`, "true"},
		{"a group that did not take part", `return new URLPattern({pathname: '/a{/:b}?'}).exec({pathname: '/a'}).pathname.groups.b === undefined`, "true"},
		{"errors", `const f = (...a) => { try { new URLPattern(...a); return 'made' } catch (e) { return e.name } }; return [f('/a'), f('/a', 'nonsense'), f({pathname: '/('}), f({pathname: '/:a/:a'}), f({}, 'https://a.example'), f()]`, "TypeError,TypeError,TypeError,TypeError,TypeError,made"},
	})
}
