package agentruntime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// maxStorageKeys is how many keys one operation may name.
const maxStorageKeys = 128

// laterStorage are members of ctx.storage that this version does not have yet. Touching one says so.
var laterStorage = map[string]bool{
	"getCurrentBookmark": true, "getBookmarkForTime": true,
	"onNextSessionRestoreBookmark": true, "ensureReplicas": true, "disableReplicas": true,
}

// storageMembers are the operations that ctx.storage and a transaction have in common.
var storageMembers = []string{"get", "put", "delete", "list", "getAlarm", "setAlarm", "deleteAlarm"}

// storage makes an actor's ctx.storage (https://developers.cloudflare.com/durable-objects/api/storage-api/). Reads and
// writes of the buffer happen at once, so no event can come between: the input gate holds by itself. Durability is what the
// output gate waits for.
func (r *realm) storage(x *Actor) *goja.Object {
	s := &storageFace{r: r, x: x, store: x.storage}
	return r.lazy(func(name string) goja.Value {
		if laterStorage[name] {
			panic(r.newError("Error", "ctx.storage."+name+" is not built yet in this version"))
		}
		switch name {
		case "kv":
			return s.kv()
		case "sql":
			return s.sql()
		case "transaction":
			return s.promising(name, s.transaction)
		case "transactionSync":
			return s.r.function(name, 1, func(_ *realm, call goja.FunctionCall) goja.Value { return s.transactionSync(call) })
		case "sync":
			return s.promising(name, func(goja.FunctionCall) goja.Value { return s.sync() })
		case "deleteAll":
			return s.promising(name, func(goja.FunctionCall) goja.Value {
				s.check(s.x.db.DeleteAll())
				return r.resolved(goja.Undefined())
			})
		}
		return s.operation(name)
	}, append([]string{"kv", "sql", "transaction", "transactionSync", "sync", "deleteAll"}, storageMembers...)...)
}

// storageFace is the JavaScript face of one actor's storage.
type storageFace struct {
	r     *realm
	x     *Actor
	store *durable.Storage
	// nothing is the promise of undefined that every write answers with: a promise is the dearest part of a write.
	nothing goja.Value
}

// promising makes a method that answers with a promise. Misuse is thrown, a failed operation rejects.
func (s *storageFace) promising(name string, f func(goja.FunctionCall) goja.Value) goja.Value {
	return s.r.function(name, 1, func(r *realm, call goja.FunctionCall) (v goja.Value) {
		defer func() {
			if x := recover(); x != nil {
				failed, ok := x.(storageFailure)
				if !ok {
					panic(x)
				}
				v = r.rejected(r.errorValue(failed.err))
			}
		}()
		return f(call)
	})
}

// storageFailure carries an error of the store to the method that was called.
type storageFailure struct{ err error }

func (s *storageFace) check(err error) {
	if err == nil {
		return
	}
	var limit *durable.LimitError
	if errors.As(err, &limit) {
		err = &thrown{s.r.newError("RangeError", fmt.Sprintf("the %s has %d bytes, the limit is %d", limit.What, limit.Size, limit.Limit))}
	}
	panic(storageFailure{err})
}

func (s *storageFace) ctx() context.Context { return s.r.current().ctx() }

// operation makes one of storageMembers, nil for another name.
func (s *storageFace) operation(name string) goja.Value {
	var f func(call goja.FunctionCall) goja.Value
	switch name {
	case "get":
		f = func(call goja.FunctionCall) goja.Value { return s.get(call.Argument(0)) }
	case "put":
		f = s.put
	case "delete":
		f = func(call goja.FunctionCall) goja.Value { return s.remove(call.Argument(0)) }
	case "list":
		f = func(call goja.FunctionCall) goja.Value { return s.mapOf(s.list(call.Argument(0))) }
	case "getAlarm":
		f = func(goja.FunctionCall) goja.Value {
			if at, ok := s.store.Alarm(); ok {
				return s.r.rt.ToValue(at.UnixMilli())
			}
			return goja.Null()
		}
	case "setAlarm":
		f = s.setAlarm
	case "deleteAlarm":
		f = func(goja.FunctionCall) goja.Value {
			s.check(s.store.DeleteAlarm())
			return goja.Undefined()
		}
	default:
		return nil
	}
	return s.promising(name, func(call goja.FunctionCall) goja.Value {
		v := f(call)
		if !goja.IsUndefined(v) {
			return s.r.resolved(v)
		}
		if s.nothing == nil {
			s.nothing = s.r.resolved(v)
		}
		return s.nothing
	})
}

