package agentruntime

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/dop251/goja"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/gatehouse-edge/gatehouse/agentruntime/wasmbinary"
)

// wasmState is what WebAssembly keeps for a realm, made at first use.
type wasmState struct {
	r      *realm
	ctx    context.Context
	errors *goja.Object // the error classes, by name
	own    wasmEngine   // of a realm without an agent

	modules   []api.Module // everything that is instantiated, to be closed with the realm
	instances map[api.Module]*wasmInstance
	linking   *wasmInstance // its start function may run
	used      int64         // bytes of memories
	memories  []*wasmMemory // those of which code has a buffer
	types     []*wasmbinary.FuncType
	// keep is a table of the functions that JavaScript has got out of tables, kept says how many there are, and callers
	// call one of a type. runs counts the calls of WebAssembly code, which may change tables.
	keep    *wasmTable
	kept    uint32
	callers map[*wasmbinary.FuncType]api.Module
	runs    int

	// externs are the values behind externrefs, which for WebAssembly are numbers from 1 on.
	externs     []goja.Value
	externIndex map[*goja.Object]uint64

	// thrown and fatal are what an imported function ended with while WebAssembly code is unwound: an exception, or what no
	// code can catch.
	thrown goja.Value
	fatal  any

	mu      sync.Mutex // guards the rest, which the meter's timer uses too
	stops   []api.MutableGlobal
	stopped bool
}

func (r *realm) wasmState() *wasmState {
	web := r.web()
	if web.wasm != nil {
		return web.wasm
	}
	w := &wasmState{r: r, instances: map[api.Module]*wasmInstance{}}
	made, err := r.program(wasmErrors)(goja.Undefined())
	if err != nil {
		panic(err)
	}
	w.errors = made.(*goja.Object)
	w.ctx = experimental.WithMemoryAllocator(context.WithValue(context.Background(), wasmKey{}, w),
		experimental.MemoryAllocatorFunc(func(uint64, uint64) experimental.LinearMemory { return &wasmLinear{w: w} }))
	web.wasm = w
	r.meter.onInterrupt(w.stop)
	return w
}

// wasmEngine returns the engine of the realm's agent.
func (r *realm) wasmEngine() *wasmEngine {
	if r.agent != nil {
		return &r.agent.wasm
	}
	return &r.wasmState().own
}

// stop makes all WebAssembly code of the realm trap. Safe from any goroutine.
func (w *wasmState) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	for _, s := range w.stops {
		s.Set(1)
	}
}

// close gives back what the realm has instantiated. Nothing runs in it any more.
func (w *wasmState) close() {
	for _, m := range w.modules {
		_ = m.Close(context.Background())
	}
	w.modules, w.instances, w.stops = nil, nil, nil
}

// instantiate makes an instance without a name; from says where its imports come from, by the names of their modules.
func (w *wasmState) instantiate(c wazero.CompiledModule, from map[string]api.Module) (api.Module, error) {
	ctx := experimental.WithImportResolver(w.ctx, func(name string) api.Module { return from[name] })
	m, err := w.engineRuntime().InstantiateModule(ctx, c, wasmConfig)
	if m != nil {
		w.modules = append(w.modules, m)
		if stop, ok := m.ExportedGlobal(wasmbinary.StopExport).(api.MutableGlobal); ok {
			w.mu.Lock()
			w.stops = append(w.stops, stop)
			if w.stopped {
				stop.Set(1)
			}
			w.mu.Unlock()
		}
	}
	return m, err
}

func (w *wasmState) engineRuntime() wazero.Runtime { return w.r.wasmEngine().rt }

// small instantiates one of the modules that wasmbinary writes.
func (w *wasmState) small(binary []byte, from map[string]api.Module) api.Module {
	c, err := w.r.wasmEngine().small(binary)
	if err == nil {
		var m api.Module
		if m, err = w.instantiate(c, from); err == nil {
			return m
		}
	}
	panic(w.r.wasmError("LinkError", err.Error()))
}

// alias returns a module that exports, as wasmbinary.ImportName, what owner exports as name.
func (w *wasmState) alias(owner api.Module, name string, t wasmbinary.Type) api.Module {
	if name == wasmbinary.ImportName {
		return owner
	}
	t.Limits = wasmbinary.Limits{}
	return w.small(wasmbinary.Alias(name, t), map[string]api.Module{wasmbinary.ImportModule(0): owner})
}

// call runs a function of WebAssembly.
func (w *wasmState) call(fn api.Function, stack []uint64) {
	err := fn.CallWithStack(w.ctx, stack)
	w.renew()
	if err != nil {
		w.raise(err)
	}
}

// errUnwind is the panic by which an imported function ends the WebAssembly code that called it.
var errUnwind = errors.New("an imported function threw")

// raise throws what WebAssembly code ended with.
func (w *wasmState) raise(err error) {
	if fatal := w.fatal; fatal != nil {
		w.fatal = nil
		panic(fatal)
	}
	if thrown := w.thrown; thrown != nil {
		w.thrown = nil
		panic(thrown)
	}
	w.mu.Lock()
	stopped := w.stopped
	w.mu.Unlock()
	if stopped {
		return // the engine has been interrupted too, and ends with the reason
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	if _, trap, ok := strings.Cut(text, "wasm error: "); ok {
		text = trap
	}
	if strings.HasPrefix(text, "stack overflow") {
		panic(w.r.newError("RangeError", "Maximum call stack size exceeded"))
	}
	panic(w.r.wasmError("RuntimeError", text))
}

// renew takes the buffers away of memories that have grown.
func (w *wasmState) renew() {
	for i := 0; i < len(w.memories); {
		if w.memories[i].moved() {
			w.memories[i].detach()
			w.memories = append(w.memories[:i], w.memories[i+1:]...)
			continue
		}
		i++
	}
}

// note remembers types of functions, by which those in tables are found.
func (w *wasmState) note(types ...*wasmbinary.FuncType) {
	for _, t := range types {
		known := false
		for _, o := range w.types {
			known = known || o.Equal(t)
		}
		if !known {
			w.types = append(w.types, t)
		}
	}
}
