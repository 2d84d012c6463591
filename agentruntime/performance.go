package agentruntime

import (
	"slices"
	"time"

	"github.com/dop251/goja"
)

// performance is the state of the performance object: the clock of https://w3c.github.io/hr-time/ and the marks of
// https://w3c.github.io/user-timing/.
type performance struct {
	eventTarget
	origin  time.Time
	entries []*goja.Object // marks and measures, by their start
}

// performanceEntry is the state of a PerformanceMark or a PerformanceMeasure. Times are in milliseconds.
type performanceEntry struct {
	name, kind      string
	start, duration float64
	detail          goja.Value
}

func milliseconds(d time.Duration) float64 { return float64(d/time.Microsecond) / 1000 }

func (p *performance) now(r *realm) float64 { return milliseconds(r.agent.now().Sub(p.origin)) }

func (p *performance) timeOrigin() float64 { return float64(p.origin.UnixMicro()) / 1000 }

// detailOf clones the detail that an entry is given, null for none.
func (r *realm) detailOf(options goja.Value) goja.Value {
	v := optional(options, "detail")
	if v == nil {
		return goja.Null()
	}
	data, err := r.serialize(v)
	if err != nil {
		r.throw(err)
	}
	clone, err := r.deserialize(data)
	if err != nil {
		r.throw(err)
	}
	return clone
}

// newMark reads what both performance.mark and the constructor of PerformanceMark are given.
func (r *realm) newMark(name, options goja.Value) *performanceEntry {
	p, _ := nativeOf[*performance](r, r.global("performance"))
	e := &performanceEntry{name: r.str(name), kind: "mark"}
	r.dictionary(options, "the options of a mark")
	if v := optional(options, "startTime"); v != nil {
		if e.start = v.ToFloat(); e.start < 0 {
			panic(r.typeError("The startTime of a mark cannot be negative."))
		}
	} else {
		e.start = p.now(r)
	}
	e.detail = r.detailOf(options)
	return e
}

func (p *performance) add(r *realm, class string, e *performanceEntry) goja.Value {
	obj := r.instance(class, e)
	at := len(p.entries)
	for at > 0 {
		if before, _ := nativeOf[*performanceEntry](r, p.entries[at-1]); before.start <= e.start {
			break
		}
		at--
	}
	p.entries = slices.Insert(p.entries, at, obj)
	return obj
}

// timeOf is a moment given as a number, or as the name of a mark.
func (p *performance) timeOf(r *realm, v goja.Value) float64 {
	switch v.(type) {
	case goja.String:
	default:
		if f := v.ToFloat(); f >= 0 {
			return f
		}
		panic(r.typeError("A moment cannot be negative."))
	}
	name := r.str(v)
	for i := len(p.entries) - 1; i >= 0; i-- {
		if e, _ := nativeOf[*performanceEntry](r, p.entries[i]); e.kind == "mark" && e.name == name {
			return e.start
		}
	}
	panic(r.domException("SyntaxError", "There is no mark named '"+shortened(name)+"'."))
}

func (p *performance) measure(r *realm, call goja.FunctionCall) goja.Value {
	r.need(call, 1, "'measure' on 'Performance'")
	e := &performanceEntry{name: r.str(call.Argument(0)), kind: "measure", detail: goja.Null()}
	start, end, duration := call.Argument(1), call.Argument(2), goja.Value(nil)
	if options, ok := start.(*goja.Object); ok {
		if given(end) {
			panic(r.typeError("A measure has either options or an end mark."))
		}
		start, end, duration = optional(options, "start"), optional(options, "end"), optional(options, "duration")
		if start == nil && end == nil {
			panic(r.typeError("The options of a measure need a start or an end."))
		}
		if start != nil && end != nil && duration != nil {
			panic(r.typeError("The options of a measure cannot have a start, an end and a duration."))
		}
		e.detail = r.detailOf(options)
	}
	until := 0.0
	switch {
	case given(end):
		until = p.timeOf(r, end)
	case given(start) && duration != nil:
		until = p.timeOf(r, start) + duration.ToFloat()
	default:
		until = p.now(r)
	}
	switch {
	case given(start):
		e.start = p.timeOf(r, start)
	case duration != nil:
		e.start = until - duration.ToFloat()
	}
	e.duration = until - e.start
	return p.add(r, "PerformanceMeasure", e)
}

