package agentruntime

import (
	"strings"
	"testing"
)

func TestMessageChannel(t *testing.T) {
	runStreamCases(t, []webCase{
		{"onmessage", `const {port1, port2} = new MessageChannel(); const got = new Promise(d => port2.onmessage = d); port1.postMessage({a: [1, new Date(0)]}); const e = await got; return [e instanceof MessageEvent, e.data.a[1].getTime(), e.isTrusted, e.target === port2, e.ports.length]`, "true,0,true,true,0"},
		{"a listener alone does not start a port", `const {port1, port2} = new MessageChannel(); const got = []; port2.addEventListener('message', e => got.push(e.data)); port1.postMessage(1); port1.postMessage(2); await scheduler.wait(1); const before = got.length; port2.start(); await scheduler.wait(1); return before + ':' + got`, "0:1,2"},
		{"the value is cloned when it is posted", `const {port1, port2} = new MessageChannel(); const o = {n: 1}; const got = new Promise(d => port2.onmessage = e => d(e.data)); port1.postMessage(o); o.n = 2; return (await got).n`, "1"},
		{"transfer", `const {port1, port2} = new MessageChannel(); const b = new Uint8Array([5]).buffer; const got = new Promise(d => port2.onmessage = e => d(e.data)); port1.postMessage(b, [b]); return [b.byteLength, new Uint8Array(await got)[0]]`, "0,5"},
		{"what cannot be cloned", `try { new MessageChannel().port1.postMessage(() => 1) } catch (e) { return e.name }`, "DataCloneError"},
		{"a port cannot be transferred", `const c = new MessageChannel(); try { c.port1.postMessage(1, {transfer: [c.port2]}) } catch (e) { return e.name }`, "DataCloneError"},
		{"close", `const {port1, port2} = new MessageChannel(); const got = []; port2.onmessage = e => got.push(e.data); const closed = new Promise(d => port2.onclose = d); port1.postMessage(1); port1.close(); port1.postMessage(2); await closed; return got`, "1"},
		{"illegal constructor", `try { new MessagePort() } catch (e) { return e.name }`, "TypeError"},
		{"PromiseRejectionEvent", `const p = Promise.resolve(); const e = new PromiseRejectionEvent('unhandledrejection', {promise: p, reason: 7}); return [e.promise === p, e.reason, e instanceof Event]`, "true,7,true"},
	})
}

func TestReporting(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"reportError", `reportError(new RangeError("told"));`, "RangeError: told, ok"},
		{"marks", `performance.mark("a", {startTime: 5, detail: {x: 1}}); const m = performance.measure("m", "a", "a"); performance.measure("n", {start: 1, duration: 2}); console.log(m.duration, m instanceof PerformanceEntry, performance.getEntries().map(e => e.name + e.startTime).join(), performance.getEntriesByType("mark")[0].detail.x, performance.getEntriesByName("n")[0].duration); performance.clearMarks(); try { performance.measure("q", "a") } catch (e) { console.log(e.name, performance.getEntries().length) }`, "log: 0 true n1,a5,m5 1 2|log: SyntaxError 2, ok"},
		{"navigator", `console.log(navigator.languages[0], navigator.hardwareConcurrency, navigator instanceof Navigator)`, "log: en 1 true, ok"},
		{"sendBeacon", `console.log(navigator.sendBeacon("https://b.example/", "x")); try { navigator.sendBeacon("nowhere") } catch (e) { console.log(e.name) }`, "log: true|log: TypeError, ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t, "export default { async fetch() { "+c.code+"; return new Response() } }", Config{})
			host := &testHost{fetch: echo}
			_, _, err, report := answer(t, a.Fetch(t.Context(), host, get("/")))
			if err != nil {
				t.Fatal(err)
			}
			lines := host.logs()
			for _, e := range host.exceptions() {
				lines = append(lines, e.Name+": "+e.Message)
			}
			if got := strings.Join(lines, "|") + ", " + string(report.Outcome); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
