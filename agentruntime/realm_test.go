package agentruntime

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dop251/goja"
)

func init() {
	globals["__probe"] = func(r *realm) goja.Value { return r.rt.ToValue(42) }
}

func TestLazyGlobals(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"first touch makes it", "__probe", "42"},
		{"it becomes an own property", "__probe; Object.hasOwn(globalThis,'__probe')", "true"},
		{"typeof an unknown name", "typeof nothere", "undefined"},
		{"typeof a known name", "typeof __probe", "number"},
		{"in finds it untouched", "'__probe' in globalThis", "true"},
		{"object methods are still in reach", "globalThis.hasOwnProperty('Array')", "true"},
		{"assignment hides it", "globalThis.__probe = 1; __probe", "1"},
		{"var hides it", "var __probe = 7; __probe", "7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := newRealm(&loop{}).rt.RunString(c.src)
			if err != nil {
				t.Fatal(err)
			}
			if v.String() != c.want {
				t.Fatalf("got %s, want %s", v, c.want)
			}
		})
	}
}

func BenchmarkNewRealm(b *testing.B) {
	for b.Loop() {
		newRealm(&loop{})
	}
}

// A source map named by code that code makes must not be read: it is a file of the host.
func TestEvalReadsNoSourceMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map.json")
	if err := os.WriteFile(path, []byte(`{"version":3,"sources":["stolen.ts"],"names":[],"mappings":"AAAA"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, src string }{
		{"eval", "eval(\"null.x\\n//# sourceMappingURL=file://" + path + "\")"},
		{"new Function", "new Function(\"null.x\\n//# sourceMappingURL=file://" + path + "\")()"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newRealm(&loop{}).rt.RunString(c.src)
			var ex *goja.Exception
			if !errors.As(err, &ex) {
				t.Fatalf("got %v, want an exception", err)
			}
			if strings.Contains(ex.String(), "stolen") {
				t.Fatalf("the source map was read: %s", ex)
			}
		})
	}
}
