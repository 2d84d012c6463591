package agentruntime

import (
	"regexp"
	"strings"
	"unicode/utf16"

	"github.com/dlclark/regexp2/v2"
	"github.com/dop251/goja"
)

// constructsRegExp finds code that may make a regular expression out of a string.
var constructsRegExp = regexp.MustCompile(`\bRegExp\s*\(|[=(,:?]\s*RegExp\b`)

func init() {
	supplies = append(supplies, &supply{fits: constructsRegExp.MatchString, put: (*realm).replaceRegExp})
}

// replaceRegExp puts a constructor in the place of RegExp that rewrites patterns for the engine (regexp.go) and knows the
// flag d.
func (r *realm) replaceRegExp() {
	native := r.builtin("RegExp")
	proto := native.Get("prototype").(*goja.Object)
	var ctor *goja.Object
	ctor = r.rt.ToValue(func(call goja.ConstructorCall) *goja.Object {
		args, indices := r.regExpArguments(call.Arguments)
		made, err := r.rt.New(native, args...)
		if thrown := thrownBy(err); thrown != nil {
			panic(thrown)
		}
		if indices {
			r.addIndices(made)
		}
		if n := call.NewTarget; n != nil && n != ctor {
			if proto, ok := n.Get("prototype").(*goja.Object); ok {
				_ = made.SetPrototype(proto)
			}
		}
		return made
	}).(*goja.Object)
	r.nameFunction(ctor, r.rt.ToValue("RegExp"), 2)
	_ = ctor.SetPrototype(native) // for the statics
	_ = ctor.DefineDataProperty("prototype", proto, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
	_ = proto.DefineDataProperty("constructor", ctor, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	_ = r.rt.GlobalObject().DefineDataProperty("RegExp", ctor, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}

// regExpArguments rewrites the constructor's arguments where the engine would not understand them, and says whether the
// flags hold d, which is taken out.
func (r *realm) regExpArguments(args []goja.Value) (_ []goja.Value, indices bool) {
	if len(args) > 0 {
		if text, ok := args[0].(goja.String); ok && text.Length() > maxNesting && nestedPattern(text.String()) {
			panic(r.newError("SyntaxError", "Invalid regular expression: the pattern is nested too deeply"))
		}
	}
	if len(args) < 2 {
		return args, false
	}
	flags := ""
	if given(args[1]) {
		flags = r.str(args[1])
	}
	if !strings.ContainsAny(flags, "duv") {
		return args, false
	}
	source := args[0]
	if obj, ok := source.(*goja.Object); ok && obj.ClassName() == "RegExp" {
		source = obj.Get("source")
	}
	pattern := ""
	if given(source) {
		pattern = r.str(source)
	}
	plain := strings.Replace(flags, "d", "", 1)
	pattern, plain, err := rewriteRegExp(pattern, plain)
	if err != nil {
		panic(r.newError("SyntaxError", err.Error()))
	}
	return []goja.Value{r.rt.ToValue(pattern), r.rt.ToValue(plain)}, plain != flags && strings.Contains(flags, "d")
}

// addIndices gives a regular expression what the flag d stands for: an exec whose result has the places of the groups
// (https://tc39.es/ecma262/#sec-makematchindicesindexpairarray).
func (r *realm) addIndices(re *goja.Object) {
	native, _ := goja.AssertFunction(re.Get("exec"))
	source, flags := r.str(re.Get("source")), r.str(re.Get("flags"))
	var finder *regexp2.Regexp
	exec := r.function("exec", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		text := r.rt.ToValue(r.str(call.Argument(0)))
		if s, ok := call.Argument(0).(goja.String); ok {
			text = s
		}
		found := r.callNative(native, re, text)
		match, ok := found.(*goja.Object)
		if !ok {
			return found
		}
		if finder == nil {
			var err error
			if finder, err = indexFinder(source, flags); err != nil {
				panic(r.newError("SyntaxError", err.Error()))
			}
		}
		_ = match.Set("indices", r.matchIndices(finder, text.(goja.String), match, strings.Contains(flags, "u")))
		return match
	})
	hidden := func(name string, v any) {
		_ = re.DefineDataProperty(name, r.rt.ToValue(v), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	hidden("exec", exec)
	hidden("hasIndices", true)
	hidden("flags", "d"+flags)
}

// indexFinder compiles a pattern with the engine's own library, as the engine does where it must.
func indexFinder(source, flags string) (*regexp2.Regexp, error) {
	opts := regexp2.ECMAScript
	for flag, opt := range map[string]regexp2.RegexOptions{"m": regexp2.Multiline, "s": regexp2.Singleline, "i": regexp2.IgnoreCase, "u": regexp2.Unicode} {
		if strings.Contains(flags, flag) {
			opts |= opt
		}
	}
	return regexp2.Compile(source, opts)
}

// matchIndices makes the array of the groups' places of a match that is known to be there.
func (r *realm) matchIndices(finder *regexp2.Regexp, text goja.String, match *goja.Object, unicode bool) goja.Value {
	units := make([]uint16, text.Length())
	for i := range units {
		units[i] = text.CharAt(i)
	}
	var runes []rune
	var offsets []int // of each rune, in units
	for i := 0; i < len(units); i++ {
		c := rune(units[i])
		offsets = append(offsets, i)
		if unicode && i+1 < len(units) {
			if pair := utf16.DecodeRune(c, rune(units[i+1])); pair != 0xFFFD {
				c = pair
				i++
			}
		}
		runes = append(runes, c)
	}
	offsets = append(offsets, len(units))
	start, at := int(match.Get("index").ToInteger()), 0
	for at < len(offsets)-1 && offsets[at] < start {
		at++
	}
	m, err := finder.FindRunesMatchStartingAt(runes, at)
	if err != nil || m == nil {
		panic(r.newError("Error", "the places of the groups could not be found"))
	}
	var list []any
	var named *goja.Object
	for _, g := range m.Groups() {
		var place goja.Value = goja.Undefined()
		if len(g.Captures) > 0 {
			place = r.rt.NewArray(offsets[g.RuneIndex], offsets[g.RuneIndex+g.RuneLength])
		}
		if strings.Trim(g.Name, "0123456789") != "" { // a name of its own, not its number
			if named == nil {
				named = r.rt.CreateObject(nil)
			}
			_ = named.Set(g.Name, place)
		}
		list = append(list, place)
	}
	indices := r.rt.NewArray(list...)
	if named == nil {
		_ = indices.Set("groups", goja.Undefined())
	} else {
		_ = indices.Set("groups", named)
	}
	return indices
}
