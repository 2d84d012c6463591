package agentruntime

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dop251/goja"
	"golang.org/x/text/language"
)

// A small Intl (https://tc39.es/ecma402/): numbers, dates, times and texts for the locales of the tables in these files. What
// is not supported is a RangeError that names it, and never the format of another locale.

// intlPart is one element of what formatToParts returns.
type intlPart struct{ kind, value string }

func joinParts(parts []intlPart) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.value)
	}
	return b.String()
}

// partsValue is the array that formatToParts returns. extra, if not empty, is a further member of each part but literals.
func (r *realm) partsValue(parts []intlPart, extra ...string) goja.Value {
	list := make([]any, len(parts))
	for i, p := range parts {
		o := r.rt.NewObject()
		_ = o.Set("type", p.kind)
		_ = o.Set("value", p.value)
		if len(extra) == 2 && p.kind != "literal" {
			_ = o.Set(extra[0], extra[1])
		}
		list[i] = o
	}
	return r.rt.NewArray(list...)
}

// intlClasses are the members of Intl that are classes.
var intlClasses = []string{"DateTimeFormat", "NumberFormat", "Collator", "PluralRules", "RelativeTimeFormat", "ListFormat", "Segmenter"}

func init() {
	globals["Intl"] = func(r *realm) goja.Value {
		names := append([]string{"getCanonicalLocales"}, intlClasses...)
		return r.lazy(func(name string) goja.Value {
			switch {
			case name == "getCanonicalLocales":
				return r.function(name, 1, func(r *realm, call goja.FunctionCall) goja.Value {
					return r.stringArray(r.localeList(call.Argument(0)))
				})
			case slices.Contains(intlClasses, name):
				ctor := r.makeClass(webClasses["Intl."+name]).(*goja.Object)
				r.nameFunction(ctor, r.rt.ToValue(name), 0)
				return ctor
			}
			return nil
		}, names...)
	}
}

// declareIntl puts a class of Intl into the table of classes, but not among the globals. make reads the constructor's
// arguments.
func declareIntl(name string, locales []string, construct func(r *realm, locale string, opts *intlOptions) any, members ...member) {
	full := "Intl." + name
	c := &webClass{name: full, members: members, statics: []member{{name: "supportedLocalesOf", length: 1, call: func(r *realm, call goja.FunctionCall) goja.Value {
		var known []string
		for _, l := range r.localeList(call.Argument(0)) {
			if _, ok := matchLocale(l, locales); ok {
				known = append(known, l)
			}
		}
		return r.stringArray(known)
	}}}}
	c.construct = func(r *realm, call goja.ConstructorCall) *goja.Object {
		state := construct(r, r.locale(call.Argument(0), locales, full), r.intlOptions(call.Argument(1), full))
		if call.NewTarget == nil { // called without new
			return r.instance(full, state)
		}
		r.attach(call.This, state)
		return nil
	}
	webClasses[full] = &madeClass{webClass: c, proto: tableOf(c.members), static: tableOf(c.statics)}
}

func (r *realm) stringArray(list []string) goja.Value {
	items := make([]any, len(list))
	for i, s := range list {
		items[i] = s
	}
	return r.rt.NewArray(items...)
}

// localeList is CanonicalizeLocaleList.
func (r *realm) localeList(v goja.Value) []string {
	var tags []string
	add := func(v goja.Value) {
		_, isObject := v.(*goja.Object)
		if _, ok := v.(goja.String); !ok && !isObject {
			panic(r.typeError("Incorrect locale information provided"))
		}
		tag, err := language.Parse(r.str(v))
		var unknown language.ValueError // well-formed all the same
		if s := r.str(v); err != nil && !errors.As(err, &unknown) || s == "" || strings.Contains(s, "_") {
			panic(r.newError("RangeError", "Incorrect locale information provided"))
		}
		s := tag.String()
		if err != nil {
			s = r.str(v)
		}
		if !slices.Contains(tags, s) {
			tags = append(tags, s)
		}
	}
	switch v := v.(type) {
	case goja.String:
		add(v)
	case *goja.Object:
		r.each(v, add)
	default:
		if some(v) || v != nil && goja.IsNull(v) {
			panic(r.typeError("Incorrect locale information provided"))
		}
	}
	return tags
}

