package agentruntime

import (
	"context"
	"testing"
	"time"

	"github.com/dop251/goja"
)

// webRealm is a realm with a loop and an invocation, as code finds it.
type webRealm struct {
	*realm
	cancel context.CancelFunc
}

func newWebRealm(tb testing.TB, host Host) *webRealm {
	ctx, cancel := context.WithCancel(context.Background())
	r := newRealm(&loop{})
	limits := Limits{}.WithDefaults()
	r.at = &r.newInvocation(ctx, host, &limits, limits.Wall).home
	tb.Cleanup(func() {
		cancel()
		r.loop.close(nil)
	})
	return &webRealm{realm: r, cancel: cancel}
}

// on runs fn on the loop and waits for its end.
func (w *webRealm) on(fn func()) {
	done := make(chan struct{})
	w.deliver(w.at, func() {
		defer close(done)
		fn()
	})
	<-done
}

// run runs the body of an async function and returns what it returned, as a string, or what it threw.
func (w *webRealm) run(tb testing.TB, body string) string {
	tb.Helper()
	result := make(chan string, 1)
	w.on(func() {
		v, err := w.rt.RunString("(async function(){" + body + "\n})()")
		if err != nil {
			result <- "throws " + err.Error()
			return
		}
		w.inLoop(func() {
			w.upon(v, func(v goja.Value) { result <- v.String() }, func(v goja.Value) { result <- "throws " + v.String() })
		})
	})
	select {
	case s := <-result:
		return s
	case <-time.After(10 * time.Second):
		tb.Fatalf("no result of: %s", body)
		return ""
	}
}

// webCase is one line of a table: the body of an async function and what it returns as a string.
type webCase struct{ name, src, want string }

func runWebCases(t *testing.T, cases []webCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := newWebRealm(t, nil).run(t, c.src); got != c.want {
				t.Fatalf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestClasses(t *testing.T) {
	runWebCases(t, []webCase{
		{"instanceof", `return new Response("x") instanceof Response`, "true"},
		{"toStringTag", `return Object.prototype.toString.call(new Headers())`, "[object Headers]"},
		{"name and length", `return Headers.name + URL.length + new Response().text.name`, "Headers1text"},
		{"subclass", `class R extends Response { get hello(){ return 'h' + this.status } } const r = new R('a', {status: 201}); return [r.hello, r instanceof R, r instanceof Response, await r.text()]`, "h201,true,true,a"},
		{"super call", `class R extends Response { async text(){ return 'x' + await super.text() } } return new R('a').text()`, "xa"},
		{"override on the prototype", `Response.prototype.text = function(){ return 'mine' }; return new Response('a').text()`, "mine"},
		{"static of a subclass", `class R extends Response {} return (R.json({a:1})).json().then(v => v.a)`, "1"},
		{"read-only accessor", `'use strict'; try { new Response().status = 5; return 'set' } catch (e) { return e.name }`, "TypeError"},
		{"wrong receiver", `try { Object.getOwnPropertyDescriptor(Response.prototype, 'status') || Response.prototype.status; return 1 } catch (e) { return e.message }`, "Illegal invocation"},
		{"member in", `return ['clone' in Response.prototype, 'nothing' in Response.prototype, 'json' in Response]`, "true,false,true"},
		{"for in sees the members", `const k = []; for (const n in new Headers()) k.push(n); return k.includes('get') && k.includes('forEach')`, "true"},
		{"a member is made once", `return new Headers().get === new Headers().get`, "true"},
		{"inheritance", `return [new AbortController().signal instanceof EventTarget, new File([], 'a') instanceof Blob, new DOMException() instanceof Error, new CustomEvent('x') instanceof Event]`, "true,true,true,true"},
		{"illegal constructor", `try { new AbortSignal() } catch (e) { return e.message }`, "Illegal constructor"},
		{"old style inheritance", `function F(){ Headers.call(this, {a: 'b'}) } F.prototype = Object.create(Headers.prototype); return new F().get('a')`, "b"},
	})
}

func mustCompile(tb testing.TB, src string) *goja.Program {
	p, err := goja.Compile("test.js", src, true)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}
