package agentruntime

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// actorID is a DurableObjectId (https://developers.cloudflare.com/durable-objects/api/id/). It has no class that code could
// reach: an object that makes its members itself costs a request much less.
type actorID struct {
	r    *realm
	id   durable.ID
	text string
	name string
	// namespace is the one that made the id, empty if that is not known.
	namespace string
	made      map[string]goja.Value
}

var actorIDType = reflect.TypeFor[*actorID]()

// actorIDOf returns the id that v is.
func actorIDOf(v goja.Value) (*actorID, bool) {
	obj, ok := v.(*goja.Object)
	if !ok || obj.ExportType() != actorIDType {
		return nil, false
	}
	id, ok := obj.Export().(*actorID)
	return id, ok
}

func (id *actorID) Get(key string) goja.Value {
	if v, ok := id.made[key]; ok {
		return v
	}
	r := id.r
	var f nativeFunc
	length := 0
	switch key {
	case "name":
		if id.name == "" {
			return goja.Undefined()
		}
		return r.rt.ToValue(id.name)
	case "toString":
		f = func(*realm, goja.FunctionCall) goja.Value { return r.rt.ToValue(id.text) }
	case "equals":
		length = 1
		f = func(_ *realm, call goja.FunctionCall) goja.Value {
			other, ok := actorIDOf(call.Argument(0))
			return r.rt.ToValue(ok && other.id == id.id)
		}
	default:
		return nil
	}
	v := r.function(key, length, f)
	id.Set(key, v)
	return v
}

func (id *actorID) Set(key string, v goja.Value) bool {
	if id.made == nil {
		id.made = make(map[string]goja.Value, 2)
	}
	id.made[key] = v
	return true
}

func (id *actorID) Has(key string) bool {
	_, ok := id.made[key]
	return ok || key == "toString" || key == "equals" || key == "name"
}

func (id *actorID) Delete(string) bool { return false }

func (id *actorID) Keys() []string {
	if id.name == "" {
		return nil
	}
	return []string{"name"}
}

func (r *realm) idValue(id *actorID) *goja.Object {
	id.r = r
	return r.rt.NewDynamicObject(id)
}

// namespace makes the value of a durable binding
// (https://developers.cloudflare.com/durable-objects/api/namespace/).
func (r *realm) namespace(b *Binding) goja.Value {
	idOf := func(v goja.Value) *actorID {
		id, ok := actorIDOf(v)
		if !ok {
			panic(r.typeError("get(): the argument is not a DurableObjectId; make one with idFromName, idFromString or newUniqueId"))
		}
		if id.namespace != b.Namespace {
			if _, err := b.ids.IDFromString(id.text); err != nil {
				panic(r.typeError("get(): the id belongs to another namespace"))
			}
		}
		return id
	}
	made := func(id durable.ID, name string) *goja.Object {
		return r.idValue(&actorID{id: id, text: id.String(), name: name, namespace: b.Namespace})
	}
	return r.lazy(func(member string) goja.Value {
		var f func(call goja.FunctionCall) goja.Value
		switch member {
		case "idFromName":
			f = func(call goja.FunctionCall) goja.Value {
				r.need(call, 1, "idFromName")
				name := r.str(call.Argument(0))
				return made(b.ids.IDFromName(name), name)
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
				return made(id, "")
			}
		case "newUniqueId":
			f = func(call goja.FunctionCall) goja.Value {
				r.refuseJurisdiction(optional(call.Argument(0), "jurisdiction"))
				id, err := b.ids.NewUniqueID(r.agent.rand)
				if err != nil {
					r.throw(err)
				}
				return made(id, "")
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
		case "list":
			f = func(call goja.FunctionCall) goja.Value { return r.listActors(b, call.Argument(0), made) }
		case "jurisdiction":
			f = func(call goja.FunctionCall) goja.Value {
				r.refuseJurisdiction(call.Argument(0))
				return call.This
			}
		default:
			return nil
		}
		return r.function(member, 1, func(_ *realm, call goja.FunctionCall) goja.Value { return f(call) })
	}, "idFromName", "idFromString", "newUniqueId", "get", "getByName", "list", "jurisdiction")
}

// maxActorList is how many ids list gives at once.
const maxActorList = 1000

// listActors is list of a namespace, which Workers do not have: the ids of the actors that store something, page by page.
func (r *realm) listActors(b *Binding, options goja.Value, made func(durable.ID, string) *goja.Object) goja.Value {
	r.dictionary(options, "the options of list()")
	limit, after := maxActorList, ""
	if v := optional(options, "limit"); some(v) {
		n := v.ToInteger()
		if n < 1 || n > maxActorList {
			panic(r.newError("RangeError", fmt.Sprintf("list(): the limit is %d, and must be from 1 to %d", n, maxActorList)))
		}
		limit = int(n)
	}
	if v := optional(options, "cursor"); some(v) {
		id, err := b.ids.IDFromString(r.str(v))
		if err != nil {
			panic(r.typeError("list(): the cursor is none that list() of this namespace has given"))
		}
		after = id.String()
	}
	host := r.current().host()
	return r.send(func(ctx context.Context) (any, error) {
		return host.Actors(ctx, b.Name, after, limit+1) // one more, to know whether that was all
	}, func(v any) (goja.Value, error) {
		found := v.([]string)
		complete := len(found) <= limit
		found = found[:min(limit, len(found))]
		ids := make([]any, len(found))
		for i, text := range found {
			id, err := b.ids.IDFromString(text)
			if err != nil {
				return nil, err
			}
			ids[i] = made(id, "")
		}
		page := r.rt.NewObject()
		_ = page.Set("ids", r.rt.NewArray(ids...))
		_ = page.Set("complete", complete)
		if !complete {
			_ = page.Set("cursor", found[len(found)-1])
		}
		return page, nil
	})
}

// refuseJurisdiction refuses to promise where data is kept: it is kept where the store is.
func (r *realm) refuseJurisdiction(v goja.Value) {
	if some(v) {
		panic(r.typeError("jurisdictions are not offered: an actor's data is kept where this server's store is"))
	}
}