// keys reads a list of keys, nil if v is a single one.
func (s *storageFace) keys(v goja.Value, what string) []string {
	o, ok := v.(*goja.Object)
	if !ok || o.ClassName() != "Array" {
		return nil
	}
	keys := []string{}
	s.r.each(o, func(k goja.Value) { keys = append(keys, s.r.str(k)) })
	s.atMost(len(keys), what)
	return keys
}

func (s *storageFace) atMost(n int, what string) {
	if n > maxStorageKeys {
		panic(s.r.newError("RangeError", fmt.Sprintf("%s was given %d keys, the limit is %d", what, n, maxStorageKeys)))
	}
}

func (s *storageFace) key(v goja.Value, what string) string {
	if goja.IsUndefined(v) {
		panic(s.r.typeError(what + " was called without a key"))
	}
	return s.r.str(v)
}

// counts are those of the event under way.
func (s *storageFace) counts() *StorageCounts { return &s.r.current().stored }

func (s *storageFace) get(key goja.Value) goja.Value {
	s.counts().Reads++
	if keys := s.keys(key, "get()"); keys != nil {
		values, err := s.store.GetMany(s.ctx(), keys)
		s.check(err)
		var found []durable.Entry
		for i, v := range values {
			if v != nil {
				found = append(found, durable.Entry{Key: keys[i], Value: v})
			}
		}
		return s.mapOf(found)
	}
	data, ok, err := s.store.Get(s.ctx(), s.key(key, "get()"))
	s.check(err)
	if !ok {
		return goja.Undefined()
	}
	return s.value(data)
}

func (s *storageFace) value(data []byte) goja.Value {
	v, err := s.r.deserialize(data)
	s.check(err)
	return v
}

func (s *storageFace) mapOf(entries []durable.Entry) goja.Value {
	m, err := s.r.mapOf(len(entries), func(i int) (goja.Value, goja.Value, error) {
		v, err := s.r.deserialize(entries[i].Value)
		return s.r.rt.ToValue(entries[i].Key), v, err
	})
	s.check(err)
	return m
}

// put writes one key, or each property of an object.
func (s *storageFace) put(call goja.FunctionCall) goja.Value {
	r := s.r
	s.counts().Writes++
	entries, ok := call.Argument(0).(*goja.Object)
	if ok && !isStringObject(entries) {
		keys := entries.Keys()
		s.atMost(len(keys), "put()")
		list := make([]durable.Entry, 0, len(keys))
		for _, k := range keys {
			v := entries.Get(k)
			if v == nil || goja.IsUndefined(v) {
				panic(r.typeError("put() was called with undefined as the value of " + quote(k)))
			}
			list = append(list, durable.Entry{Key: k, Value: s.data(v)})
		}
		s.check(s.store.PutMany(list))
		return goja.Undefined()
	}
	v := call.Argument(1)
	if goja.IsUndefined(v) {
		panic(r.typeError("put() was called with undefined as the value"))
	}
	s.check(s.store.Put(s.key(call.Argument(0), "put()"), s.data(v)))
	return goja.Undefined()
}

func isStringObject(o *goja.Object) bool { return o.ClassName() == "String" }

func (s *storageFace) data(v goja.Value) []byte {
	data, err := s.r.serialize(v)
	if err != nil {
		s.r.throw(err)
	}
	return data
}

func (s *storageFace) remove(key goja.Value) goja.Value {
	s.counts().Writes++
	if keys := s.keys(key, "delete()"); keys != nil {
		n, err := s.store.Delete(s.ctx(), keys...)
		s.check(err)
		return s.r.rt.ToValue(n)
	}
	n, err := s.store.Delete(s.ctx(), s.key(key, "delete()"))
	s.check(err)
	return s.r.rt.ToValue(n > 0)
}

// list reads the options of list() and what they select.
func (s *storageFace) list(opts goja.Value) []durable.Entry {
	r := s.r
	s.counts().Reads++
	var rg durable.Range
	r.dictionary(opts, "the options of list()")
	set := func(field *string, name string) bool {
		v := optional(opts, name)
		if some(v) {
			*field = r.str(v)
			return true
		}
		return false
	}
	started := set(&rg.Start, "start")
	if set(&rg.StartAfter, "startAfter") && started {
		panic(r.typeError("list() cannot be called with both start and startAfter values."))
	}
	set(&rg.End, "end")
	set(&rg.Prefix, "prefix")
	if v := optional(opts, "reverse"); v != nil {
		rg.Reverse = v.ToBoolean()
	}
	if v := optional(opts, "limit"); some(v) {
		n := v.ToInteger()
		if n <= 0 {
			panic(r.typeError("List limit must be positive."))
		}
		rg.Limit = int(n)
	}
	entries, err := s.store.List(s.ctx(), rg)
	s.check(err)
	return entries
}