// list returns the entries of a kind and a name, where undefined stands for any.
func (p *performance) list(r *realm, kind, name goja.Value) goja.Value {
	var found []any
	for _, obj := range p.entries {
		e, _ := nativeOf[*performanceEntry](r, obj)
		if (!given(kind) || e.kind == r.str(kind)) && (!given(name) || e.name == r.str(name)) {
			found = append(found, obj)
		}
	}
	return r.rt.NewArray(found...)
}

func (p *performance) clear(kind string) nativeFunc {
	return method(func(r *realm, p *performance, call goja.FunctionCall) goja.Value {
		p.entries = slices.DeleteFunc(p.entries, func(obj *goja.Object) bool {
			e, _ := nativeOf[*performanceEntry](r, obj)
			return e.kind == kind && (!given(call.Argument(0)) || e.name == r.str(call.Argument(0)))
		})
		return goja.Undefined()
	})
}

func init() {
	globals["performance"] = func(r *realm) goja.Value {
		return r.instance("Performance", &performance{origin: r.agent.now()})
	}
	var p *performance
	(&webClass{
		name: "Performance", parent: "EventTarget",
		members: []member{
			{name: "timeOrigin", get: getter(func(r *realm, p *performance) goja.Value { return r.rt.ToValue(p.timeOrigin()) })},
			{name: "now", call: method(func(r *realm, p *performance, _ goja.FunctionCall) goja.Value { return r.rt.ToValue(p.now(r)) })},
			{name: "toJSON", call: method(func(r *realm, p *performance, _ goja.FunctionCall) goja.Value {
				o := r.rt.NewObject()
				_ = o.Set("timeOrigin", p.timeOrigin())
				return o
			})},
			{name: "mark", length: 1, call: method(func(r *realm, p *performance, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'mark' on 'Performance'")
				return p.add(r, "PerformanceMark", r.newMark(call.Argument(0), call.Argument(1)))
			})},
			{name: "measure", length: 1, call: method(func(r *realm, p *performance, call goja.FunctionCall) goja.Value { return p.measure(r, call) })},
			{name: "getEntries", call: method(func(r *realm, p *performance, _ goja.FunctionCall) goja.Value { return p.list(r, nil, nil) })},
			{name: "getEntriesByType", length: 1, call: method(func(r *realm, p *performance, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'getEntriesByType' on 'Performance'")
				return p.list(r, call.Argument(0), nil)
			})},
			{name: "getEntriesByName", length: 1, call: method(func(r *realm, p *performance, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'getEntriesByName' on 'Performance'")
				return p.list(r, call.Argument(1), call.Argument(0))
			})},
			{name: "clearMarks", call: p.clear("mark")},
			{name: "clearMeasures", call: p.clear("measure")},
		},
	}).declare()
	(&webClass{
		name: "PerformanceEntry",
		members: []member{
			{name: "name", get: getter(func(r *realm, e *performanceEntry) goja.Value { return r.rt.ToValue(e.name) })},
			{name: "entryType", get: getter(func(r *realm, e *performanceEntry) goja.Value { return r.rt.ToValue(e.kind) })},
			{name: "startTime", get: getter(func(r *realm, e *performanceEntry) goja.Value { return r.rt.ToValue(e.start) })},
			{name: "duration", get: getter(func(r *realm, e *performanceEntry) goja.Value { return r.rt.ToValue(e.duration) })},
			{name: "toJSON", call: method(func(r *realm, e *performanceEntry, _ goja.FunctionCall) goja.Value {
				o := r.rt.NewObject()
				_ = o.Set("name", e.name)
				_ = o.Set("entryType", e.kind)
				_ = o.Set("startTime", e.start)
				_ = o.Set("duration", e.duration)
				_ = o.Set("detail", e.detail)
				return o
			})},
		},
	}).declare()
	detail := []member{{name: "detail", get: getter(func(_ *realm, e *performanceEntry) goja.Value { return e.detail })}}
	(&webClass{
		name: "PerformanceMark", parent: "PerformanceEntry", length: 1, members: detail,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			if len(call.Arguments) == 0 {
				panic(r.typeError("Failed to construct 'PerformanceMark': 1 argument required, but only 0 present."))
			}
			r.attach(call.This, r.newMark(call.Argument(0), call.Argument(1)))
			return nil
		},
	}).declare()
	(&webClass{name: "PerformanceMeasure", parent: "PerformanceEntry", members: detail}).declare()
}
