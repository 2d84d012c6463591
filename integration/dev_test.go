package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDev writes an agent while caddy gatehouse dev runs it.
func TestDev(t *testing.T) {
	t.Parallel()
	const agent = `import { DurableObject } from "cloudflare:workers";
export class RoomCounter extends DurableObject {
	async add(): Promise<number> {
		const n = ((await this.ctx.storage.get<number>("n")) ?? 0) + 1;
		await this.ctx.storage.put("n", n);
		return n;
	}
}
export default {
	async fetch(request: Request, env: any): Promise<Response> {
		const path = new URL(request.url).pathname;
		if (path === "/boom") {
			const nothing: any = null;
			return nothing.anything;
		}
		console.log("asked for", path);
		return new Response(env.GREETING + " " + (await env.ROOM_COUNTER.getByName("a").add()));
	},
	scheduled(controller: any): void {
		console.log("due by", controller.cron, controller.scheduledTime, controller.noRetry());
	},
};
`
	s := newServer(t, map[string]string{"agent.ts": agent, ".dev.vars": "GREETING=\"hi {there}\"\n"})
	lines := s.follow("gatehouse", "dev", "./agent.ts", "--port", fmt.Sprint(s.port))
	mustContain(t, "the banner", until(t, lines, "Ctrl-C"), fmt.Sprintf("http://127.0.0.1:%d", s.port), "env has GREETING, ROOM_COUNTER")

	want(t, "an answer", s.get("/", 200), "hi {there} 1")
	mustContain(t, "the log", until(t, lines, "asked for /"), "GET / 200 in ", "actor add ROOM_COUNTER")
	mustContain(t, "an error", s.get("/boom", 500), "TypeError", "agent.ts:14:", "only caddy gatehouse dev")
	mustContain(t, "its log", until(t, lines, "agent.ts:14:"), "GET /boom 500 exception", "exception TypeError")

	t.Run("the scheduled handler", func(t *testing.T) {
		want(t, "outcome", s.get("/cdn-cgi/handler/scheduled?cron=*/5+*+*+*+*&time=1700000000000", 200), "ok\n")
		until(t, lines, "due by */5 * * * * 1700000000000")
		mustContain(t, "a bad expression", s.get("/cdn-cgi/handler/scheduled?cron=61+*+*+*+*", 400), "61 * * * *")
	})
	t.Run("a change", func(t *testing.T) {
		s.write("agent.ts", strings.Replace(agent, "env.GREETING +", `"changed " + env.GREETING +`, 1))
		until(t, lines, "built again")
		want(t, "the answer", s.get("/", 200), "changed hi {there} 2")
	})
	t.Run("a mistake", func(t *testing.T) {
		s.write("agent.ts", strings.Replace(agent, "const path =", "const path = =", 1))
		mustContain(t, "the log", until(t, lines, "waiting for a change"), "agent.ts:11:", "the version that ran before goes on")
		want(t, "the answer", s.get("/", 200), "changed hi {there} 3")
	})
	t.Run("another class", func(t *testing.T) {
		s.write("agent.ts", agent+"export class Door extends DurableObject {}\n")
		mustContain(t, "the log", until(t, lines, "the bindings have changed"), "env has DOOR, GREETING, ROOM_COUNTER")
		// A connection that waits while Caddy changes its listeners is reset.
		s.wait("the answer", func() bool {
			_, body, err := s.try("GET", "/", "")
			return err == nil && body == "hi {there} 4"
		})
	})
}

func TestDevBeginsWithAMistake(t *testing.T) {
	t.Parallel()
	s := newServer(t, map[string]string{"agent.ts": "export default { fetch( };\n"})
	lines := s.follow("gatehouse", "dev", "--port", fmt.Sprint(s.port))
	mustContain(t, "the log", until(t, lines, "waiting for a change"), "agent.ts:1:")
	s.write("agent.ts", fine)
	until(t, lines, "Ctrl-C")
	want(t, "the answer", s.get("/", 200), "fine")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"./nowhere.ts"}, "there is no file ./nowhere.ts"},
		{[]string{"./agent.ts", "--port", fmt.Sprint(s.port)}, "is in use; choose another one with --port"},
	} {
		_, errs, err := s.command("", append([]string{"gatehouse", "dev"}, c.args...)...)
		if err == nil || !strings.Contains(errs, c.want) {
			t.Errorf("%v: %v %s", c.args, err, errs)
		}
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	s := newServer(t, map[string]string{
		"Caddyfile": site("agent coordinator {\n\tmain ./src/coordinator.ts\n\tdurable ROOMS Room\n\tkv TOKENS tokens\n\tservice NEXT other\n}\nagent other {\n\tmain ./other.ts\n}\n", "agent coordinator"),
		"agent.ts":  "import { DurableObject } from \"cloudflare:workers\";\nexport class Room extends DurableObject {}\nexport default { fetch() {} };\n",
	})
	out, errs, err := s.command("", "gatehouse", "types", "coordinator")
	if err != nil {
		t.Fatal(err, errs)
	}
	mustContain(t, "the declarations", out, `ROOMS: DurableObjectNamespace<import("./src/coordinator").Room>;`, "TOKENS: KVNamespace;", `NEXT: Service<typeof import("./other").default>;`, "ORIGIN: Fetcher;")
	if _, errs, err = s.command("", "gatehouse", "types", "./agent.ts", "--out", "env.d.ts"); err != nil {
		t.Fatal(err, errs)
	}
	b, err := os.ReadFile(filepath.Join(s.dir, "env.d.ts"))
	if err != nil {
		t.Fatal(err)
	}
	mustContain(t, "the file", string(b), `ROOM: DurableObjectNamespace<import("./agent").Room>;`)
	_, errs, err = s.command("", "gatehouse", "types", "nobody")
	if err == nil || !strings.Contains(errs, "there are: coordinator, other") {
		t.Errorf("an agent that is not there: %v %s", err, errs)
	}
}
