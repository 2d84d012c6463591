package agentruntime

import (
	"regexp"
	"strings"
	"testing"

	"github.com/dop251/goja"
)

// jsonPair is a realm with both parsers: the engine's and that of this package.
type jsonPair struct {
	r        *realm
	builtin  goja.Callable
	json     *goja.Object
	describe goja.Callable
}

func newJSONPair(tb testing.TB) *jsonPair {
	r := newRealm(&loop{})
	obj := r.rt.Get("JSON").(*goja.Object)
	parse, _ := goja.AssertFunction(obj.Get("parse"))
	// What a value is, down to the order of its members and the sign of zero.
	v, err := r.rt.RunString(`(function d(v){
		if (Array.isArray(v)) return '[' + v.map(d).join() + ']';
		if (v && typeof v === 'object') return '{' + Object.getOwnPropertyNames(v).map(k => JSON.stringify(k) + ':' + d(v[k])).join() + '}';
		return Object.is(v, -0) ? '-0' : typeof v + JSON.stringify(v) })`)
	if err != nil {
		tb.Fatal(err)
	}
	describe, _ := goja.AssertFunction(v)
	return &jsonPair{r, parse, obj, describe}
}

func (p *jsonPair) compare(tb testing.TB, text string) {
	tb.Helper()
	want, wantErr := p.builtin(p.json, p.r.rt.ToValue(text))
	got, gotErr := p.r.parseJSON(text)
	if wantErr != nil && strings.Contains(wantErr.Error(), "cannot unmarshal number") {
		return // the engine refuses numbers past the largest, which are Infinity
	}
	if (wantErr != nil) != (gotErr != nil) {
		tb.Fatalf("%q: engine %v, here %v", text, wantErr, gotErr)
	}
	if wantErr != nil {
		if !strings.HasPrefix(gotErr.Error(), "SyntaxError: ") {
			tb.Fatalf("%q: not a SyntaxError: %v", text, gotErr)
		}
		return
	}
	w, err := p.describe(goja.Undefined(), want)
	if err != nil {
		tb.Fatal(err)
	}
	g, err := p.describe(goja.Undefined(), got)
	if err != nil {
		tb.Fatal(err)
	}
	if !w.SameAs(g) {
		tb.Fatalf("%q: engine %s, here %s", text, w, g)
	}
}

var jsonSeeds = []string{
	`{}`, `[]`, `null`, `true`, `false`, `"a"`, `0`, `-0`, `1`, `-1.5e+10`, `1e400`, `123456789012345678901234567890`, `[1,2,[3,{"a":[]}]]`,
	`{"a":1,"a":2}`, `{"__proto__":1,"b":{"__proto__":null}}`, `{"1":1,"0":2,"a":3}`, `"\u00e9\n\"\\\/\b\f\r\t"`, `"\ud83d\ude00"`, `"é😀"`, `{"é":"\u00e9"}`,
	` { "a" : [ 1 , 2 ] } `, `{"a":}`, `[1,]`, `{,}`, `{"a" 1}`, `01`, `1.`, `.5`, `+1`, `-`, `1e`, `"a`, `"\x"`, `"\u12"`, "\"\n\"", `tru`, `nul`, `[`, `{`, `]`, ``, ` `, `1 2`, `"a" b`, `{"a":1}}`,
	"\ufeff1", "\u00a01", `'a'`, `{a:1}`, `NaN`, `Infinity`, `undefined`, `"\u0000"`, "\"\u007f\"", `1E5`, `1e-7`, `0.1`, `9007199254740993`, `-9007199254740993`, `1e21`, `[[[[[[[]]]]]]]`,
}

func TestParseJSON(t *testing.T) {
	p := newJSONPair(t)
	for _, text := range jsonSeeds {
		p.compare(t, text)
	}
}