// setAlarm takes milliseconds since the epoch or a Date.
func (s *storageFace) setAlarm(call goja.FunctionCall) goja.Value {
	r := s.r
	if _, ok := goja.AssertFunction(r.member(s.x.prototype(), "alarm")); !ok && !s.x.workflow {
		panic(r.typeError("the class " + s.x.class + " must have an alarm() handler in order to call setAlarm()"))
	}
	ms := call.Argument(0).ToFloat()
	if ms != ms || ms < 0 || ms > 8.64e15 {
		panic(r.typeError("setAlarm() was called with something that is neither a Date nor a number of milliseconds since the epoch"))
	}
	s.check(s.store.SetAlarm(time.UnixMilli(int64(ms))))
	return goja.Undefined()
}

// prototype is the class's prototype, which is there before the instance is.
func (x *Actor) prototype() *goja.Object {
	if class, ok := x.r.member(x.r.exports(), x.class).(*goja.Object); ok {
		if proto, ok := x.r.member(class, "prototype").(*goja.Object); ok {
			return proto
		}
	}
	return x.r.rt.NewObject()
}

// sync waits until everything written so far is durable.
func (s *storageFace) sync() goja.Value {
	open := make(chan error, 1)
	s.r.gateOutput(func(err error) { open <- err })
	return s.r.start(func(ctx context.Context) (any, error) {
		select {
		case err := <-open:
			return nil, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}, nil)
}

// kv is the synchronous part of the storage.
func (s *storageFace) kv() goja.Value {
	r := s.r
	return r.lazy(func(name string) goja.Value {
		var f func(call goja.FunctionCall) goja.Value
		switch name {
		case "get":
			f = func(call goja.FunctionCall) goja.Value {
				s.counts().Reads++
				data, ok, err := s.store.Get(s.ctx(), s.key(call.Argument(0), "get()"))
				s.check(err)
				if !ok {
					return goja.Undefined()
				}
				return s.value(data)
			}
		case "put":
			f = func(call goja.FunctionCall) goja.Value {
				if goja.IsUndefined(call.Argument(1)) {
					panic(r.typeError("put() was called with undefined as the value"))
				}
				s.counts().Writes++
				s.check(s.store.Put(s.key(call.Argument(0), "put()"), s.data(call.Argument(1))))
				return goja.Undefined()
			}
		case "delete":
			f = func(call goja.FunctionCall) goja.Value {
				s.counts().Writes++
				n, err := s.store.Delete(s.ctx(), s.key(call.Argument(0), "delete()"))
				s.check(err)
				return r.rt.ToValue(n > 0)
			}
		case "compareAndSet":
			f = s.compareAndSet
		case "list":
			f = func(call goja.FunctionCall) goja.Value {
				m := s.mapOf(s.list(call.Argument(0))).(*goja.Object)
				entries, _ := goja.AssertFunction(m.Get("entries"))
				v, err := entries(m)
				s.check(err)
				return v
			}
		default:
			return nil
		}
		return r.function(name, 1, func(r *realm, call goja.FunctionCall) goja.Value {
			defer func() {
				if x := recover(); x != nil {
					if failed, ok := x.(storageFailure); ok {
						r.throw(failed.err)
					}
					panic(x)
				}
			}()
			return f(call)
		})
	}, "get", "put", "delete", "list", "compareAndSet")
}

// compareAndSet writes a value, undefined for none, if the key's value is the expected one, undefined for none, and reports whether it did. Workers do
// not have it. Values are compared as they are stored.
func (s *storageFace) compareAndSet(call goja.FunctionCall) goja.Value {
	r := s.r
	if len(call.Arguments) < 3 {
		panic(r.typeError("compareAndSet() takes a key, the expected value and the new one; undefined stands for none"))
	}
	key, expected, value := s.key(call.Argument(0), "compareAndSet()"), call.Argument(1), call.Argument(2)
	var data []byte
	if !goja.IsUndefined(value) {
		data = s.data(value)
	}
	s.counts().Reads++
	s.counts().Writes++
	stored, present, err := s.store.Get(s.ctx(), key)
	s.check(err)
	if present == goja.IsUndefined(expected) || present && !s.stores(stored, s.data(expected)) {
		return r.rt.ToValue(false)
	}
	if data == nil {
		_, err = s.store.Delete(s.ctx(), key)
	} else {
		err = s.store.Put(key, data)
	}
	s.check(err)
	return r.rt.ToValue(true)
}

// stores reports whether stored bytes are those of a value. An older version may have written the same value in another way.
func (s *storageFace) stores(stored, data []byte) bool {
	return bytes.Equal(stored, data) || bytes.Equal(s.data(s.value(stored)), data)
}
