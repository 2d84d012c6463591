package agentruntime

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

// TestSlowStart holds that the warning names the module that costs, not the one that asks for it.
func TestSlowStart(t *testing.T) {
	const spin = `let n = 0; for (let i = 0; i < 400000; i++) n += i;`
	common := map[string]string{
		"node_modules/heavy/package.json": `{"name":"heavy","main":"i.js"}`, "node_modules/heavy/i.js": `const l = require("./lib/l"); exports.f = () => l.n;`,
		"node_modules/heavy/lib/l.js": spin + ` exports.n = n;`,
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // a pattern
	}{
		{"a file", map[string]string{"agent.ts": `import { x } from "./slow"; export default { fetch() { return new Response(String(x)) } }`, "slow.ts": spin + ` export const x = n;`}, `most of it slow\.ts \(`},
		{"the agent itself", map[string]string{"agent.ts": spin + ` export default { fetch() {} }`}, `most of it agent\.ts \(`},
		{"a package of CommonJS", map[string]string{"agent.ts": `import { f } from "heavy"; export default { fetch() { return f() } }`}, `most of it npm package heavy \(`},
		{"a module that is asked for", map[string]string{"agent.ts": `const m = require("./late"); export default { fetch() { return m } }`, "late.ts": spin + ` export const x = n;`}, `most of it late\.ts \(`},
		{"nothing", map[string]string{"agent.ts": `export default { fetch() {} }`}, `^$`},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, text := range common {
				c.files[name] = text
			}
			s, err := Build(t.Context(), BuildOptions{Main: "agent.ts", Dir: testkit.Folder(t, c.files)})
			if err != nil {
				t.Fatal(err)
			}
			a, err := New(Config{Name: "test", Script: s, Limits: Limits{Startup: time.Minute}})
			if err != nil {
				t.Fatal(err)
			}
			if c.want != "^$" {
				a.startup = max(a.startup, 2*slowStart) // on a fast machine too
			}
			if got := a.SlowStart(); !regexp.MustCompile(c.want).MatchString(got) || strings.Contains(got, "gatehouse:") {
				t.Fatalf("got %q, want %s", got, c.want)
			}
		})
	}
}
