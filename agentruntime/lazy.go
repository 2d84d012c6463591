package agentruntime

import (
	"maps"
	"slices"

	"github.com/dop251/goja"
)

// lazyObject is a plain object whose members are made at their first touch.
type lazyObject struct {
	names []string
	mk    func(name string) goja.Value
	made  map[string]goja.Value // nil values: deleted
}

// lazy makes an object with the named members; mk makes one, and nil means that there is none.
func (r *realm) lazy(mk func(name string) goja.Value, names ...string) *goja.Object {
	return r.rt.NewDynamicObject(&lazyObject{names: names, mk: mk})
}

func (o *lazyObject) Get(key string) goja.Value {
	if v, ok := o.made[key]; ok {
		return v
	}
	v := o.mk(key)
	if v != nil {
		o.Set(key, v)
	}
	return v
}

func (o *lazyObject) Set(key string, v goja.Value) bool {
	if o.made == nil {
		o.made = make(map[string]goja.Value, 4)
	}
	o.made[key] = v
	return true
}

func (o *lazyObject) Has(key string) bool {
	if v, ok := o.made[key]; ok {
		return v != nil
	}
	return slices.Contains(o.names, key)
}

func (o *lazyObject) Delete(key string) bool {
	if o.Has(key) {
		o.Set(key, nil)
	}
	return true
}

func (o *lazyObject) Keys() []string {
	keys := slices.Clone(o.names)
	for _, k := range slices.Sorted(maps.Keys(o.made)) {
		if !slices.Contains(o.names, k) {
			keys = append(keys, k)
		}
	}
	return slices.DeleteFunc(keys, func(k string) bool { return !o.Has(k) })
}
