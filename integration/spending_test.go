package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestEgressBudgets spends budgets of calls, bytes and money: exactly, with calls side by side, and over a restart.
func TestEgressBudgets(t *testing.T) {
	t.Parallel()
	out := newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, strings.Repeat("x", 100_000))
	})
	policy := func(name, host, budget string) string {
		return fmt.Sprintf("egress %s {\n\tallow %s:%d {\n\t\t%s\n\t}\n\tallow_ip 127.0.0.1 ::1\n}\nagent %[1]s {\n\tmain ./spender.ts\n\tegress %[1]s\n}\n", name, host, out.port(), budget)
	}
	s := startServer(t, map[string]string{
		"Caddyfile": site(policy("calls", "127.0.0.1", "budget 10/h")+policy("bytes", "127.0.0.1", "budget 300kB/h")+policy("money", "localhost", "budget 0.01usd/h\n\t\tprice 0.002usd"),
			"handle_path /calls/* {\n\tagent calls\n}\nhandle_path /bytes/* {\n\tagent bytes\n}\nhandle_path /money/* {\n\tagent money\n}"),
		"spender.ts": `export default { async fetch(request) {
			const q = new URL(request.url).searchParams;
			const one = async () => {
				try { return String((await (await fetch(q.get("to"), { method: "POST", body: "y".repeat(+q.get("send")) })).text()).length) } catch (e) { return e.code + " " + e.rule + " " + e.message }
			};
			return Response.json(await Promise.all(Array.from({ length: +q.get("n") }, one)));
		} }`,
	})
	spend := func(agent, host string, n, send int) (sums map[string]int, refusal string) {
		sums = map[string]int{}
		for _, text := range decode[[]string](t, s.get(fmt.Sprintf("/%s/?n=%d&send=%d&to=http://%s:%d/", agent, n, send, host, out.port()), 200)) {
			code, _, _ := strings.Cut(text, " ")
			if sums[code]++; code == "EGRESS_BUDGET" {
				refusal = text
			}
		}
		return sums, refusal
	}
	sums, refusal := spend("calls", "127.0.0.1", 40, 0)
	if sums["100000"] != 10 || sums["EGRESS_BUDGET"] != 30 || out.accepted.Load() > 10 {
		t.Errorf("of 40 calls side by side: %v, over %d connections", sums, out.accepted.Load())
	}
	mustContain(t, "the refusal", refusal, "EGRESS_BUDGET budget", "the budget of 10/h is spent; it is free again in", "policy calls")
	rec := s.waitFull("the record", func(r fullRecord) bool { return len(r.Calls) == 40 })
	refused := 0
	for _, c := range rec.Calls {
		if c.Decision == "refuse" && c.Rule == "budget" {
			refused++
		}
	}
	want(t, "refused in the record", refused, 30)

	// Three bodies of 100,000 bytes fill the budget; the fourth is refused or cut, and nothing begins after that.
	for i := range 2 {
		if sums, refusal := spend("bytes", "127.0.0.1", 1, 50_000); sums["100000"] != 1 && i == 0 {
			t.Errorf("call %d: %v %s", i, sums, refusal)
		}
	}
	sums, refusal = spend("bytes", "127.0.0.1", 1, 50_000)
	if sums["EGRESS_BUDGET"] != 1 {
		t.Errorf("when the bytes are spent: %v %s", sums, refusal)
	}

	sums, refusal = spend("money", "localhost", 8, 0)
	if sums["100000"] != 5 || sums["EGRESS_BUDGET"] != 3 {
		t.Errorf("of 8 calls of 0.002usd with 0.01usd: %v %s", sums, refusal)
	}
	s.stop()
	s.start()
	for agent, host := range map[string]string{"calls": "127.0.0.1", "money": "localhost"} {
		if sums, _ := spend(agent, host, 1, 0); sums["EGRESS_BUDGET"] != 1 {
			t.Errorf("%s after a restart: %v", agent, sums)
		}
	}
}
