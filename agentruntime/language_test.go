package agentruntime

import (
	"slices"
	"strings"
	"testing"
)

// TestLanguage runs each piece of the language that the engine lacks or takes wrongly, in an agent of its own.
func TestLanguage(t *testing.T) {
	for _, c := range []struct{ name, js, want string }{
		{"Object.groupBy", `const g = Object.groupBy([1, 2, 3], (x, i) => x % 2 ? "odd" + (i > 5) : "even"); return JSON.stringify(g) + Object.getPrototypeOf(g)`, `{"oddfalse":[1,3],"even":[2]}null`},
		{"Map.groupBy", `const k = {}; return Map.groupBy([1, 2, 3], (x) => x > 1 ? k : 0).get(k).join()`, "2,3"},
		{"Promise.withResolvers", `const { promise, resolve } = Promise.withResolvers<number>(); resolve(3); return String(await promise)`, "3"},
		{"of a subclass", `class P<T> extends Promise<T> {} return String(P.withResolvers().promise instanceof P)`, "true"},
		{"Promise.try", `return await Promise.try((x) => { throw new Error(x) }, "no").catch((e) => e.message) + await Promise.try(() => 1)`, "no1"},
		{"Array.fromAsync", `async function* g() { yield 1; yield 2 } return JSON.stringify([await Array.fromAsync(g()), await Array.fromAsync([Promise.resolve(1), 2], (x) => x * 2), await Array.fromAsync({ length: 1, 0: "a" })])`, `[[1,2],[2,4],["a"]]`},
		{"isWellFormed", `return ["ab\u{1F600}", "\uD800", "a\uDC00\uD800"].map((s) => s.isWellFormed() + s.toWellFormed()).join()`, "trueab\U0001F600,false\uFFFD,falsea\uFFFD\uFFFD"},
		{"RegExp.escape", `return RegExp.escape("a.b-c\n/é \u2028") + new RegExp(RegExp.escape("(1+1)")).test("(1+1)")`, "\\x61\\.b\\x2dc\\n\\/é\\x20\\u2028true"},
		{"getters of old", `const o: any = {}; o.__defineGetter__("a", () => 1); o.__defineSetter__("a", () => {}); return o.a + typeof o.__lookupGetter__("a") + typeof o.__lookupSetter__("a") + o.__lookupGetter__("b")`, "1functionfunctionundefined"},
		{"dates of old", `const d = new Date(0); d.setYear(99); return d.getYear() + d.toGMTString()`, "99Fri, 01 Jan 1999 00:00:00 GMT"},
		{"transfer", `const a = new Uint8Array([1, 2]).buffer, b = a.transfer(4); return [a.detached, a.byteLength, b.detached, new Uint8Array(b).join(), b.transferToFixedLength(1).byteLength, b.resizable, b.maxByteLength].join()`, "true,0,false,1,2,0,0,1,false,0"},
		{"WeakRef", `const o = {}; return String(new WeakRef(o).deref() === o) + Object.prototype.toString.call(new WeakRef(o))`, "true[object WeakRef]"},
		{"FinalizationRegistry", `const f = new FinalizationRegistry(() => {}), t = {}; f.register({}, 1, t); return String(f.unregister(t)) + f.unregister(t)`, "truefalse"},
		{"symbols", `const { asyncIterator, dispose } = Symbol; return [asyncIterator, dispose, Symbol["asyncDispose"]].map((s) => typeof s + (s === Symbol.for(s.description))).join()`, "symboltrue,symboltrue,symboltrue"},
		{"using", `const l = []; { using a = { [Symbol.dispose]() { l.push("a") } }, b = { [Symbol.dispose]() { l.push("b") } }; l.push("in") } return l.join()`, "in,b,a"},
		{"await using", `const l = []; { await using a = { async [Symbol.asyncDispose]() { await null; l.push("a") } } } return l.join()`, "a"},
		{"DisposableStack", `const l = []; { using s = new DisposableStack(); s.defer(() => l.push("d")); s.adopt(1, (x) => l.push(x)); s.use({ [Symbol.dispose]() { l.push("u") } }) } return l.join()`, "u,1,d"},
		{"errors while disposing", `const s = new DisposableStack(); s.defer(() => { throw 1 }); s.defer(() => { throw 2 }); try { s.dispose() } catch (e: any) { return [e.name, e.error, e.suppressed, e instanceof SuppressedError, s.disposed].join() }`, "SuppressedError,1,2,true,true"},
		{"AsyncDisposableStack", `const l = []; const s = new AsyncDisposableStack(); s.defer(async () => { await null; l.push(1) }); s.use({ [Symbol.dispose]() { l.push(2) } }); await s.disposeAsync(); return l.join()`, "2,1"},
		{"Set methods", `const a = new Set([1, 2]), b = new Set([2, 3]); return [...a.union(b)].join() + [...a.intersection(b)] + [...a.difference(b)] + [...a.symmetricDifference(b)] + a.isSubsetOf(b) + a.isDisjointFrom(new Set())`, "1,2,3211,3falsetrue"},
		{"arrays", `return [3, 1, 2].toSorted().toSpliced(0, 1).toReversed().with(0, 9).concat([5].at(-1), [1, 2].findLast((x) => x < 2), Object.hasOwn({ a: 1 }, "a")).join()`, "9,2,5,1,true"},
		{"base64 of bytes", `return new Uint8Array([1, 255]).toBase64() + new Uint8Array([1, 255]).toHex() + Uint8Array.fromBase64("Af8=").join()`, "Af8=01ff1,255"},
		{"errors", `const e = new AggregateError([new Error("a")], "m", { cause: 7 }); return e.errors.length + e.message + e.cause + Error.isError(e)`, "1m7true"},
		{"class fields named as keywords", `class A { get = 1; set = 2; async = 3; static = 4; static get = 5; static async = 6; get; set; async *x() {} get y() { return 7 } } const a: any = new A(); return [a.get, a.set, a.async, a.static, A.get, A.async, a.y].join()`, ",,3,4,5,6,7"},
		{"members that only made code names", `const n = "group", v = "values"; return (0, eval)("Object." + n + "By([1], () => 'a').a + '' + [1]." + v + "().map(x => x * 2).next().value") + new Function("return Promise." + "try" + "(() => 1) instanceof Promise")()`, "12true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := said(t, "async function run(): Promise<string> { "+c.js+" }\nexport default { async fetch() { return new Response(await run()) } }"); got != c.want {
				t.Fatalf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestIteratorHelpers(t *testing.T) {
	const watched = `const log = []; const it = { n: 0, next() { return { value: ++this.n, done: this.n > 4 } }, return() { log.push("closed"); return {} }, __proto__: Iterator.prototype }; `
	for _, c := range []struct{ name, js, want string }{
		{"map and toArray", `return new Set([1, 2]).values().map((x, i) => x * 10 + i).toArray().join()`, "10,21"},
		{"filter", `return [..."abc"][Symbol.iterator]().filter((x) => x !== "b").toArray().join("")`, "ac"},
		{"take and drop", `function* n() { let i = 0; for (;;) yield i++ } return n().drop(2).take(3).toArray().join()`, "2,3,4"},
		{"flatMap", `return [1, 2].values().flatMap((x) => [x, x]).toArray().join()`, "1,1,2,2"},
		{"reduce", `return [1, 2, 3].values().reduce((a, b) => a + b) + [1].values().reduce((a, b) => a + b, 10)`, "17"},
		{"some, every, find", `return [1, 2].values().some((x) => x > 1) + "" + [1, 2].values().every((x) => x > 1) + [1, 2].values().find((x) => x > 1)`, "truefalse2"},
		{"forEach", `let s = ""; new Map([[1, 2]]).entries().forEach(([k, v], i) => { s += k + v + i }); return s`, "3"},
		{"of a generator in a class", `class A { *g() { yield 1; yield 2 } } return new A().g().map((x) => x + 1).toArray().join()`, "2,3"},
		{"of matchAll", `return "a1b2".matchAll(/\d/g).map((m) => m[0]).toArray().join()`, "1,2"},
		{"Iterator.from", `let n = 0; return Iterator.from({ next: () => ({ value: n, done: n++ > 1 }) }).toArray().join() + Iterator.from([5]).toArray()`, "0,15"},
		{"instanceof", `return String([].values() instanceof Iterator) + (function* () {}() instanceof Iterator) + typeof Iterator.prototype.map`, "truetruefunction"},
		{"a class that extends Iterator", `class A extends Iterator { n = 0; next() { return { value: this.n, done: this.n++ > 1 } } } return new A().map((x) => x * 2).toArray().join()`, "0,2"},
		{"find closes", watched + `it.find((x) => x === 2); return log.join()`, "closed"},
		{"take closes", watched + `it.take(1).toArray(); return log.join()`, "closed"},
		{"a callback that throws closes", watched + `try { it.map(() => { throw new Error("x") }).next() } catch {} return log.join()`, "closed"},
		{"leaving a loop closes", watched + `for (const x of it.map((x) => x)) break; return log.join()`, "closed"},
		{"the end does not close", watched + `it.map((x) => x).toArray(); return log.join() + "none"`, "none"},
		{"laziness", watched + `it.map((x) => { log.push(x); return x }).take(2).toArray(); return log.join()`, "1,2,closed"},
		{"a bad argument", `try { [].values().take(-1) } catch (e) { return e.name }`, "RangeError"},
		{"an array's own", `return [1, 2].map((x) => x + 1).filter((x) => x > 2).join()`, "3"},
		{"in", `return String("map" in [].values()) + ("nope" in [].values()) + Object.keys([].values()).length`, "truefalse0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := said(t, "function run(): string { "+c.js+" }\nexport default { fetch() { return new Response(run()) } }"); got != c.want {
				t.Fatalf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestSupplies holds that a bundle gets what it names and no more.
func TestSupplies(t *testing.T) {
	names := func(code string) (out []string) {
		for _, s := range suppliesFor(code) {
			out = append(out, s.text)
		}
		return out
	}
	for _, c := range []struct {
		code string
		want []string
	}{
		{`export default { fetch() { return new Response("hello") } }`, nil},
		{`try { JSON.parse("") } catch {}`, nil},
		{`[1].map(x => x)`, nil},
		{`for (const x of m.values().map(f));`, []string{""}},
		{`Object.groupBy(a, b)`, []string{"groupBy", "groupBy"}},
	} {
		if got := names(c.code); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.code, got, c.want)
		}
	}
	if got := names(strings.Repeat("retrieval(interval(x)); ", 3)); got != nil {
		t.Errorf("words that hold eval: got %q", got)
	}
}
