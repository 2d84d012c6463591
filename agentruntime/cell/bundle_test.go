package cell

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

// TestBundle bundles in a process of its own what agentruntime.MakeBundle bundles in this one, with the same result.
func TestBundle(t *testing.T) {
	dir := testkit.Folder(t, map[string]string{
		"package.json": `{}`, "src/agent.ts": `import { x } from "../lib/x"; import p from "p"; import t from "./t.txt"; export const y = { a: 1, a: x + p + t }`,
		"lib/x.ts": `export const x: number = 1`, "src/t.txt": "text",
		"node_modules/p/package.json": `{"name":"p","main":"i.js"}`, "node_modules/p/i.js": `module.exports = 2`,
	})
	var warned [2][]string
	o := agentruntime.BuildOptions{Main: "src/agent.ts", Dir: dir}
	o.Log = func(w string) { warned[0] = append(warned[0], w) }
	want, err := agentruntime.MakeBundle(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	o.Log = func(w string) { warned[1] = append(warned[1], w) }
	got, err := MakeBundle(t.Context(), o, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Code != want.Code || string(got.Map) != string(want.Map) || got.Version() != want.Version() {
		t.Errorf("version %s, want %s; code\n%s\nwant\n%s", got.Version(), want.Version(), got.Code, want.Code)
	}
	if !slices.Equal(got.Inputs(), want.Inputs()) {
		t.Errorf("made from %q, want %q", got.Inputs(), want.Inputs())
	}
	if len(warned[0]) != 1 || !slices.Equal(warned[0], warned[1]) {
		t.Errorf("warned %q, want %q", warned[1], warned[0])
	}
}

// TestBundleNested bundles source that is nested too deeply for any stack. It is refused by name, and this process lives.
func TestBundleNested(t *testing.T) {
	const deep = 1_000_000
	for name, source := range map[string]string{
		"brackets":   "export default " + strings.Repeat("[", deep),
		"matched":    "export default " + strings.Repeat("[", deep) + strings.Repeat("]", deep),
		"operators":  "export default " + strings.Repeat("!", deep) + "0",
		"conditions": "export default " + strings.Repeat("a?b:", deep) + "0",
		"functions":  "export default " + strings.Repeat("()=>", deep) + "0",
	} {
		t.Run(name, func(t *testing.T) {
			dir := testkit.Folder(t, map[string]string{"agent.ts": `import x from "./lib/deep"; import "./well"; export default { x }`, "well.ts": "export const y = 1", "lib/deep.ts": source})
			_, err := MakeBundle(t.Context(), agentruntime.BuildOptions{Main: "agent.ts", Dir: dir}, nil, nil)
			var refused *agentruntime.BuildError
			if !errors.As(err, &refused) {
				t.Fatalf("got %v, want a *BuildError", err)
			}
			if text := err.Error(); !strings.HasPrefix(text, "lib/deep.ts: ") || !strings.Contains(text, "nested") && !strings.Contains(text, "memory") {
				t.Errorf("refused with: %s", text)
			} else {
				t.Log(text)
			}
			for _, file := range []string{"agent.ts", "lib/deep.ts"} {
				if !slices.Contains(refused.Inputs, filepath.Join(dir, file)) {
					t.Errorf("%s is not among the inputs %q", file, refused.Inputs)
				}
			}
		})
	}
}

// TestBundleOutside imports files that are none of the agent's, by path and by link.
func TestBundleOutside(t *testing.T) {
	outside := testkit.Folder(t, map[string]string{"keyring.json": `{"key":"secret"}`})
	dir := testkit.Folder(t, map[string]string{"package.json": "{}", "src/agent.ts": ""})
	if err := os.Symlink(outside, filepath.Join(dir, "src", "link")); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"path": filepath.Join(outside, "keyring.json"), "link": "./link/keyring.json", "device": "/dev/zero"} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, "src", "agent.ts"), []byte(`import k from "`+path+`"; export default k`), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := MakeBundle(t.Context(), agentruntime.BuildOptions{Main: "src/agent.ts", Dir: dir}, nil, nil)
			var refused *agentruntime.BuildError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), "outside of the agent's project") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestBundleCanceled ends with its caller.
func TestBundleCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := testkit.Folder(t, map[string]string{"agent.ts": ""})
	if _, err := MakeBundle(ctx, agentruntime.BuildOptions{Main: "agent.ts", Dir: dir}, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
