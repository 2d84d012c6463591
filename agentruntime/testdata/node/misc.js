import querystring from "node:querystring";
import { StringDecoder } from "node:string_decoder";
import url, { fileURLToPath, pathToFileURL, domainToASCII, domainToUnicode, urlToHttpOptions } from "node:url";
import diagnostics, { channel, tracingChannel } from "node:diagnostics_channel";
import { AsyncLocalStorage } from "node:async_hooks";
import timers from "node:timers";
import { setTimeout as wait, setInterval as every, setImmediate as soon, scheduler } from "node:timers/promises";
import { promisify } from "node:util";
import punycode from "node:punycode";
import process, { nextTick } from "node:process";
import module, { createRequire } from "node:module";
import os from "node:os";

const decode = (encoding, ...parts) => { const d = new StringDecoder(encoding); const out = parts.map((p) => d.write(Buffer.from(p, "hex"))); return [...out, d.end()]; };
const legacy = (u, q, s) => ({ ...url.parse(u, q, s) });

export const cases = {
	"qs parse": () => ["a=b&c=d", "a=1&a=2&a=3", "a", "a=", "=b", "&&a=b&", "a=b=c", "a+b=c+d", "a=%E2%82%AC", "a=%zz", "a=%FF", "%61=1", ""].map((s) => ({ ...querystring.parse(s) })),
	"qs parse otherwise": () => [{ ...querystring.parse("a:b;c:d", ";", ":") }, { ...querystring.parse("a=1&b=2&c=3", null, null, { maxKeys: 2 }) }, { ...querystring.parse("a=x", "&", "=", { decodeURIComponent: (s) => s + "!" }) }],
	"qs stringify": () => [{ a: "b", c: ["d", "e"] }, { a: "é €", "b c": "!'()*~" }, { n: 1.5, t: true, u: undefined, o: {}, nan: NaN, x: null, big: 5n, e: [] }, "str", null].map((o) => querystring.stringify(o)),
	"qs stringify otherwise": () => querystring.stringify({ a: ["b", "c"], d: "e" }, ";", ":"),
	"qs escape": () => [querystring.escape("a b&c=é/"), querystring.unescape("a%20b%zz"), querystring.encode === querystring.stringify],
	"qs escape lone": () => querystring.escape("\ud800"),
	"decoder utf8": () => [decode("utf8", "e2", "82", "ac"), decode("utf8", "e282", "61"), decode("utf8", "f09d849e", "f0"), decode("utf8", "61ff", "c3"), decode("utf8", "eda0", "80"), decode(undefined, "c3", "a9")],
	"decoder utf16": () => [decode("utf16le", "61", "00"), decode("utf16le", "34d8", "1edd"), decode("ucs2", "6100", "34d8")],
	"decoder base64": () => [decode("base64", "61", "6263", "64"), decode("base64url", "fb", "ff")],
	"decoder others": () => [decode("hex", "61", "62"), decode("latin1", "e9"), decode("ascii", "e1")],
	"decoder unknown": () => new StringDecoder("nope"),
	"decoder text": () => [new StringDecoder().write("já"), new StringDecoder("utf8").encoding, new StringDecoder("binary").encoding, new StringDecoder("UCS2").encoding],
	"fileURLToPath": () => ["file:///a/b", "file:///a%20b", new URL("file:///x/%E2%82%AC")].map((u) => fileURLToPath(u)),
	"fileURLToPath of http": () => fileURLToPath("http://a/b"),
	"fileURLToPath of a host": () => fileURLToPath("file://host/b"),
	"fileURLToPath of a slash": () => fileURLToPath("file:///a%2fb"),
	"fileURLToPath of a number": () => fileURLToPath(5),
	"pathToFileURL": () => ["/a/b c", "/a#b?c%d", "/a/", "/é\\x"].map((p) => pathToFileURL(p).href),
	"domains": () => [domainToASCII("español.com"), domainToASCII("xn--iñvalid.com"), domainToUnicode("xn--espaol-zwa.com")],
	"urlToHttpOptions": () => ({ ...urlToHttpOptions(new URL("https://u:p%20@[::1]:8080/a?b#c")) }),
	"url parse": () => ["http://user:pass@Example.com:8080/p/a/t/h?query=string#hash", "mailto:a@b.c", "/a/b?c=d#e", "javascript:alert(1)", "//host/path", "http://a.com", "http://a.com?x=1", "file:///etc/x", "x:y", "HTTP://[::1]:80/", "http://a.com:/b", "", "a b", "http://a/b c\"<>"].map((u) => legacy(u)),
	"url parse query": () => { const u = url.parse("http://a/?b=c&d=e", true); return [{ ...u.query }, url.parse("/a", true).search, { ...url.parse("/a", true).query }]; },
	"url parse slashes": () => legacy("//host/path", false, true),
	"url parse of a number": () => url.parse(5),
	"url format": () => [{ protocol: "http", host: "a.com", pathname: "/b" }, { protocol: "http:", hostname: "a", port: 8, search: "x=1", hash: "h" }, { pathname: "/a?b#c", query: { d: "e f" } }, { protocol: "mailto", pathname: "a@b" }, { slashes: true, host: "h" }, { auth: "u:p", host: "h", protocol: "https" }, {}, { hostname: "::1", protocol: "http" }, { protocol: "file", pathname: "/x" }].map((o) => url.format(o)),
	"url format URL": () => [url.format(new URL("https://u:p@測試.com/a?b#c"), { auth: false, fragment: false, search: false, unicode: true }), url.format("http://a.com/b?c")],
	"url resolve": () => [["/one/two/three", "four"], ["http://example.com/", "/one"], ["http://example.com/one", "/two"], ["http://a.com/b/c", "../d"], ["a/b", "c"], ["http://a.com/b", "//c.com/d"], ["http://a.com/b", "mailto:x@y"], ["http://a.com/b?c", "#d"], ["/a/b/", "."]].map(([a, b]) => url.resolve(a, b)),
	"channel": () => { const c = channel("t1"), got = []; const f = (m, n) => got.push([m, n]); c.publish(0); c.subscribe(f); c.publish({ a: 1 }); const had = c.hasSubscribers; return [had, c.unsubscribe(f), c.unsubscribe(f), c.hasSubscribers, got, channel("t1") === c, diagnostics.hasSubscribers("t1")]; },
	"channel stores": () => { const c = channel("t2"), als = new AsyncLocalStorage(); c.bindStore(als, (m) => m.v * 2); return c.runStores({ v: 4 }, function(x) { return [als.getStore(), this.t, x]; }, { t: 1 }, 5); },
	"tracing sync": () => { const t = tracingChannel("t3"), got = []; t.subscribe({ start: (m) => got.push(["start", m.x]), end: (m) => got.push(["end", m.result]), error: (m) => got.push(["error", m.error.message]) }); t.traceSync(() => 5, { x: 1 }); try { t.traceSync(() => { throw new Error("e"); }, {}); } catch {} return got; },
	"tracing promise": async () => { const t = tracingChannel("t4"), got = []; t.subscribe({ start: () => got.push("start"), end: () => got.push("end"), asyncStart: () => got.push("asyncStart"), asyncEnd: (m) => got.push(["asyncEnd", m.result]) }); await t.tracePromise(async () => 7, {}); return got; },
	"timers": async () => { const got = []; await new Promise((r) => { const t = timers.setTimeout((a) => { got.push(a); r(); }, 1, "x"); got.push(typeof t.ref, t.hasRef(), t.unref() === t, t.hasRef(), t.ref().hasRef()); }); return got; },
	"timers clear": async () => { let n = 0; const t = timers.setTimeout(() => n++, 1); timers.clearTimeout(t); const i = timers.setInterval(() => n++, 1); timers.clearInterval(i); const m = timers.setImmediate(() => n++); timers.clearImmediate(m); await wait(5); return n; },
	"timers refresh": async () => { let n = 0; const t = timers.setTimeout(() => n++, 1); t.refresh(); await wait(10); return n; },
	"timers of no function": () => timers.setTimeout(5),
	"timers promises": async () => [await wait(1, "a"), await soon("b"), await scheduler.wait(1), await promisify(timers.setTimeout)(1, "c")],
	"timers aborted": async () => wait(1000, null, { signal: AbortSignal.abort() }),
	"timers abort": async () => { const c = new AbortController(); timers.setTimeout(() => c.abort(), 1); return wait(10000, null, { signal: c.signal }); },
	"timers interval": async () => { const it = every(1, "v"), got = []; for (let i = 0; i < 3; i++) got.push((await it.next()).value); await it.return(); return got; },
	"punycode": () => [punycode.encode("mañana"), punycode.decode("maana-pta"), punycode.toASCII("mañana.com"), punycode.toUnicode("xn--maana-pta.com"), punycode.ucs2.decode("𝌆"), punycode.ucs2.encode([0x1d306]), punycode.encode("☃-⌘"), punycode.toASCII("user@例え.jp")],
	"process": () => [typeof process.version, process.platform, typeof process.pid, process.argv.length > 0, typeof process.hrtime()[0], typeof process.hrtime.bigint(), typeof process.uptime(), typeof process.versions.node, Object.prototype.toString.call(process), process === globalThis.process, typeof process.env, process.exitCode],
	"process env": () => { process.env.TEST_A = 5; const got = [process.env.TEST_A, "TEST_A" in process.env, process.env.NOT_THERE, delete process.env.TEST_A, "TEST_A" in process.env]; return got; },
	"process emits": () => { const got = []; const f = (v) => got.push(v); process.on("gatehouse", f); process.emit("gatehouse", 1); process.off("gatehouse", f); return [got, process.listenerCount("gatehouse")]; },
	"nextTick": async () => { const got = []; await new Promise((r) => { nextTick((a, b) => { got.push(a + b); r(); }, 1, 2); got.push("sync"); }); return got; },
	"nextTick of no function": () => nextTick(5),
	"emitWarning": async () => { const p = new Promise((r) => process.once("warning", (w) => r([w.name, w.message, w.code]))); process.emitWarning("careful", { type: "Custom", code: "C1" }); return p; },
	"module": () => [module.isBuiltin("fs"), module.isBuiltin("node:path"), module.isBuiltin("nope"), module.builtinModules.includes("crypto"), typeof createRequire("/a/b.js")],
	"createRequire": () => createRequire("/a/b.js")("node:path").join("a", "b"),
	"createRequire of what is not there": () => createRequire("/a/b.js")("./nothing"),
	"getBuiltinModule": () => [process.getBuiltinModule("node:path")?.sep, process.getBuiltinModule("nope") === undefined],
	"os": () => [os.EOL, os.platform(), os.type(), os.endianness(), os.tmpdir()],
};
