package agentruntime

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/gatehouse-edge/gatehouse/agentruntime/wasmbinary"
)

const (
	// wasmCodeLimit is the most bytes of a module.
	wasmCodeLimit = 16 << 20
	// wasmMemoryLimit is the most bytes that the memories of one runtime may have together.
	wasmMemoryLimit = 128 << 20
	wasmPage        = 64 << 10
	// wasmCacheLimit is how many modules an agent keeps compiled, beside those that its code imports.
	wasmCacheLimit = 32
	// smallLimit is how many of wasmbinary's own modules it keeps.
	smallLimit = 256
)

// wasmEngine compiles modules for one agent, whose runtimes share the result. The zero value is ready.
type wasmEngine struct {
	mu      sync.Mutex
	rt      wazero.Runtime
	codes   map[[sha256.Size]byte]*wasmCode
	passing []*wasmCode // of codes, those that code made while it ran, the oldest first
	smalls  map[[sha256.Size]byte]wazero.CompiledModule
}

// wasmCode is a compiled module. Its functions are the same for every instance: which one calls an import is found when it
// does.
type wasmCode struct {
	source   []byte
	once     sync.Once
	module   *wasmbinary.Module
	compiled wazero.CompiledModule
	host     api.Module // the imported functions, nil for none
	err      error
}

// compile returns the compiled module. kept says that the agent's own code imports it, so that it stays.
func (e *wasmEngine) compile(source []byte, kept bool) (*wasmCode, error) {
	if len(source) > wasmCodeLimit {
		return nil, fmt.Errorf("the module has %d bytes, over the limit of %d", len(source), wasmCodeLimit)
	}
	key := sha256.Sum256(source)
	e.mu.Lock()
	code := e.codes[key]
	if code == nil {
		code = &wasmCode{source: source}
		if e.codes == nil {
			e.codes = map[[sha256.Size]byte]*wasmCode{}
		}
		e.codes[key] = code
		if !kept {
			if e.passing = append(e.passing, code); len(e.passing) > wasmCacheLimit {
				oldest := e.passing[0]
				e.passing = slices.Delete(e.passing, 0, 1)
				delete(e.codes, sha256.Sum256(oldest.source))
			}
		}
	}
	if e.rt == nil {
		e.rt = newWasmRuntime()
	}
	rt := e.rt
	e.mu.Unlock()
	code.once.Do(func() { code.err = code.build(rt) })
	return code, code.err
}

// kept returns the module that the agent's code imports under a name, compiled by the first of its runtimes.
func (e *wasmEngine) kept(name string, source func() ([]byte, error)) (*wasmCode, error) {
	var key [sha256.Size]byte
	copy(key[:], name)
	e.mu.Lock()
	code := e.codes[key]
	e.mu.Unlock()
	if code != nil {
		return code, code.err
	}
	data, err := source()
	if err != nil {
		return nil, err
	}
	if code, err = e.compile(data, true); err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.codes[key] = code
	e.mu.Unlock()
	return code, nil
}

// small compiles one of the modules that wasmbinary writes.
func (e *wasmEngine) small(binary []byte) (wazero.CompiledModule, error) {
	key := sha256.Sum256(binary)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.rt == nil {
		e.rt = newWasmRuntime()
	}
	if c := e.smalls[key]; c != nil {
		return c, nil
	}
	c, err := e.rt.CompileModule(context.Background(), binary)
	if err != nil {
		return nil, err
	}
	if e.smalls == nil || len(e.smalls) == smallLimit {
		// Closing gives back what the engine keeps for modules to come; instances go on.
		for _, old := range e.smalls {
			_ = old.Close(context.Background())
		}
		e.smalls = map[[sha256.Size]byte]wazero.CompiledModule{}
	}
	e.smalls[key] = c
	return c, nil
}

func newWasmRuntime() wazero.Runtime {
	config := wazero.NewRuntimeConfigInterpreter()
	if machineCodeAllowed() {
		config = wazero.NewRuntimeConfig()
	}
	// Code is stopped by the checks that wasmbinary puts into it: the engine's own cost a call in each turn of a loop, and
	// functions that call themselves have none.
	config = config.WithMemoryLimitPages(wasmMemoryLimit / wasmPage).WithDebugInfoEnabled(false).WithCoreFeatures(
		api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst | experimental.CoreFeaturesExceptionHandling)
	return wazero.NewRuntimeWithConfig(context.Background(), config)
}

// wasmConfig is that of every instance: it has no name, nothing is called by itself, and nothing of the world is there.
var wasmConfig = wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader)

func (c *wasmCode) build(rt wazero.Runtime) (err error) {
	defer func() {
		if x := recover(); x != nil { // the compiler gives up this way on what it cannot do
			err = fmt.Errorf("the module cannot be compiled: %v", x)
		}
	}()
	if c.module, err = wasmbinary.Parse(c.source); err != nil {
		return err
	}
	for _, i := range c.module.Imports {
		if i.Type.Kind == wasmbinary.Tag {
			return errors.New("imported tags are not supported")
		}
	}
	binary, err := c.module.Rewrite()
	if err != nil {
		return err
	}
	ctx := context.Background()
	if c.compiled, err = rt.CompileModule(ctx, binary); err != nil {
		return err
	}
	// A module that no one has any more is taken out of the engine too. The functions below must not hold it.
	runtime.SetFinalizer(c, (*wasmCode).close)
	parsed := c.module
	builder, functions := rt.NewHostModuleBuilder(wasmbinary.FuncModule), 0
	for i, imp := range c.module.Imports {
		if imp.Type.Kind != wasmbinary.Func {
			continue
		}
		functions++
		builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, caller api.Module, stack []uint64) {
			ctx.Value(wasmKey{}).(*wasmState).callImport(caller, parsed, i, stack)
		}), imp.Type.Func.Params, imp.Type.Func.Results).Export(itoa(i))
	}
	if functions > 0 {
		var host wazero.CompiledModule
		if host, err = builder.Compile(ctx); err != nil {
			return err
		}
		c.host, err = rt.InstantiateModule(ctx, host, wasmConfig)
	}
	return err
}

func (c *wasmCode) close() {
	_ = c.compiled.Close(context.Background())
	if c.host != nil {
		_ = c.host.Close(context.Background())
	}
}

// wasmKey is the key of the *wasmState in the context of every call.
type wasmKey struct{}

// wasmLinear is a memory in Go's heap, counted against the limit of its runtime. What JavaScript has of it stays valid
// after it has moved, and shows nothing any more.
type wasmLinear struct {
	w    *wasmState
	data []byte
}

// Reallocate implements experimental.LinearMemory.
func (l *wasmLinear) Reallocate(size uint64) []byte {
	if size <= uint64(cap(l.data)) {
		l.data = l.data[:size]
		return l.data
	}
	room := uint64(wasmMemoryLimit-l.w.used) + uint64(cap(l.data))
	if size > room {
		return nil
	}
	// Growing by half again spares most of the copies of a memory that grows page by page.
	grown := make([]byte, size, min(max(size, uint64(cap(l.data))*3/2), room))
	copy(grown, l.data)
	l.w.used += int64(cap(grown)) - int64(cap(l.data))
	l.data = grown
	return grown
}

// Free implements experimental.LinearMemory.
func (l *wasmLinear) Free() {
	l.w.used -= int64(cap(l.data))
	l.data = nil
}