// locale chooses the first of the locales asked for that is known. None asked for means en-US.
func (r *realm) locale(v goja.Value, known []string, what string) string {
	asked := r.localeList(v)
	if len(asked) == 0 {
		return "en-US"
	}
	for _, l := range asked {
		if found, ok := matchLocale(l, known); ok {
			return found
		}
	}
	panic(r.newError("RangeError", fmt.Sprintf("%s: the locale %s is not supported; supported are %s", what, strings.Join(asked, ", "), strings.Join(known, ", "))))
}

// matchLocale finds a locale among the known ones, without its extensions (as in en-US-u-hc-h23) and, if only its
// language is known, without its region.
func matchLocale(asked string, known []string) (string, bool) {
	base, _, _ := strings.Cut(asked, "-u-")
	if slices.Contains(known, base) {
		return base, base == asked
	}
	lang, _, _ := strings.Cut(base, "-")
	if base != "en" && lang != base && slices.Contains(known, lang) && !slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, lang+"-") }) {
		return lang, true
	}
	return "", false
}

// intlOptions reads an options argument.
type intlOptions struct {
	r    *realm
	dict goja.Value
	what string
}

func (r *realm) intlOptions(v goja.Value, what string) *intlOptions {
	if v != nil && goja.IsNull(v) {
		panic(r.typeError("Cannot convert undefined or null to object"))
	}
	return &intlOptions{r, v, what}
}

// text reads an option that is one of allowed, or anything if none is given; fallback where it is missing.
func (o *intlOptions) text(name, fallback string, allowed ...string) string {
	v := optional(o.dict, name)
	if v == nil {
		return fallback
	}
	s := o.r.str(v)
	if len(allowed) > 0 && !slices.Contains(allowed, s) {
		o.fail(name, s)
	}
	return s
}

func (o *intlOptions) fail(name, value string) {
	panic(o.r.newError("RangeError", fmt.Sprintf("Value %s out of range for %s options property %s", value, o.what, name)))
}

// unsupported throws for an option that the language knows and this runtime does not.
func (o *intlOptions) unsupported(what string) {
	panic(o.r.newError("RangeError", fmt.Sprintf("%s: %s is not supported by this runtime", o.what, what)))
}

// number reads a whole number from low to high; -1 where it is missing.
func (o *intlOptions) number(name string, low, high int) int {
	v := optional(o.dict, name)
	if v == nil {
		return -1
	}
	f := v.ToFloat()
	if !(f >= float64(low) && f <= float64(high)) {
		panic(o.r.newError("RangeError", name+" value is out of range."))
	}
	return int(f)
}

// refuse throws for each of the names that is given, unless it has the value that stands for nothing.
func (o *intlOptions) refuse(names map[string]string) {
	for name, nothing := range names {
		if v := optional(o.dict, name); v != nil && o.r.str(v) != nothing {
			o.unsupported(name + " " + o.r.str(v))
		}
	}
}

// resolvedObject makes the object of resolvedOptions out of pairs; empty strings and -1 are left out.
func (r *realm) resolvedObject(pairs ...any) goja.Value {
	o := r.rt.NewObject()
	for i := 0; i < len(pairs); i += 2 {
		if v := pairs[i+1]; v != "" && v != -1 {
			_ = o.Set(pairs[i].(string), v)
		}
	}
	return o
}

// bound makes an accessor whose value is a function that is bound to the object and made once, as format is.
func bound[T any](name string, length int, slot func(T) *goja.Object, set func(T, *goja.Object), f func(r *realm, t T, call goja.FunctionCall) goja.Value) member {
	return member{name: name, get: getter(func(r *realm, t T) goja.Value {
		fn := slot(t)
		if fn == nil {
			fn = r.function("", length, func(r *realm, call goja.FunctionCall) goja.Value { return f(r, t, call) })
			set(t, fn)
		}
		return fn
	})}
}
