package agentruntime

import (
	"embed"
	"fmt"
	"strings"
	"sync"

	"github.com/dop251/goja"
)

// nodeFiles are the modules of Node.js as far as they are written in JavaScript, one file each, and what they export.
//
//go:embed node
var nodeFiles embed.FS

// nodeModule is one module of Node.js (https://nodejs.org/api/). Modules are made once in a realm, at their first import
// or require. A module that is neither native nor a file is absent: everything that it exports throws when it is used, as
// in Workers (https://developers.cloudflare.com/workers/runtime-apis/nodejs/), so that packages which import it for
// something that an agent never does can be loaded.
type nodeModule struct {
	name    string
	exports []nodeExport
	// file is the name of the file without its ending, for modules that share one; empty for none.
	file string
	// internal modules are there for the others alone.
	internal bool
	// native makes the module's value in Go.
	native func(r *realm) goja.Value
	// compiled is the file, compiled when a realm first needs it and shared by all, and guards what it needs of them.
	compiled func() *goja.Program
	guards   guardSet
}

// nodeExport is one name that Node.js documents for a module.
type nodeExport struct {
	name string
	kind byte // f: a function or a class, o: an object, v: a plain value
}

// nodeModules is the table of all modules of Node.js, by name without node:. It is read-only once the program runs.
var nodeModules = readNodeModules()

// readNodeModules reads node/exports.txt.
func readNodeModules() map[string]*nodeModule {
	text, err := nodeFiles.ReadFile("node/exports.txt")
	if err != nil {
		panic(err)
	}
	all := map[string]*nodeModule{}
	var m *nodeModule
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if name, rest, begins := strings.Cut(line, ":"); begins {
			m = &nodeModule{name: name}
			all[name] = m
			line = rest
		}
		for _, name := range strings.Fields(line) {
			e := nodeExport{name: strings.TrimRight(name, "*="), kind: 'f'}
			switch name[len(name)-1] {
			case '*':
				e.kind = 'o'
			case '=':
				e.kind = 'v'
			}
			m.exports = append(m.exports, e)
		}
	}
	for _, name := range []string{"internal_args", "internal_equal", "internal_errors", "internal_stream"} {
		all[name] = &nodeModule{name: name, internal: true}
	}
	for name, m := range all {
		file := strings.ReplaceAll(name, "/", "_")
		source, err := nodeFiles.ReadFile("node/" + file + ".js")
		if err != nil {
			continue
		}
		m.file, m.guards = file, guardsOf(string(source))
		m.compiled = sync.OnceValue(func() *goja.Program { return compileNode(file, string(source)) })
	}
	return all
}

// compileNode compiles a module's file as the body of a function, as CommonJS does. native has what is written in Go.
func compileNode(file, source string) *goja.Program {
	return goja.MustCompile(internalPrefix+"node/"+file, "(function(exports, require, module, native) {"+source+"\n})", true)
}

// present reports whether more of the module is there than its name.
func (m *nodeModule) present() bool { return m.file != "" || m.native != nil }

// nodeNatives are the functions written in Go that the files call, by name. It is filled in init functions.
var nodeNatives = map[string]nativeFunc{}

// nodeGlobals are the globals that are there only with the modules of Node.js.
var nodeGlobals = map[string]globalMaker{
	"global":  func(r *realm) goja.Value { return r.rt.GlobalObject() },
	"process": func(r *realm) goja.Value { return r.node("process") },
	"Buffer":  func(r *realm) goja.Value { return r.node("buffer").(*goja.Object).Get("Buffer") },
}

func init() {
	for name, mk := range nodeGlobals {
		globals[name] = mk
	}
	// __node is what the bundle finds the modules with: __node(module) or __node(module, export).
	declareFunction("__node", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		module := r.str(call.Argument(0))
		if len(call.Arguments) == 1 {
			return r.node(module)
		}
		return r.nodeExport(module, r.str(call.Argument(1)))
	})
}

// withoutNode reports whether name is a global that the realm's agent does not have, since it has no Node.js modules.
func (r *realm) withoutNode(name string) bool {
	return r.agent != nil && r.agent.script.withoutNode && nodeGlobals[name] != nil
}

// nodeState is what a realm keeps of the modules of Node.js.
type nodeState struct {
	modules map[string]goja.Value
	require *goja.Object
	native  *goja.Object
	buffer  *bufferClass
	env     *goja.Object // process.env
	guarded guardSet     // put in place for the modules' own code
}

// nodes returns the realm's state, made at first use.
func (r *realm) nodes() *nodeState {
	if r.nodeJS == nil {
		s := &nodeState{modules: make(map[string]goja.Value, 4)}
		r.nodeJS = s
		s.require = r.function("require", 1, func(r *realm, call goja.FunctionCall) goja.Value { return r.node(r.str(call.Argument(0))) })
		s.native = r.lazy(func(name string) goja.Value {
			f := nodeNatives[name]
			if f == nil {
				return nil
			}
			return r.function(name, 0, f)
		})
	}
	return r.nodeJS
}