func TestJSONDepth(t *testing.T) {
	p := newJSONPair(t)
	for _, c := range []struct {
		name  string
		depth int
		ok    bool
	}{{"at the limit", jsonDepth, true}, {"past it", jsonDepth + 1, false}, {"far past it", 5_000_000, false}} {
		t.Run(c.name, func(t *testing.T) {
			_, err := p.r.parseJSON(strings.Repeat("[", c.depth) + strings.Repeat("]", c.depth))
			if (err == nil) != c.ok {
				t.Fatal(err)
			}
		})
	}
}

func TestReplacedJSON(t *testing.T) {
	for _, c := range []webCase{
		{"value", `JSON.stringify(JSON.parse('{"a":[1,"x"]}'))`, `{"a":[1,"x"]}`},
		{"reviver", `JSON.parse('{"a":1}', (k, v) => k === 'a' ? v + 1 : v).a`, "2"},
		{"large number", `JSON.parse('1e400')`, "Infinity"},
		{"lone surrogate as an escape", `JSON.parse('"x\\ud800y"').charCodeAt(1).toString(16)`, "d800"},
		{"reviver on lists, in order", `const seen = []; const v = JSON.parse('{"a":[1,{"b":2}],"c":3}', function(k, v){ seen.push(k); return k === 'c' ? undefined : v }); seen.join() + JSON.stringify(v)`, `0,b,1,a,c,{"a":[1,{"b":2}]}`},
		{"reviver that drops an item", `JSON.stringify(JSON.parse('[1,2,3]', (k, v) => v === 2 ? undefined : v))`, "[1,null,3]"},
		{"reviver that grafts a deep value", `let deep = []; for (let i = 0; i < 5000; i++) deep = [deep]; try { JSON.parse('{"a":1,"b":2}', function(k, v){ if (k === 'a') this.b = deep; return v }) } catch (e) { e.name }`, "RangeError"},
		{"converts its argument", `JSON.parse(12) + JSON.parse(null)`, "12"},
		{"error", `try { JSON.parse('{x') } catch (e) { e.name + ': ' + e.message }`, `SyntaxError: Unexpected token 'x', "{x" is not valid JSON`},
		{"end", `try { JSON.parse('{') } catch (e) { e.message }`, "Unexpected end of JSON input"},
		{"prototype is not touched", `JSON.parse('{"__proto__":{"x":1}}').x === undefined && ({}).x === undefined`, "true"},
		{"deep text with a reviver", `try { JSON.parse('['.repeat(100000), (k, v) => v) } catch (e) { e.name }`, "SyntaxError"},
		{"name", `JSON.parse.name + JSON.parse.length`, "parse2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRealm(&loop{})
			r.replaceJSON()
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

// surrogate finds escapes of halves of characters: the engine's own parser, which this one is compared with, loses those that stand alone.
var surrogate = regexp.MustCompile(`\\u[dD][89a-fA-F]`)

func FuzzParseJSON(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add(s)
	}
	p := newJSONPair(f)
	f.Fuzz(func(t *testing.T, text string) {
		if text = validUTF8(text); strings.Count(text, "[")+strings.Count(text, "{") > 500 || strings.Contains(text, `\u`) && strings.Contains(text, "__proto__") {
			return
		}
		if surrogate.MatchString(text) {
			return
		}
		p.compare(t, text)
	})
}

func BenchmarkParseJSON(b *testing.B) {
	item := `{"id":12345,"name":"An agent's name","tags":["a","b","c"],"score":0.75,"active":true,"parent":null,"text":"Some longer text with an \"escape\" and é."},`
	text := "[" + strings.Repeat(item, 100<<10/len(item))
	text = text[:len(text)-1] + "]"
	p := newJSONPair(b)
	v := p.r.rt.ToValue(text)
	b.Run("engine", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, err := p.builtin(p.json, v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("here", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, err := p.r.parseJSON(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkReplaceJSON(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		newRealm(&loop{}).replaceJSON()
	}
}
