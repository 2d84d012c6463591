package agentruntime

import (
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