// node returns the value of a module of Node.js, with or without node: before its name.
func (r *realm) node(name string) goja.Value {
	name = strings.TrimPrefix(name, "node:")
	s := r.nodes()
	if v, ok := s.modules[name]; ok {
		return v
	}
	m := nodeModules[name]
	if m == nil {
		panic(r.nodeError("Error", "MODULE_NOT_FOUND", fmt.Sprintf("Cannot find module '%s'", shortened(name))))
	}
	switch {
	case m.native != nil:
		s.modules[name] = m.native(r)
	case m.file != "":
		r.runNode(m)
	default:
		s.modules[name] = r.absentObject("node:"+name, m.exports)
	}
	return s.modules[name]
}

// runNode evaluates a module's file. While it runs others see what it has exported so far, as in CommonJS.
func (r *realm) runNode(m *nodeModule) {
	s := r.nodes()
	missing := m.guards &^ (r.agent.script.guards | s.guarded)
	missing.install(r)
	s.guarded |= missing
	exports := r.rt.NewObject()
	module := r.rt.NewObject()
	_ = module.Set("exports", exports)
	s.modules[m.name] = exports
	if _, err := r.program(m.compiled())(goja.Undefined(), exports, s.require, module, s.native); err != nil {
		delete(s.modules, m.name)
		panic(err)
	}
	s.modules[m.name] = module.Get("exports")
}

// nodeExport returns one export for an import by name. What Node.js has and this module has not is something that throws
// when it is used.
func (r *realm) nodeExport(module, name string) goja.Value {
	v := r.node(module)
	if obj, ok := v.(*goja.Object); ok {
		if e := obj.Get(name); e != nil {
			return e
		}
	}
	for _, e := range nodeModules[module].exports {
		if e.name == name {
			return r.absentExport("node:"+module, e)
		}
	}
	return goja.Undefined()
}

// absentExport makes what stands for an export that is not there. It can be read, and a class can extend it.
func (r *realm) absentExport(module string, e nodeExport) goja.Value {
	switch e.kind {
	case 'f':
		fn := r.rt.ToValue(func(goja.ConstructorCall) *goja.Object { panic(r.absent(module + "." + e.name)) }).(*goja.Object)
		r.nameFunction(fn, r.rt.ToValue(e.name), 0)
		return fn
	case 'o':
		return r.absentObject(module+"."+e.name, nil)
	}
	return goja.Undefined()
}

// absentObject makes an object whose named members are absent exports, and every other one throws.
func (r *realm) absentObject(name string, exports []nodeExport) *goja.Object {
	return r.rt.NewDynamicObject(&absentObject{r: r, name: name, exports: exports})
}

// absentObject stands for an object of Node.js that is not there.
type absentObject struct {
	r       *realm
	name    string
	exports []nodeExport
	made    map[string]goja.Value
}

func (o *absentObject) Get(key string) goja.Value {
	if v, ok := o.made[key]; ok {
		return v
	}
	for _, e := range o.exports {
		if e.name == key {
			v := o.r.absentExport(o.name, e)
			o.Set(key, v)
			return v
		}
	}
	switch key {
	case "__esModule", "default", "then", "toJSON", "constructor", "prototype": // asked for by those who only look at a value
		return nil
	}
	if o.exports == nil {
		panic(o.r.absent(o.name))
	}
	return nil
}

func (o *absentObject) Set(key string, v goja.Value) bool {
	if o.made == nil {
		o.made = make(map[string]goja.Value, 4)
	}
	o.made[key] = v
	return true
}

func (o *absentObject) Has(key string) bool {
	if _, ok := o.made[key]; ok {
		return true
	}
	for _, e := range o.exports {
		if e.name == key {
			return true
		}
	}
	return false
}

func (o *absentObject) Delete(key string) bool {
	delete(o.made, key)
	return true
}

func (o *absentObject) Keys() []string {
	keys := make([]string, 0, len(o.exports))
	for _, e := range o.exports {
		keys = append(keys, e.name)
	}
	return keys
}

// absentHelp says what to use in place of a module that is not there.
var absentHelp = map[string]string{
	"fs": "agents have no file system: import the file, as text or bytes, or keep it in KV", "child_process": "agents cannot start processes",
	"http": "call the global fetch, and answer requests with export default { fetch }", "https": "call the global fetch",
	"http2": "call the global fetch", "net": "call connect of cloudflare:sockets", "tls": "call connect of cloudflare:sockets",
	"dns": "agents resolve no names: give fetch the name", "worker_threads": "agents have one thread: call another agent or an actor",
	"cluster": "agents have one thread: call another agent or an actor", "vm": "call new Function", "zlib": "use CompressionStream",
}

// absent makes the error of using something of Node.js that is not there.
func (r *realm) absent(name string) *goja.Object {
	module, _, _ := strings.Cut(strings.TrimPrefix(name, "node:"), ".")
	module, _, _ = strings.Cut(module, "/")
	text := name + " is not supported by this runtime"
	if help := absentHelp[module]; help != "" && !nodeModules[module].present() {
		text += "; " + help
	}
	return r.nodeError("Error", "ERR_METHOD_NOT_IMPLEMENTED", text)
}

// nodeError makes an error with a code, as those of Node.js have (https://nodejs.org/api/errors.html#nodejs-error-codes).
func (r *realm) nodeError(class, code, msg string) *goja.Object {
	e := r.newError(class, msg)
	_ = e.Set("code", code)
	return e
}
