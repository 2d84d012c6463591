package integration

import (
	"fmt"
	"strings"
	"testing"
)

// TestCodeThatIsRefused replaces an agent's code by what cannot serve, one after the other: each is refused with its place and
// the way out, and the version before answers on.
func TestCodeThatIsRefused(t *testing.T) {
	t.Parallel()
	const good = "export default { fetch() { return new Response(\"good\"); } };\n"
	s := startServer(t, map[string]string{
		"Caddyfile": site("agent a {\n main ./agent.ts\n limits {\n startup 200ms\n }\n }", "agent a"),
		"agent.ts":  good,
	})
	want(t, "the answer", s.get("/", 200), "good")
	for i, c := range []struct {
		name, code string
		says       []string
	}{
		{"a missing file", "\nimport { x } from \"./x\";\nexport default { fetch() { return x; } };\n", []string{`agent.ts:2:19: there is no file`, "Correct the path of the import, or create the file."}},
		{"a missing package", "import { Hono } from \"hono\";\nexport default new Hono();\n", []string{"agent.ts:1:", "npm install hono"}},
		{"a module of Node.js", "import n from \"node:nothing\";\nexport default { fetch() { return n; } };\n", []string{"agent.ts:1:", "Node.js has no module node:nothing"}},
		{"a syntax error", "export default {\n\tfetch() { return new Response(\"x\" },\n};\n", []string{"agent.ts:2:", `Expected`}},
		{"no handler", "export const fetch = 1;\n", []string{"neither a handler nor a class", "export default { fetch(request, env, ctx)"}},
		{"a handler of later", "export default { fetch() {}, queue() {} };\n", []string{"queue"}},
		{"an exception", "\n\nnull.x;\nexport default { fetch() {} };\n", []string{"agent.ts:3:", "Cannot read property"}},
		{"too long an evaluation", "for (;;) {}\nexport default { fetch() {} };\n", []string{"takes longer than 200ms", "do less at its top level"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(s.logged())
			s.write("agent.ts", fmt.Sprintf("%s// %d\n", c.code, i))
			var refusal string
			s.wait("the refusal in the log", func() bool {
				for line := range strings.Lines(s.logged()[before:]) {
					if strings.Contains(line, "new code refused; the version that ran before keeps running") {
						refusal = line
						return true
					}
				}
				return false
			})
			mustContain(t, "the refusal", strings.ReplaceAll(refusal, `\"`, `"`), c.says...)
			want(t, "the answer", s.get("/", 200), "good")
		})
	}
	before := len(s.logged())
	s.write("agent.ts", strings.Replace(good, "good", "mended", 1))
	s.wait("mended code", func() bool { return s.get("/", 200) == "mended" })
	// Code that is slow to evaluate serves, and the log says what makes it so.
	s.write("slow.ts", "let n = 0;\nfor (let i = 0; i < 1500000; i++) n += i;\nexport const x = n;\n")
	s.write("Caddyfile", site("agent a {\n main ./agent.ts\n limits {\n startup 20s\n }\n }", "agent a"))
	s.write("agent.ts", "import { x } from \"./slow\";\n"+strings.Replace(good, "\"good\"", "\"slow\" + (x > 0)", 1))
	if out, err := s.reload(); err != nil {
		t.Fatal(err, out)
	}
	s.wait("slow code", func() bool { return s.get("/", 200) == "slowtrue" })
	s.wait("the warning", func() bool {
		return strings.Contains(s.logged()[before:], "for each fresh runtime, most of it slow.ts (")
	})
}

// TestNestedCode replaces an agent's code by what is nested a million deep, in each form that makes a parser recurse, and by what
// the compiler would compute with for hours. Each is refused, while the version before and another agent answer on. So is a
// configuration that is loaded with it.
func TestNestedCode(t *testing.T) {
	t.Parallel()
	const deep = 1_000_000
	nested := []string{"deep.ts: the code is nested too deeply", "Nest brackets"}
	tooMuch := []string{"deep.ts:1:", "Maximum BigInt size exceeded"}
	forms := []struct {
		isolation, code string
		says            []string
	}{
		{"process", strings.Repeat("[", deep) + strings.Repeat("]", deep), nested},
		{"process", strings.Repeat("(", deep), nested},
		{"process", strings.Repeat("!", deep) + "0", nested},
		{"process", strings.Repeat("a?b:", deep) + "0", nested},
		{"process", strings.Repeat("()=>", deep) + "0", nested},
		{"process", "3n**100000000n", tooMuch},
		{"inprocess", strings.Repeat("()=>", deep) + "0", nested},
	}
	for isolation := range map[string]bool{"process": true, "inprocess": true} {
		s := startServer(t, map[string]string{
			"Caddyfile": site("agent a {\n main ./agent.ts\n isolation "+isolation+"\n }\nagent steady {\n main ./steady.ts\n}\n", "handle /steady {\n agent steady\n}\nagent a"),
			"agent.ts":  "import { x } from \"./deep\";\nexport default { fetch() { return new Response(\"old \" + x); } };\n",
			"deep.ts":   "export const x = 1;\n",
			"steady.ts": "export default { fetch() { return new Response(\"steady\"); } };\n",
		})
		var says []string
		for _, form := range forms {
			if form.isolation != isolation {
				continue
			}
			says = form.says
			before, refusal := len(s.logged()), ""
			s.write("deep.ts", "export const x = "+form.code+"\n")
			s.wait("the refusal of "+form.code[:8], func() bool {
				want(t, "another agent", s.get("/steady", 200), "steady")
				want(t, "the version before", s.get("/", 200), "old 1")
				for line := range strings.Lines(s.logged()[before:]) {
					if strings.Contains(line, "new code refused; the version that ran before keeps running") {
						refusal = line
					}
				}
				return refusal != ""
			})
			mustContain(t, "the refusal of "+form.code[:8], refusal, says...)
		}
		out, errs, err := s.command("", "reload", "--force", "--config", "Caddyfile", "--address", fmt.Sprintf("127.0.0.1:%d", s.admin))
		if out += errs; err == nil {
			t.Errorf("%s: a reload was not refused", isolation)
		}
		mustContain(t, "a reload", out, append(says, "agent a")...)
		want(t, "the version before", s.get("/", 200), "old 1")
		if peak := s.memory("VmHWM"); peak > 300<<20 {
			t.Errorf("the server had %d MiB", peak>>20)
		}
		s.write("deep.ts", "export const x = 2;\n")
		s.wait("mended code", func() bool { return s.get("/", 200) == "old 2" })
	}
}
