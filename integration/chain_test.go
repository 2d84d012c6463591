package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/record/chain"
)

const circleAgents = `agent a {
	main ./a.ts
	service NEXT b
}
agent b {
	main ./b.ts
	service NEXT c
	durable MEMORY Memory
}
agent c {
	main ./c.ts
	service NEXT a
}
`

// pass is an agent that hands a request on, or calls on, and gives back what came.
const pass = `import { WorkerEntrypoint } from "cloudflare:workers";
export default class extends WorkerEntrypoint {
	async fetch(req: Request) {
		const url = new URL(req.url);
		if (url.pathname === "/call") {
			try { return new Response(await this.env.NEXT.go()) } catch (e: any) { return new Response(e.message) }
		}
		return this.env.NEXT.fetch(req);
	}
	go() { return this.env.NEXT.go() }
}`

// TestCircle has an agent call itself through two others: the first repetition is refused with 508 and the circle in the message.
func TestCircle(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site(circleAgents, "\tagent a"),
		"a.ts":      pass,
		"b.ts": `import { DurableObject } from "cloudflare:workers";
export class Memory extends DurableObject {
	back(): any { return (this.env as any).MEMORY.getByName("m").back() }
	fetch(req: Request): any { return (this.env as any).MEMORY.getByName("m").fetch(req) }
}
` + strings.Replace(pass, "return this.env.NEXT.fetch(req);", `if (url.pathname === "/actor") return this.env.MEMORY.getByName("m").fetch(req);
		return this.env.NEXT.fetch(req);`, 1),
		"c.ts": pass,
	})
	resp, body := s.do("GET", "/", "")
	want(t, "the status", resp.StatusCode, 508)
	mustContain(t, "the answer", body, "in a circle: a -> b -> c -> a", "#chain")
	mustContain(t, "by a call", s.get("/call", 200), "in a circle: a -> b -> c -> a")
	resp, body = s.do("GET", "/actor", "")
	want(t, "the actor's status", resp.StatusCode, 508)
	mustContain(t, "an actor that calls itself", body, "in a circle: b actor ")
	r := s.waitFull("c's record", func(r fullRecord) bool { return r.Agent == "c" && len(r.Calls) == 1 })
	want(t, "c's call", r.Calls[0].Decision+" "+r.Calls[0].Rule, "refuse chain")
	want(t, "c's chain", chain.Path(r.Chain), "a -> b")
	if runs := strings.Count(s.logged(), `"msg":"fetch"`); runs > 12 {
		t.Errorf("%d records: the circle has gone on", runs)
	}

	s.write("Caddyfile", site("chain {\n\tdepth 1\n}\n"+circleAgents, "\tagent a"))
	s.must("", "reload", "--config", "Caddyfile", "--address", fmt.Sprintf("127.0.0.1:%d", s.admin))
	_, body = s.do("GET", "/", "")
	mustContain(t, "past the depth", body, "more than 1 deep: a -> b -> c")
}

// TestChainAcrossServers has agents of two servers call each other. The chain goes with the request, to peers alone; one that is forged, cut,
// old or for somebody else is refused, and so is a circle.
func TestChainAcrossServers(t *testing.T) {
	t.Parallel()
	const shared = "a key of thirty-two bytes, shared"
	var seen []string
	stranger := newOutside(t, func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, strings.Join(r.Header.Values(chain.Header), "|"))
	})
	one, two := newServer(t, nil), newServer(t, nil)
	to := func(s *server) string { return fmt.Sprintf("127.0.0.1:%d", s.port) }
	global := func(name, agent string, next *server, calls string) string {
		return fmt.Sprintf("chain {\n\tname %s\n\tkey shared\n\tpeers %s\n}\negress next {\n\tallow %s %s\n\tallow_ip 127.0.0.1/32\n}\nagent %s {\n\tmain ./agent.ts\n\tegress next\n\tvar NEXT %s\n\tvar STRANGER %s\n}\n",
			name, to(next), to(next), stranger.host(), agent, calls, stranger.URL)
	}
	code := `export default { async fetch(req: Request, env: any) {
	const url = new URL(req.url);
	if (url.pathname === "/end") return new Response("the end");
	if (url.pathname === "/stranger") return fetch(env.STRANGER, { headers: { "Gatehouse-Chain": "mine" } });
	return fetch(env.NEXT + (url.searchParams.get("to") ?? url.pathname), { headers: { "Gatehouse-Chain": "forged by code" } });
} }`
	for s, c := range map[*server][2]string{one: {"one", "a"}, two: {"two", "b"}} {
		other := one
		if s == one {
			other = two
		}
		s.write("agent.ts", code)
		s.write("Caddyfile", site(global(c[0], c[1], other, "http://"+to(other)), "\tagent "+c[1]))
		s.must(shared, "gatehouse", "secret", "put", "shared", "--config", "Caddyfile")
		s.start()
	}
	want(t, "the answer", one.get("/?to=/end", 200), "the end")
	r := two.waitFull("b's record", ofPath("/end"))
	want(t, "b's chain", fmt.Sprint(r.Chain), "[{a   GET one}]")
	first := one.waitFull("a's record", ofPath("/"))
	want(t, "one trace", r.TraceID, first.ID)

	resp, body := one.do("GET", "/round", "")
	want(t, "the status of a circle", resp.StatusCode, 508)
	refused := one.waitFull("the refusal", func(r fullRecord) bool { return r.RefusedBy == "chain" })
	want(t, "the refusal's status", refused.Status, 508)
	mustContain(t, "the circle's answer", body, "#chain")
	one.wait("the log's word on the circle", func() bool { return strings.Contains(one.logged(), "in a circle: a -> b at two -> a") })

	one.get("/stranger", 200)
	want(t, "what a stranger gets of the chain", strings.Join(seen, ","), "")

	sign, err := chain.NewSigner("one", []byte(shared))
	if err != nil {
		t.Fatal(err)
	}
	forger, _ := chain.NewSigner("one", []byte(strings.Repeat("x", 32)))
	hops := []record.Hop{{Agent: "a"}, {Agent: "z"}}
	good, _ := sign.Sign(hops, to(two), time.Now())
	forged, _ := forger.Sign(hops, to(two), time.Now())
	elsewhere, _ := sign.Sign(hops, to(one), time.Now())
	old, _ := sign.Sign(hops, to(two), time.Now().Add(-time.Hour))
	for name, c := range map[string]struct {
		value  string
		status int
	}{
		"good": {good, 200}, "forged": {forged, 403}, "cut": {good[:len(good)-4], 403}, "for another server": {elsewhere, 403}, "old": {old, 403}, "nonsense": {"a -> b", 403},
	} {
		if resp, body := two.do("GET", "/end", "", chain.Header, c.value); resp.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d: %s", name, resp.StatusCode, c.status, body)
		}
	}
}
