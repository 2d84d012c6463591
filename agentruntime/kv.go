package agentruntime

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/dop251/goja"
)

// Limits of a KV namespace (https://developers.cloudflare.com/kv/platform/limits/).
const (
	kvKeyBytes      = 512
	kvMetadataBytes = 1024
	kvValueBytes    = 25 << 20
	kvBulkKeys      = 100
	kvListKeys      = 1000
	kvShortestTTL   = 60 * time.Second
)

// kvNamespace makes the value of a KV binding (https://developers.cloudflare.com/kv/api/).
func (r *realm) kvNamespace(b *Binding) goja.Value {
	ns := &kvBinding{r: r, binding: b.Name}
	return r.lazy(func(name string) goja.Value {
		var f func(call goja.FunctionCall) goja.Value
		switch name {
		case "get":
			f = func(call goja.FunctionCall) goja.Value { return ns.get(call, false) }
		case "getWithMetadata":
			f = func(call goja.FunctionCall) goja.Value { return ns.get(call, true) }
		case "put":
			f = ns.put
		case "delete":
			f = func(call goja.FunctionCall) goja.Value {
				op := KVOp{Binding: b.Name, Verb: KVDelete, Key: ns.key(call.Argument(0))}
				ns.condition(&op, call.Argument(1))
				return ns.do(op, func(KVResult) (goja.Value, error) { return goja.Undefined(), nil })
			}
		case "list":
			f = ns.list
		default:
			return nil
		}
		return r.function(name, 1, func(r *realm, call goja.FunctionCall) (v goja.Value) {
			if ex := r.rt.Try(func() { v = f(call) }); ex != nil {
				return r.rejected(ex.Value())
			}
			return v
		})
	}, "get", "getWithMetadata", "put", "delete", "list")
}

type kvBinding struct {
	r       *realm
	binding string
}

func (ns *kvBinding) do(op KVOp, settle func(KVResult) (goja.Value, error)) goja.Value {
	inv := ns.r.current()
	host := inv.host()
	return ns.r.send(inv.connected(func(ctx context.Context) (any, error) { return host.KV(ctx, op) }),
		func(res any) (goja.Value, error) { return settle(res.(KVResult)) })
}

func (ns *kvBinding) key(v goja.Value) string {
	key := ns.r.str(v)
	switch {
	case goja.IsUndefined(v) || key == "":
		panic(ns.r.typeError("Key name cannot be empty."))
	case key == "." || key == "..":
		panic(ns.r.typeError(`"` + key + `" is not allowed as a key name.`))
	case len(key) > kvKeyBytes:
		panic(ns.r.typeError(fmt.Sprintf("the key has %d bytes, the limit is %d", len(key), kvKeyBytes)))
	}
	return key
}

// get reads one key, or a list of them into a Map.
func (ns *kvBinding) get(call goja.FunctionCall, withMetadata bool) goja.Value {
	r := ns.r
	kind := "text"
	if opts := call.Argument(1); some(opts) {
		if o, ok := opts.(*goja.Object); ok {
			if v := optional(o, "type"); v != nil {
				kind = r.str(v)
			}
		} else {
			kind = r.str(opts)
		}
	}
	switch kind {
	case "text", "json", "arrayBuffer", "stream":
	default:
		panic(r.typeError(`Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".`))
	}
	list, ok := call.Argument(0).(*goja.Object)
	if !ok || list.ClassName() != "Array" {
		op := KVOp{Binding: ns.binding, Verb: KVGet, Key: ns.key(call.Argument(0))}
		return ns.do(op, func(res KVResult) (goja.Value, error) { return ns.entry(res, kind, withMetadata) })
	}
	var keys []string
	r.each(list, func(v goja.Value) { keys = append(keys, ns.key(v)) })
	if len(keys) > kvBulkKeys {
		panic(r.typeError(fmt.Sprintf("get() was given %d keys, the limit is %d", len(keys), kvBulkKeys)))
	}
	if kind != "text" && kind != "json" {
		panic(r.typeError(`a get() of several keys returns "text" or "json" only`))
	}
	inv := r.current()
	host := inv.host()
	return r.send(inv.connected(func(ctx context.Context) (any, error) {
		found := make([]KVResult, len(keys))
		for i, key := range keys {
			var err error
			if found[i], err = host.KV(ctx, KVOp{Binding: ns.binding, Verb: KVGet, Key: key}); err != nil {
				return nil, err
			}
		}
		return found, nil
	}), func(res any) (goja.Value, error) {
		return r.mapOf(len(keys), func(i int) (goja.Value, goja.Value, error) {
			v, err := ns.entry(res.([]KVResult)[i], kind, withMetadata)
			return r.rt.ToValue(keys[i]), v, err
		})
	})
}

