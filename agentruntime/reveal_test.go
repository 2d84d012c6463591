package agentruntime

import "testing"

// What is made at first touch must look as if it had been there all along to code that reflects on it.
func TestRevealedMembers(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"an untouched method is described", `typeof Object.getOwnPropertyDescriptor(URL.prototype, "toJSON").value`, "function"},
		{"an untouched accessor is described", `typeof Object.getOwnPropertyDescriptor(URL.prototype, "href").set`, "function"},
		{"a prototype lists its members", `Object.getOwnPropertyNames(AbortController.prototype).sort().join()`, "abort,constructor,signal"},
		{"a constructor lists its statics", `Reflect.ownKeys(AbortSignal).filter(k => typeof k === "string").sort().join()`, "abort,any,length,name,prototype,timeout"},
		{"the chain is plain then", `(Object.getOwnPropertyNames(URL.prototype), Object.getPrototypeOf(URL.prototype) === Object.prototype)`, "true"},
		{"an untouched global is described", `Object.getOwnPropertyDescriptor(globalThis, "Blob").enumerable`, "false"},
		{"a function among the globals can be listed", `Object.getOwnPropertyDescriptor(globalThis, "fetch").enumerable`, "true"},
		{"members work afterwards", `(Object.getOwnPropertyNames(URL.prototype), new URL("http://a/b").pathname)`, "/b"},
		{"a replaced member stays", `(URL.prototype.toJSON = 7, Object.getOwnPropertyDescriptor(URL.prototype, "toJSON").value)`, "7"},
		{"a subclass inherits", `(Object.getOwnPropertyNames(AbortSignal.prototype), typeof AbortSignal.abort().addEventListener)`, "function"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRealm(&loop{})
			r.revealMembers()
			v, err := r.rt.RunString(c.src)
			if err != nil {
				t.Fatal(err)
			}
			if v.String() != c.want {
				t.Fatalf("got %s, want %s", v, c.want)
			}
		})
	}
}

func TestConstructorsNeedNew(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"a plain call", `try { URL("http://a") } catch (e) { e.name }`, "TypeError"},
		{"new", `new URL("http://a").host`, "a"},
		{"new in a function of the same name", `(function URL() { return new globalThis.URL("http://b").host })()`, "b"},
		{"a subclass of the same name", `(globalThis.Sub = class Headers extends globalThis.Headers {}, [...new Sub([["a", "1"]])].join())`, "a,1"},
		{"Reflect.construct", `Reflect.construct(URL, ["http://c"]).host`, "c"},
		{"a callback of a native", `[1].map(() => new URL("http://d").host).join()`, "d"},
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

func TestReflects(t *testing.T) {
	for code, want := range map[string]bool{
		"var __getOwnPropNames = Object.getOwnPropertyNames; x": false,
		"Object.getOwnPropertyNames(x)":                         true,
		"Reflect.ownKeys(x)":                                    true,
		"new Response()":                                        false,
	} {
		if got := reflects(code); got != want {
			t.Errorf("%s: %t, want %t", code, got, want)
		}
	}
}
