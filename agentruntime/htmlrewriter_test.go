package agentruntime

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestHTMLRewriter(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"links", `return new HTMLRewriter().on("a[href]", { element(e) { e.setAttribute("href", e.getAttribute("href").replace("http:", "https:")) } })
			.transform(new Response("<a href='http://x/'>x</a><a>y</a>"))`, `<a href="https://x/">x</a><a>y</a>`},
		{"an async handler", `return new HTMLRewriter().on("p", { async element(e) { const r = await env.ORIGIN.fetch("http://x/"); e.setInnerContent(await r.text()) } })
			.transform(new Response("<p>a</p>b"))`, `<p>&lt;from the origin&gt;</p>b`},
		{"a class of handlers, which chains", `class H { constructor() { this.n = 0 } element(e) { this.n++ } text(t) { if (t.lastInTextNode) t.after("[" + this.n + "]") } }
			return new HTMLRewriter().on("i", new H()).on("b", { element: e => e.before("<u>", { html: true }).after("!").removeAndKeepContent() }).transform(new Response("<i>x</i><b>y</b><i>z</i>"))`,
			`<i>x[1]</i><u>y!<i>z[2]</i>`},
		{"attributes, an end tag, comments and the document", `const out = []; const res = new HTMLRewriter()
			.on("p", { element(e) { out.push([...e.attributes].map(a => a.join("=")).join()); e.tagName = "q"; e.onEndTag(async t => { await null; t.before(t.name) }) } })
			.onDocument({ doctype(d) { out.push(d.name, d.publicId) }, comments(c) { c.text = c.text.trim() }, end(e) { e.append("<!-- end -->", { html: true }) } })
			.transform(new Response("<!doctype html><p a=1 b><!-- c --></p>")); return new Response(await res.text() + out.join("|"))`,
			`<!doctype html><q a=1 b><!--c-->p</q><!-- end -->html||a=1,b=`},
		{"content of a stream and of a response", `return new HTMLRewriter().on("p", { element(e) {
				e.append(new Response("<b>").body, { html: true }); e.prepend(new Response("<i>"), { html: false }) } }).transform(new Response("<p>x</p>"))`, `<p>&lt;i&gt;x<b></p>`},
		{"a stream as body", `const { readable, writable } = new TransformStream(); const w = writable.getWriter(); const enc = new TextEncoder();
			ctx.waitUntil((async () => { for (const s of ["<", "p>", "a", "</p>"]) await w.write(enc.encode(s)); await w.close() })());
			return new HTMLRewriter().on("p", { element(e) { e.append("!") } }).transform(new Response(readable))`, `<p>a!</p>`},
		{"the header", `const res = new HTMLRewriter().transform(new Response("x", { status: 201, headers: { "Content-Length": "1", "X-A": "b" } }));
			return new Response([res.status, res.headers.get("Content-Length"), res.headers.get("X-A"), await res.text()].join())`, `201,,b,x`},
		{"no body", `const res = new HTMLRewriter().transform(new Response(null)); return new Response(String(res.body))`, "null"},
		{"an element kept too long", `let kept; await new HTMLRewriter().on("p", { element(e) { kept = e } }).transform(new Response("<p>")).text();
			try { kept.remove() } catch (e) { return new Response(e.message) }`, "This content token is no longer valid. Content tokens are only valid during the execution of the relevant content handler."},
		{"a selector that is not supported", `try { new HTMLRewriter().on("p + p", {}) } catch (e) { return new Response(e.name + ": " + e.message) }`,
			`TypeError: selector "p + p": the combinator '+' is not supported: it can't be decided while the document streams by`},
		{"a handler that throws", `try { await new HTMLRewriter().on("p", { element() { throw new RangeError("mine") } }).transform(new Response("<p>")).text() }
			catch (e) { return new Response(e.name + ": " + e.message) }`, "RangeError: mine"},
		{"an answer that nobody reads", `new HTMLRewriter().on("p", { element() {} }).transform(new Response("<p>")); return new Response("done")`, "done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t, `export default { async fetch(req, env, ctx) { `+c.src+` } }`, Config{})
			body, _, err, rep := answer(t, a.Fetch(t.Context(), originHost("<from the origin>"), get("/")))
			if err != nil || body != c.want || rep.Outcome != OutcomeOK {
				t.Errorf("%q, %v, %s; want %q", body, err, rep.Outcome, c.want)
			}
		})
	}
}

func TestHTMLRewriterFailsInTheAnswer(t *testing.T) {
	a := newAgent(t, `export default { fetch() { return new HTMLRewriter().on("b", { element() { throw new Error("mine") } }).transform(new Response("<a>x</a><b>")) } }`, Config{})
	host := &testHost{}
	body, _, err, rep := answer(t, a.Fetch(t.Context(), host, get("/")))
	if err == nil || !strings.Contains(err.Error(), "mine") || body != "<a>x</a>" || rep.Outcome != OutcomeException {
		t.Errorf("%q, %v, %s", body, err, rep.Outcome)
	}
	if seen := host.exceptions(); len(seen) != 1 || seen[0].Message != "mine" {
		t.Errorf("wrote down %+v", seen)
	}
}

func originHost(text string) *testHost {
	return &testHost{fetch: func(context.Context, Target, *Request) (*Response, error) {
		return &Response{Status: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text))}, nil
	}}
}
