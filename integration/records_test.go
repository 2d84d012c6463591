package integration

import (
	"fmt"
	"strings"
	"testing"
)

// TestRecordsOptions holds records to their options: redaction, tools' texts, sampling, and what is refused by name.
func TestRecordsOptions(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site("records {\n\tsample 0.001%\n\tredact [0-9]{16}\n\ttool_text\n}\nagent hello {\n\tmain ./hello.ts\n\tanalytics POINTS points\n}\n", "\tagent hello"),
		"hello.ts": `export default { async fetch(req: Request, env: any, ctx: any) {
	const url = new URL(req.url);
	env.POINTS.writeDataPoint({ indexes: ["a,\"b\""], blobs: [url.pathname], doubles: [1.5] });
	console.log("card 4111111111111111");
	await ctx.tool("pay", { card: "4111111111111111", for: "tea" }, () => "paid");
	if (url.pathname.startsWith("/fail")) throw new Error("no 4111111111111111");
	return new Response("ok");
} };`,
	})
	tail := s.tailing("--json", "--header", "x-debug: yes", "--kind", "fetch")
	s.wait("the tail", func() bool {
		s.do("GET", "/knock", "", "X-Debug", "yes please")
		return len(tail) > 0
	})
	for range 50 {
		s.get("/fine", 200)
	}
	s.do("GET", "/fail/4111111111111111", "")
	r := s.waitFull("what failed", func(r fullRecord) bool { return r.Outcome == "exception" })
	want(t, "its path", r.Path, "/fail/REDACTED")
	for line := range strings.Lines(s.logged()) {
		if strings.Contains(line, r.ID) && strings.Contains(line, `"msg":"fetch"`) {
			mustContain(t, "the record", line, "card REDACTED", `no REDACTED`, `"arguments":"{\"card\":\"REDACTED\",\"for\":\"tea\"}"`, `"result":"\"paid\""`)
			if strings.Contains(line, "4111") {
				t.Errorf("the record holds the number: %s", line)
			}
		}
	}
	if n := strings.Count(s.logged(), `"path":"/fine"`); n > 5 {
		t.Errorf("%d of 50 records are in a sample of 0.001 %%", n)
	}
	want(t, "all are counted", s.metric(`caddy_gatehouse_records_total{agent="hello",kind="fetch",outcome="exception"}`), 1)
	if n := s.metric(`caddy_gatehouse_records_total{agent="hello",kind="fetch",outcome="ok"}`); n < 51 {
		t.Errorf("%d are counted", n)
	}
	for len(tail) > 0 {
		mustContain(t, "what the tail shows", <-tail, `"path":"/knock"`)
	}

	admin := fmt.Sprintf("127.0.0.1:%d", s.admin)
	query := "SELECT index1, blob1, double1, count(*) AS n, NULL AS none FROM points WHERE blob1 = '/fine' GROUP BY 1, 2, 3"
	csv := s.must("", "gatehouse", "sql", "hello", query, "--csv", "--address", admin)
	want(t, "as CSV", csv, "index1,blob1,double1,n,none\n\"a,\"\"b\"\"\",/fine,1.5,50,\n")
	jsonl := s.must("", "gatehouse", "sql", "hello", query, "--jsonl", "--address", admin)
	want(t, "as JSON lines", jsonl, `{"index1":"a,\"b\"","blob1":"/fine","double1":1.5,"n":50,"none":null}`+"\n")
	many := s.must("", "gatehouse", "sql", "hello", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) SELECT i FROM n", "--csv", "--address", admin)
	want(t, "an export past the limit", strings.Count(many, "\n"), 20001)
	if _, errs, err := s.command("", "gatehouse", "sql", "hello", "SELECT * FROM nothere", "--csv", "--address", admin); err == nil || !strings.Contains(errs, "datasets of this agent: points") {
		t.Errorf("a dataset that is not there: %v %s", err, errs)
	}
	if _, errs, err := s.command("", "gatehouse", "tail", "--sample", "half", "--address", admin); err == nil || !strings.Contains(errs, "write it like 10%") {
		t.Errorf("a sample that is none: %v %s", err, errs)
	}
}
