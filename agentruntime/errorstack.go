package agentruntime

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

// errorStackGlobal is the function that a bundle calls around each object whose property stack it reads: see
// bundle_tree.go. It gives an error its stack in the form that V8 writes and packages take apart, with places in the author's
// files, and returns what it was given. So a stack is decoded when it is read, and an error that nobody looks into
// costs nothing.
const errorStackGlobal = "__errorStack"

func init() {
	globals[errorStackGlobal] = func(r *realm) goja.Value {
		return r.function(errorStackGlobal, 1, func(r *realm, call goja.FunctionCall) goja.Value {
			v := call.Argument(0)
			if obj, ok := v.(*goja.Object); ok {
				_, dom := nativeOf[*domError](r, obj)
				if dom || obj.ClassName() == "Error" {
					r.readableStack(obj)
				}
			}
			return v
		})
	}
}

// readableStack puts the stack that the engine gave an error into its readable form. What code has put there stays.
func (r *realm) readableStack(err *goja.Object) {
	desc, _ := r.descriptor(err, "stack")
	if desc == nil {
		return
	}
	raw, ok := desc.Get("value").(goja.String)
	if !ok || !rawStack(raw.String()) {
		return
	}
	r.setStack(err, r.mapStack(raw.String()))
}

// rawStack says whether a stack is in the form in which the engine writes it.
func rawStack(s string) bool { return strings.HasSuffix(s, "\n") || strings.Contains(s, "\n\tat ") }

// mostFrames is the most frames that Error.stackTraceLimit can ask for: as many calls as the engine nests.
const mostFrames = 2000

// mapStack is Script.MapStack with as many frames as the code asks for by Error.stackTraceLimit. It is for runtimes without a
// script too.
func (r *realm) mapStack(stack string) string {
	most := stackFrames
	if class, ok := r.rt.Get("Error").(*goja.Object); ok {
		if limit := r.member(class, "stackTraceLimit"); limit != nil {
			most = int(min(max(limit.ToInteger(), 0), mostFrames))
		}
	}
	if r.agent == nil {
		return (&sourceMap{}).mapStack(stack, most)
	}
	return r.agent.script.stacks.mapStack(stack, most)
}

// setStack gives an object its stack: what Error.prepareStackTrace makes of it if code has defined that
// (https://v8.dev/docs/stack-trace-api), else the text.
func (r *realm) setStack(obj *goja.Object, text string) {
	var stack goja.Value = r.rt.ToValue(text)
	class := r.rt.Get("Error").(*goja.Object)
	if prepare, ok := goja.AssertFunction(class.Get("prepareStackTrace")); ok {
		v, err := prepare(class, obj, r.callSites(text))
		if thrown := thrownBy(err); thrown != nil {
			panic(thrown)
		}
		stack = orUndefined(v)
	}
	_ = obj.DefineDataProperty("stack", stack, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}

// captureStackTrace is Error.captureStackTrace: it gives any object the stack of the running code, without the frames above
// and including the call of upTo.
func (r *realm) captureStackTrace(obj *goja.Object, upTo goja.Value) {
	name := ""
	if fn, ok := upTo.(*goja.Object); ok {
		if v, ok := r.member(fn, "name").(goja.String); ok {
			name = v.String()
		}
	}
	frames := r.rt.CaptureCallStack(0, nil)[1:] // without this function's own
	if name != "" {
		for i, f := range frames {
			if f.FuncName() == name {
				frames = frames[i+1:]
				break
			}
		}
	}
	var b bytes.Buffer
	b.WriteString(r.errorHead(obj))
	for _, f := range frames {
		b.WriteString("\n\tat ")
		f.Write(&b)
	}
	b.WriteString("\n")
	r.setStack(obj, r.mapStack(b.String()))
}

// errorHead is the first line of an object's stack (Error.prototype.toString).
func (r *realm) errorHead(obj *goja.Object) string {
	name, message := "Error", ""
	if v := r.member(obj, "name"); v != nil {
		name = r.text(v)
	}
	if v := r.member(obj, "message"); v != nil {
		message = r.text(v)
	}
	switch {
	case message == "":
		return name
	case name == "":
		return message
	}
	return name + ": " + message
}

// callSites makes the call sites of a readable stack's frames.
func (r *realm) callSites(stack string) goja.Value {
	var sites []any
	for line := range strings.Lines(stack) {
		if frame, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "    at "); ok {
			sites = append(sites, r.callSite(frame))
		}
	}
	return r.rt.NewArray(sites...)
}

// callSite makes one CallSite of a frame such as "f (agent.ts:1:2)".
func (r *realm) callSite(frame string) *goja.Object {
	name, place := "", frame
	if before, after, ok := strings.Cut(frame, " ("); ok {
		name, place = before, strings.TrimSuffix(after, ")")
	}
	file, line, col := place, 0, 0
	if rest, n, ok := cutNumber(file); ok {
		file, col = rest, n
		if rest, n, ok := cutNumber(file); ok {
			file, line = rest, n
		} else {
			line, col = col, 0
		}
	}
	orNull := func(s string) goja.Value {
		if s == "" {
			return goja.Null()
		}
		return r.rt.ToValue(s)
	}
	answers := map[string]goja.Value{
		"getFileName": orNull(file), "getScriptNameOrSourceURL": orNull(file), "getLineNumber": r.rt.ToValue(line), "getColumnNumber": r.rt.ToValue(col),
		"getFunctionName": orNull(name), "getMethodName": goja.Null(), "getTypeName": goja.Null(), "getThis": goja.Undefined(),
		"getFunction": goja.Undefined(), "getEvalOrigin": goja.Undefined(), "isNative": r.rt.ToValue(false), "isToplevel": r.rt.ToValue(name == ""),
		"isEval": r.rt.ToValue(file == "<eval>"), "isConstructor": r.rt.ToValue(false), "isAsync": r.rt.ToValue(false), "toString": r.rt.ToValue(frame),
	}
	return r.lazy(func(name string) goja.Value {
		v, ok := answers[name]
		if !ok {
			return nil
		}
		return r.function(name, 0, func(*realm, goja.FunctionCall) goja.Value { return v })
	}, "getFileName", "getLineNumber", "getColumnNumber", "getFunctionName", "getMethodName", "getTypeName", "getThis", "getFunction",
		"getEvalOrigin", "getScriptNameOrSourceURL", "isNative", "isToplevel", "isEval", "isConstructor", "isAsync", "toString")
}

// cutNumber takes ":7" off the end of a place.
func cutNumber(place string) (rest string, n int, ok bool) {
	i := strings.LastIndexByte(place, ':')
	if i < 0 {
		return place, 0, false
	}
	n, err := strconv.Atoi(place[i+1:])
	return place[:max(i, 0)], n, err == nil
}
