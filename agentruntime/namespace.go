package agentruntime

import (
	"errors"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// actorID is the state of a DurableObjectId.
type actorID struct {
	id   durable.ID
	text string
	name string
}

func init() {
	(&webClass{
		name: "DurableObjectId",
		members: []member{
			{name: "toString", call: method(func(r *realm, id *actorID, _ goja.FunctionCall) goja.Value { return r.rt.ToValue(id.text) })},
			{name: "equals", length: 1, call: method(func(r *realm, id *actorID, call goja.FunctionCall) goja.Value {
				other, ok := nativeOf[*actorID](r, call.Argument(0))
				return r.rt.ToValue(ok && other.id == id.id)
			})},
			{name: "name", get: getter(func(r *realm, id *actorID) goja.Value {
				if id.name == "" {
					return goja.Undefined()
				}
				return r.rt.ToValue(id.name)
			})},
		},
	}).declare()
}

func (r *realm) idValue(id durable.ID, name string) *goja.Object {
	return r.newNative("DurableObjectId", &actorID{id: id, text: id.String(), name: name})
}

// namespace makes the value of a durable binding
// (https://developers.cloudflare.com/durable-objects/api/namespace/).
func (r *realm) namespace(b *Binding) goja.Value {
	idOf := func(v goja.Value) *actorID {
		id, ok := nativeOf[*actorID](r, v)
		if !ok {
			panic(r.typeError("get(): the argument is not a DurableObjectId; make one with idFromName, idFromString or newUniqueId"))
		}
		if _, err := b.ids.IDFromString(id.text); err != nil {
			panic(r.typeError("get(): the id belongs to another namespace"))
		}
		return id
	}
	return r.lazy(func(member string) goja.Value {
		var f func(call goja.FunctionCall) goja.Value
		switch member {
		case "idFromName":
			f = func(call goja.FunctionCall) goja.Value {
				r.need(call, 1, "idFromName")
				name := r.str(call.Argument(0))
				return r.idValue(b.ids.IDFromName(name), name)
			}
		case "idFromString":
			f = func(call goja.FunctionCall) goja.Value {
				r.need(call, 1, "idFromString")
				id, err := b.ids.IDFromString(r.str(call.Argument(0)))
				switch {
				case errors.Is(err, durable.ErrForeignID):
					panic(r.typeError("Durable Object ID is not valid for this namespace; use an id of " + b.Name))
				case err != nil:
					panic(r.typeError("Invalid Durable Object ID: must be 64 hex digits"))
				}
				return r.idValue(id, "")
			}
		case "newUniqueId":
			f = func(call goja.FunctionCall) goja.Value {
				r.refuseJurisdiction(optional(call.Argument(0), "jurisdiction"))
				id, err := b.ids.NewUniqueID(r.agent.rand)
				if err != nil {
					r.throw(err)
				}
				return r.idValue(id, "")
			}
		case "get":
			f = func(call goja.FunctionCall) goja.Value {
				id := idOf(call.Argument(0))
				return r.stub(b, id)
			}
		case "getByName":
			f = func(call goja.FunctionCall) goja.Value {
				r.need(call, 1, "getByName")
				name := r.str(call.Argument(0))
				id := b.ids.IDFromName(name)
				return r.stub(b, &actorID{id: id, text: id.String(), name: name})
			}
		case "jurisdiction":
			f = func(call goja.FunctionCall) goja.Value {
				r.refuseJurisdiction(call.Argument(0))
				return call.This
			}
		default:
			return nil
		}
		return r.function(member, 1, func(_ *realm, call goja.FunctionCall) goja.Value { return f(call) })
	}, "idFromName", "idFromString", "newUniqueId", "get", "getByName", "jurisdiction")
}

// refuseJurisdiction refuses to promise where data is kept: it is kept where the store is.
func (r *realm) refuseJurisdiction(v goja.Value) {
	if some(v) {
		panic(r.typeError("jurisdictions are not offered: an actor's data is kept where this server's store is"))
	}
}
