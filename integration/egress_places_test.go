package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

const placesAgent = `import { DurableObject, WorkerEntrypoint, WorkflowEntrypoint } from "cloudflare:workers";
import { connect } from "cloudflare:sockets";
const forbidden = "FORBIDDEN", url = "http://" + forbidden;
// attempts tries every API that sends, and gives the codes of what they reject with.
async function attempts() {
	const codes = [];
	const tried = async (f) => { try { await f(); codes.push("sent"); } catch (e) { codes.push(e.code ?? e.name + ": " + e.message); } };
	await tried(() => fetch(url));
	await tried(() => fetch(new Request(url, { method: "POST", body: "text" })));
	await tried(() => fetch(url, { headers: { Upgrade: "websocket" } }));
	await tried(async () => { const s = connect(forbidden); s.closed.catch(() => {}); await s.opened; });
	await tried(() => new Promise((done, failed) => { const ws = new WebSocket("ws://" + forbidden); ws.addEventListener("open", done); ws.addEventListener("error", () => failed({ code: "EGRESS_DENIED" })); }));
	await tried(() => Promise.any([new Promise((_, failed) => queueMicrotask(() => fetch(url).catch(failed)))]).catch((e) => { throw e.errors[0]; }));
	return [...new Set(codes)].join();
}
export class Room extends DurableObject {
	async fetch() {
		const [client, server] = Object.values(new WebSocketPair());
		this.ctx.acceptWebSocket(server);
		return new Response(null, { status: 101, webSocket: client });
	}
	async webSocketMessage(ws) { ws.send(await attempts()); }
	async alarm() { await this.ctx.storage.put("alarm", await attempts()); }
	async method() { return attempts(); }
	async arm() { await this.ctx.storage.setAlarm(Date.now()); }
	async result(name) { return (await this.ctx.storage.get(name)) ?? ""; }
	async keep(name, text) { await this.ctx.storage.put(name, text); }
}
export class Flow extends WorkflowEntrypoint {
	async run(_, step) { return step.do("send", attempts); }
}
export class Entry extends WorkerEntrypoint { method() { return attempts(); } }
export default {
	async fetch(request, env, ctx) {
		const room = env.ROOM.getByName("room");
		switch (new URL(request.url).pathname) {
		case "/request": return new Response(await attempts());
		case "/stream": return new Response(new ReadableStream({ async pull(c) { c.enqueue(new TextEncoder().encode(await attempts())); c.close(); } }));
		case "/actor": return new Response(await room.method());
		case "/socket": return room.fetch(request);
		case "/service": return new Response(await env.SELF.method());
		case "/background": ctx.waitUntil(attempts().then((text) => room.keep("background", text))); return new Response();
		case "/alarm": await room.arm(); return new Response();
		case "/workflow": await env.FLOW.create({ id: "one" }); return new Response();
		case "/steps": { const s = await (await env.FLOW.get("one")).status(); return new Response(s.status === "complete" ? s.output : ""); }
		}
		return new Response(await room.result(new URL(request.url).searchParams.get("of")));
	},
	async tail(_, env) { await env.ROOM.getByName("room").keep("tail", await attempts()); },
};`

// TestEveryWayFromEveryPlace tries every API that sends from every place in which code runs.
func TestEveryWayFromEveryPlace(t *testing.T) {
	twins(t, func(t *testing.T, isolation string) {
		forbidden := newOutside(t, nil)
		s := startServer(t, map[string]string{
			"Caddyfile": site(fmt.Sprintf(`egress out {
	allow api.example.com
	allow_ip 127.0.0.1
}
agent places {
	main ./places.js
	durable ROOM Room
	workflow FLOW Flow
	service SELF places Entry
	tail places
	egress out
	isolation %s
}`, isolation), "agent places"),
			"places.js": strings.Replace(placesAgent, "FORBIDDEN", forbidden.host(), 1),
		})
		const denied = "EGRESS_DENIED"
		for _, place := range []string{"request", "stream", "actor", "service"} {
			want(t, place, s.get("/"+place, 200), denied)
		}
		conn, _ := s.dial("/socket")
		want(t, "a socket's handler", say(t, conn, "try"), denied)
		if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Log(err)
		}
		for _, place := range []string{"background", "alarm"} {
			s.get("/"+place, 200)
			s.wait(place, func() bool { return s.get("/?of="+place, 200) != "" })
			want(t, place, s.get("/?of="+place, 200), denied)
		}
		s.get("/workflow", 200)
		s.wait("the workflow", func() bool { return s.get("/steps", 200) != "" })
		want(t, "a step", s.get("/steps", 200), denied)
		s.wait("the tail handler", func() bool { return s.get("/?of=tail", 200) != "" })
		want(t, "the tail handler", s.get("/?of=tail", 200), denied)
		want(t, "connections that were made", forbidden.accepted.Load(), 0)
	})
}
