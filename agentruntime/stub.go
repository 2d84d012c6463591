package agentruntime

import (
	"context"

	"github.com/dop251/goja"
)

// maxMessage is the most bytes that the arguments, or the result, of one call may have.
const maxMessage = 32 << 20

// stub is what env.NS.get() gives: it has fetch, id and name, and every other member is a method of the actor.
type stub struct {
	r      *realm
	target Target
	id     *actorID
	made   map[string]goja.Value
}

func (r *realm) stub(b *Binding, id *actorID) goja.Value {
	return r.rt.NewDynamicObject(&stub{r: r, id: id, target: Target{Kind: TargetActor, Binding: b.Name, Actor: id.text, Name: id.name}})
}

// callable reports whether a member's name can be a method called from outside. Event handlers and what every object
// has can't.
func remoteMethod(name string) bool {
	switch name {
	case "", "constructor", "then", "catch", "finally", "fetch", "alarm", "webSocketMessage", "webSocketClose", "webSocketError", "connect",
		"dup", "toJSON", "toString", "valueOf", "toLocaleString", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable",
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
	switch key {
	case "id":
		return r.newNative("DurableObjectId", s.id)
	case "name":
		if s.id.name == "" {
			return goja.Undefined()
		}
		return r.rt.ToValue(s.id.name)
	case "fetch":
		return r.function(key, 1, func(r *realm, call goja.FunctionCall) goja.Value {
			return r.fetch(s.target, call.Argument(0), call.Argument(1))
		})
	}
	if !remoteMethod(key) {
		return nil
	}
	return r.function(key, 0, func(r *realm, call goja.FunctionCall) goja.Value { return s.call(key, call.Arguments) })
}

// call runs a method of the actor. Its result comes back as a copy, its exception as an Error with remote set.
func (s *stub) call(method string, args []goja.Value) goja.Value {
	r := s.r
	data, err := r.serializeList(args)
	if err == nil && len(data) > maxMessage {
		err = sizeError("the arguments of "+method, len(data), maxMessage)
	}
	if err != nil {
		return r.rejected(r.errorValue(err))
	}
	host, target := r.current().host(), s.target
	return r.send(func(ctx context.Context) (any, error) {
		return host.Call(ctx, target, method, data)
	}, func(res any) (goja.Value, error) {
		return r.deserialize(res.([]byte))
	})
}

// A stub can't be changed: an assignment would look as if it reached the actor.
func (s *stub) Set(string, goja.Value) bool { return false }
func (s *stub) Has(key string) bool {
	return key == "id" || key == "name" || key == "fetch" || remoteMethod(key)
}
func (s *stub) Delete(string) bool { return false }
func (s *stub) Keys() []string     { return nil }

// origin is env.ORIGIN: the next handler behind the agent.
func (r *realm) origin() goja.Value {
	return r.lazy(func(name string) goja.Value {
		if name != "fetch" {
			return nil
		}
		return r.function(name, 1, func(r *realm, call goja.FunctionCall) goja.Value {
			return r.fetch(Target{Kind: TargetOrigin}, call.Argument(0), call.Argument(1))
		})
	}, "fetch")
}
