package agentruntime

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/dop251/goja"
	"golang.org/x/net/idna"
)

// processEnv is process.env: the agent's variables and secrets as text, as in Workers
// (https://developers.cloudflare.com/workers/configuration/environment-variables/#environment-variables-and-nodejs-compatibility).
// What code sets is there for the code of its isolate.
type processEnv struct {
	r   *realm
	set map[string]goja.Value // nil values: deleted
}

func (e *processEnv) Get(key string) goja.Value {
	if v, ok := e.set[key]; ok {
		return v
	}
	b := e.r.agent.bindings[key]
	if b == nil {
		return nil
	}
	switch b.Kind {
	case BindingVar, BindingJSON:
		return e.r.rt.ToValue(b.Value)
	case BindingSecret:
		return e.r.secret(b)
	}
	return nil
}

func (e *processEnv) Set(key string, v goja.Value) bool {
	if e.set == nil {
		e.set = make(map[string]goja.Value, 4)
	}
	if v != nil {
		v = e.r.rt.ToValue(v.String())
	}
	e.set[key] = v
	return true
}

func (e *processEnv) Has(key string) bool {
	if v, ok := e.set[key]; ok {
		return v != nil
	}
	b := e.r.agent.bindings[key]
	return b != nil && (b.Kind == BindingVar || b.Kind == BindingJSON || b.Kind == BindingSecret)
}

func (e *processEnv) Delete(key string) bool {
	e.Set(key, nil)
	return true
}

func (e *processEnv) Keys() []string {
	keys := slices.Clone(e.r.agent.names)
	for _, k := range slices.Sorted(maps.Keys(e.set)) {
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return slices.DeleteFunc(keys, func(k string) bool { return !e.Has(k) })
}

func init() {
	// processEnv() is process.env, the same object each time.
	nodeNatives["processEnv"] = func(r *realm, _ goja.FunctionCall) goja.Value {
		s := r.nodes()
		if s.env == nil {
			s.env = r.rt.NewDynamicObject(&processEnv{r: r})
		}
		return s.env
	}
	// made(fn) is an object whose members fn makes when they are looked for first; undefined is none.
	nodeNatives["made"] = func(r *realm, call goja.FunctionCall) goja.Value {
		make, _ := goja.AssertFunction(call.Argument(0))
		return r.lazy(func(name string) goja.Value {
			v, err := make(goja.Undefined(), r.rt.ToValue(name))
			if err != nil {
				panic(err)
			}
			if goja.IsUndefined(v) {
				return nil
			}
			return v
		})
	}
	// absent(module, name) is a function of the module that throws, undefined where Node.js has no such function.
	nodeNatives["absent"] = func(r *realm, call goja.FunctionCall) goja.Value {
		module, name := call.Argument(0).String(), call.Argument(1).String()
		for _, e := range nodeModules[module].exports {
			if e.name == name && e.kind == 'f' {
				return r.absentExport("node:"+module, e)
			}
		}
		return goja.Undefined()
	}
	// fillAbsent(module, object) gives the object what it lacks of the module, as things that throw when they are used.
	nodeNatives["fillAbsent"] = func(r *realm, call goja.FunctionCall) goja.Value {
		module, object := call.Argument(0).String(), call.Argument(1).(*goja.Object)
		for _, e := range nodeModules[module].exports {
			if object.Get(e.name) == nil {
				_ = object.Set(e.name, r.absentExport("node:"+module, e))
			}
		}
		return goja.Undefined()
	}
	nodeNatives["isIPv6"] = func(r *realm, call goja.FunctionCall) goja.Value {
		addr, err := netip.ParseAddr(call.Argument(0).String())
		return r.rt.ToValue(err == nil && addr.Is6())
	}
	nodeNatives["statusCodes"] = func(r *realm, _ goja.FunctionCall) goja.Value {
		o := r.rt.NewObject()
		for code := 100; code < 600; code++ {
			if text := http.StatusText(code); text != "" {
				_ = o.Set(itoa(code), text)
			}
		}
		return o
	}
	nodeNatives["builtinModules"] = func(r *realm, _ goja.FunctionCall) goja.Value {
		var names []any
		for _, name := range slices.Sorted(maps.Keys(nodeModules)) {
			if !nodeModules[name].internal {
				names = append(names, name)
			}
		}
		return r.rt.NewArray(names...)
	}
	nodeNatives["domainToASCII"] = func(r *realm, call goja.FunctionCall) goja.Value {
		host, err := parseHost(strings.TrimSpace(call.Argument(0).String()), true)
		if err != nil {
			host = ""
		}
		return r.rt.ToValue(host)
	}
	nodeNatives["domainToUnicode"] = func(r *realm, call goja.FunctionCall) goja.Value {
		host, err := parseHost(call.Argument(0).String(), true)
		if err != nil {
			return r.rt.ToValue("")
		}
		if text, err := idna.ToUnicode(host); err == nil {
			host = text
		}
		return r.rt.ToValue(host)
	}
}