// entry turns what was found into the value that get, or getWithMetadata, gives.
func (ns *kvBinding) entry(res KVResult, kind string, withMetadata bool) (goja.Value, error) {
	r := ns.r
	value := goja.Null()
	if res.Found {
		switch kind {
		case "text":
			value = r.rt.ToValue(string(res.Value))
		case "json":
			v, err := r.parseJSON(string(res.Value))
			if err != nil {
				return nil, err
			}
			value = v
		case "arrayBuffer":
			value = r.arrayBuffer(bytes.Clone(res.Value))
		case "stream":
			value = r.responseValue(&Response{Status: 200, Body: io.NopCloser(bytes.NewReader(res.Value))}).Get("body")
		}
	}
	if !withMetadata {
		return value, nil
	}
	o := r.rt.NewObject()
	_ = o.Set("value", value)
	metadata := goja.Null()
	if len(res.Metadata) > 0 {
		v, err := r.parseJSON(string(res.Metadata))
		if err != nil {
			return nil, err
		}
		metadata = v
	}
	_ = o.Set("metadata", metadata)
	_ = o.Set("cacheStatus", goja.Null())
	version := goja.Null()
	if res.Found {
		version = r.rt.ToValue(res.Version)
	}
	_ = o.Set("version", version)
	return o, nil
}

// condition reads ifVersion: a version that getWithMetadata gave, or null for a key that must not be there. Workers do not have it.
func (ns *kvBinding) condition(op *KVOp, opts goja.Value) {
	if !some(opts) {
		return
	}
	v := optional(opts, "ifVersion")
	if v == nil || goja.IsUndefined(v) {
		return
	}
	op.If = true
	if goja.IsNull(v) {
		return
	}
	if op.IfVersion = ns.r.str(v); op.IfVersion == "" {
		panic(ns.r.typeError("ifVersion is a version that getWithMetadata() gave, or null for a key that must not be there."))
	}
}

func (ns *kvBinding) put(call goja.FunctionCall) goja.Value {
	r := ns.r
	r.need(call, 2, "put")
	op := KVOp{Binding: ns.binding, Verb: KVPut, Key: ns.key(call.Argument(0))}
	if opts := call.Argument(2); some(opts) {
		ns.expiry(&op, opts)
		ns.condition(&op, opts)
		if v := optional(opts, "metadata"); some(v) {
			text, err := r.stringifyJSON(v)
			if err != nil {
				r.throw(err)
			}
			if len(text) > kvMetadataBytes {
				panic(r.typeError(fmt.Sprintf("the metadata has %d bytes, the limit is %d", len(text), kvMetadataBytes)))
			}
			op.Metadata = []byte(text)
		}
	}
	check := func(n int) {
		if n > kvValueBytes {
			panic(r.typeError(fmt.Sprintf("the value has %d bytes, the limit is %d", n, kvValueBytes)))
		}
	}
	done := func(res KVResult) (goja.Value, error) {
		if op.If {
			return r.rt.ToValue(map[string]any{"version": res.Version}), nil
		}
		return goja.Undefined(), nil
	}
	v := call.Argument(1)
	if data, ok := bytesOf(v); ok {
		check(len(data))
		op.Value = bytes.Clone(data)
		return ns.do(op, done)
	}
	if o, ok := v.(*goja.Object); ok {
		return ns.putStream(op, o, done)
	}
	op.Value = []byte(r.str(v))
	check(len(op.Value))
	return ns.do(op, done)
}

