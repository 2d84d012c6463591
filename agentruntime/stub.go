package agentruntime

import (
	"context"

	"github.com/dop251/goja"
)

// maxMessage is the most bytes that the arguments, or the result, of one call may have.
const maxMessage = 32 << 20

// stub is what env.NS.get() and a service binding give: it has fetch and, of an actor, id and name; every other member
// is one of the actor or the entrypoint.
type stub struct {
	r      *realm
	target Target
	id     *actorID // nil: of an entrypoint
	made   map[string]goja.Value
}

func (r *realm) stub(b *Binding, id *actorID) goja.Value {
	return r.rt.NewDynamicObject(&stub{r: r, id: id, target: Target{Kind: TargetActor, Binding: b.Name, Actor: id.text, Name: id.name}})
}

// service is the value of a service binding
// (https://developers.cloudflare.com/workers/runtime-apis/bindings/service-bindings/).
func (r *realm) service(target Target) goja.Value {
	return r.rt.NewDynamicObject(&stub{r: r, target: target})
}

// remoteMethod reports whether a member's name can be used from outside. Event handlers and what every object has
// can't.
func remoteMethod(name string) bool {
	switch name {
	case "", "constructor", "then", "catch", "finally", "fetch", "alarm", "webSocketMessage", "webSocketClose", "webSocketError", "connect",
		"scheduled", "tail", "dup", "toJSON", "toString", "valueOf", "toLocaleString", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable",
		"ctx", "env", "__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__":
		return false
	}
	return name[0] != '#'
}

func (s *stub) Get(key string) goja.Value {
	if v, ok := s.made[key]; ok {
		return v
	}
	v := s.member(key)
	if v != nil {
		if s.made == nil {
			s.made = make(map[string]goja.Value, 2)
		}
		s.made[key] = v
	}
	return v
}

func (s *stub) member(key string) goja.Value {
	r := s.r
	switch {
	case key == "id" && s.id != nil:
		return r.idValue(s.id)
	case key == "name" && s.id != nil:
		if s.id.name == "" {
			return goja.Undefined()
		}
		return r.rt.ToValue(s.id.name)
	case key == "fetch":
		return r.function(key, 1, func(r *realm, call goja.FunctionCall) goja.Value {
			return r.fetch(s.target, call.Argument(0), call.Argument(1))
		})
	case key == "connect" && s.id == nil:
		return r.function(key, 1, func(r *realm, _ goja.FunctionCall) goja.Value {
			panic(r.typeError("connect() of a service binding is not built: use fetch(), or a method"))
		})
	}
	if !remoteMethod(key) {
		return nil
	}
	return r.remoteMember([]string{key}, s)
}

// send implements sender.
func (s *stub) send(path []string, args []goja.Value, read bool) goja.Value {
	host := s.r.current().host()
	return s.r.callRemote(func(ctx context.Context, call Call) (Value, error) {
		return host.Call(ctx, s.target, call)
	}, path, args, read)
}

// A stub can't be changed: an assignment would look as if it reached the actor.
func (s *stub) Set(string, goja.Value) bool { return false }
func (s *stub) Has(key string) bool {
	return s.id != nil && (key == "id" || key == "name") || key == "fetch" || remoteMethod(key)
}
func (s *stub) Delete(string) bool { return false }
func (s *stub) Keys() []string     { return nil }

// origin is env.ORIGIN: the next handler behind the agent.
func (r *realm) origin() goja.Value { return r.fetcher(Target{Kind: TargetOrigin}) }

// fetcher makes an object whose one member is fetch.
func (r *realm) fetcher(target Target) goja.Value {
	return r.lazy(func(name string) goja.Value {
		if name != "fetch" {
			return nil
		}
		return r.function(name, 1, func(r *realm, call goja.FunctionCall) goja.Value {
			return r.fetch(target, call.Argument(0), call.Argument(1))
		})
	}, "fetch")
}