// putStream writes the value that a ReadableStream, or anything else that can be a body, gives.
func (ns *kvBinding) putStream(op KVOp, v *goja.Object, done func(KVResult) (goja.Value, error)) goja.Value {
	r := ns.r
	made, err := r.rt.New(r.global("Response"), v)
	if err != nil {
		return r.rejected(r.errorValue(err))
	}
	resp, err := r.responseFrom(made)
	if err != nil {
		return r.rejected(r.errorValue(err))
	}
	inv := r.current()
	host := inv.host()
	ask := inv.connected(func(ctx context.Context) (any, error) { return host.KV(ctx, op) })
	return r.send(func(ctx context.Context) (any, error) {
		if resp.Body != nil {
			defer resp.Body.Close()
			data, err := io.ReadAll(io.LimitReader(resp.Body, kvValueBytes+1))
			if err != nil {
				return nil, err
			}
			if len(data) > kvValueBytes {
				return nil, fmt.Errorf("the value has more bytes than the limit of %d", kvValueBytes)
			}
			op.Value = data
		}
		return ask(ctx)
	}, func(res any) (goja.Value, error) { return done(res.(KVResult)) })
}

// expiry reads expiration (seconds since the epoch) and expirationTtl (seconds from now).
func (ns *kvBinding) expiry(op *KVOp, opts goja.Value) {
	r, now := ns.r, ns.r.agent.now()
	if v := optional(opts, "expirationTtl"); some(v) {
		ttl := time.Duration(v.ToInteger()) * time.Second
		if ttl < kvShortestTTL {
			panic(r.typeError(fmt.Sprintf("Invalid expiration_ttl of %d. Expiration TTL must be at least 60.", v.ToInteger())))
		}
		op.Expiration = now.Add(ttl)
	} else if v := optional(opts, "expiration"); some(v) {
		op.Expiration = time.Unix(v.ToInteger(), 0)
		if op.Expiration.Sub(now) < kvShortestTTL {
			panic(r.typeError(fmt.Sprintf("Invalid expiration of %d. Expiration times must be at least 60 seconds in the future.", v.ToInteger())))
		}
	}
}

func (ns *kvBinding) list(call goja.FunctionCall) goja.Value {
	r := ns.r
	op := KVOp{Binding: ns.binding, Verb: KVList, Limit: kvListKeys}
	opts := call.Argument(0)
	if v := optional(opts, "prefix"); some(v) {
		op.Prefix = r.str(v)
	}
	if v := optional(opts, "cursor"); some(v) {
		op.Cursor = r.str(v)
	}
	if v := optional(opts, "limit"); some(v) {
		op.Limit = int(v.ToInteger())
		if op.Limit < 1 || op.Limit > kvListKeys {
			panic(r.typeError(fmt.Sprintf("Invalid limit of %d: it is between 1 and %d", op.Limit, kvListKeys)))
		}
	}
	return ns.do(op, func(res KVResult) (goja.Value, error) {
		keys := make([]any, len(res.Keys))
		for i, k := range res.Keys {
			o := r.rt.NewObject()
			_ = o.Set("name", k.Name)
			if !k.Expiration.IsZero() {
				_ = o.Set("expiration", k.Expiration.Unix())
			}
			if len(k.Metadata) > 0 {
				v, err := r.parseJSON(string(k.Metadata))
				if err != nil {
					return nil, err
				}
				_ = o.Set("metadata", v)
			}
			keys[i] = o
		}
		o := r.rt.NewObject()
		_ = o.Set("keys", r.rt.NewArray(keys...))
		_ = o.Set("list_complete", res.Complete)
		if !res.Complete {
			_ = o.Set("cursor", res.Cursor)
		}
		_ = o.Set("cacheStatus", goja.Null())
		return o, nil
	})
}

// mapOf makes a Map of n entries.
func (r *realm) mapOf(n int, entry func(i int) (key, value goja.Value, err error)) (goja.Value, error) {
	m, err := r.rt.New(r.rt.Get("Map"))
	if err != nil {
		return nil, err
	}
	set, _ := goja.AssertFunction(m.Get("set"))
	for i := range n {
		k, v, err := entry(i)
		if err != nil {
			return nil, err
		}
		if _, err := set(m, k, v); err != nil {
			return nil, err
		}
	}
	return m, nil
}
