package agentruntime

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// BindingKind is what a binding gives to code.
type BindingKind uint8

const (
	// BindingVar is a string.
	BindingVar BindingKind = iota
	// BindingJSON is the value of a JSON text.
	BindingJSON
	// BindingSecret is a string that is opened, through Host.Secret, when an event first touches it.
	BindingSecret
	// BindingSecretStore has a get() that promises a string, which Host.Secret opens each time.
	BindingSecretStore
	// BindingKV is a key-value namespace.
	BindingKV
	// BindingDurable is a namespace of durable actors.
	BindingDurable
	// BindingAnalytics takes data points.
	BindingAnalytics
	// BindingService is an entrypoint of another agent.
	BindingService
	// BindingRateLimit counts uses of a key, through Host.Limit.
	BindingRateLimit
	// BindingAssets is a folder of static files, asked through Host.Fetch.
	BindingAssets
	// BindingWorkflow makes instances of a workflow, and steers them.
	BindingWorkflow
)

// Binding is one member of env.
type Binding struct {
	// Name is the member's name.
	Name string
	Kind BindingKind
	// Value is the text of a BindingVar or BindingJSON.
	Value string
	// Class is the class of a BindingDurable or a BindingWorkflow, and Agent the agent that exports it, empty for this one.
	Class, Agent string
	// Namespace is the name that the ids of actors belong to, those that stand for a workflow's instances included. Default: Class.
	Namespace string

	ids durable.Namespace
}

// originBinding is the member of env that is always there.
const originBinding = "ORIGIN"

func (a *Agent) bind(list []Binding) error {
	for _, b := range list {
		if b.Name == "" {
			return fmt.Errorf("a binding has no name")
		}
		if b.Name == originBinding || a.bindings[b.Name] != nil {
			return fmt.Errorf("two bindings are called %s", b.Name)
		}
		switch b.Kind {
		case BindingJSON:
			if !json.Valid([]byte(b.Value)) {
				return fmt.Errorf("the variable %s is not valid JSON", b.Name)
			}
		case BindingDurable, BindingWorkflow:
			if b.Class == "" {
				return fmt.Errorf("the binding %s names no class", b.Name)
			}
			if b.Namespace == "" {
				b.Namespace = b.Class
			}
			b.ids = durable.NewNamespace(b.Namespace)
		}
		a.bindings[b.Name] = &b
		a.names = append(a.names, b.Name)
	}
	a.names = append(a.names, originBinding)
	slices.Sort(a.names)
	return nil
}

// environment is env: each member is made at its first touch.
type environment struct {
	r    *realm
	made map[string]goja.Value // nil values: deleted
}

// env returns the isolate's env object.
func (r *realm) env() *goja.Object {
	if r.envObject == nil {
		r.envObject = r.rt.NewDynamicObject(&environment{r: r})
	}
	return r.envObject
}

func (e *environment) Get(key string) goja.Value {
	if v, ok := e.made[key]; ok {
		return v
	}
	if key == originBinding {
		return e.keep(key, e.r.origin())
	}
	b := e.r.agent.bindings[key]
	if b == nil {
		return nil
	}
	switch b.Kind {
	case BindingVar:
		return e.keep(key, e.r.rt.ToValue(b.Value))
	case BindingJSON:
		return e.keep(key, e.r.jsonValue(b.Value))
	case BindingSecret:
		return e.r.secret(b)
	case BindingSecretStore:
		return e.keep(key, e.r.storedSecret(b))
	case BindingKV:
		return e.keep(key, e.r.kvNamespace(b))
	case BindingDurable:
		return e.keep(key, e.r.namespace(b))
	case BindingWorkflow:
		return e.keep(key, e.r.workflow(b))
	case BindingService:
		return e.keep(key, e.r.service(Target{Kind: TargetService, Binding: b.Name}))
	case BindingRateLimit:
		return e.keep(key, e.r.rateLimit(b))
	case BindingAssets:
		return e.keep(key, e.r.fetcher(Target{Kind: TargetAssets, Binding: b.Name}))
	default:
		return e.keep(key, e.r.dataset(b))
	}
}

func (e *environment) keep(key string, v goja.Value) goja.Value {
	if e.made == nil {
		e.made = make(map[string]goja.Value, 4)
	}
	e.made[key] = v
	return v
}

func (e *environment) Set(key string, v goja.Value) bool {
	e.keep(key, v)
	return true
}

func (e *environment) Has(key string) bool {
	if v, ok := e.made[key]; ok {
		return v != nil
	}
	return key == originBinding || e.r.agent.bindings[key] != nil
}

func (e *environment) Delete(key string) bool {
	e.keep(key, nil)
	return true
}

func (e *environment) Keys() []string {
	keys := slices.Clone(e.r.agent.names)
	for _, k := range slices.Sorted(maps.Keys(e.made)) {
		if k != originBinding && e.r.agent.bindings[k] == nil {
			keys = append(keys, k)
		}
	}
	return slices.DeleteFunc(keys, func(k string) bool { return !e.Has(k) })
}

// secret opens a secret for the current invocation, which forgets it at its end.
func (r *realm) secret(b *Binding) goja.Value {
	inv := r.current()
	if v, ok := inv.secrets[b.Name]; ok {
		return v
	}
	text, err := inv.host().Secret(inv.ctx(), b.Name)
	if err != nil {
		r.throw(fmt.Errorf("open the secret %s: %w", b.Name, err))
	}
	if inv.secrets == nil {
		inv.secrets = make(map[string]goja.Value, 2)
	}
	v := r.rt.ToValue(text)
	inv.secrets[b.Name] = v
	return v
}

// jsonValue is what a text known to be valid JSON says, whatever code has made of JSON.parse.
func (r *realm) jsonValue(text string) goja.Value {
	v, err := r.parseJSON(text)
	if err != nil {
		r.throw(err)
	}
	return v
}

// dataset is an analytics binding (https://developers.cloudflare.com/analytics/analytics-engine/).
func (r *realm) dataset(b *Binding) goja.Value {
	o := r.rt.NewObject()
	_ = o.Set("writeDataPoint", r.function("writeDataPoint", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		p := &DataPoint{Binding: b.Name}
		if given, ok := call.Argument(0).(*goja.Object); ok {
			p.Indexes = r.texts(given.Get("indexes"))
			p.Blobs = r.texts(given.Get("blobs"))
			r.each(given.Get("doubles"), func(v goja.Value) { p.Doubles = append(p.Doubles, v.ToFloat()) })
		}
		switch {
		case len(p.Indexes) > 1:
			panic(r.typeError("writeDataPoint(): a point has at most 1 index, not " + fmt.Sprint(len(p.Indexes))))
		case len(p.Indexes) == 1 && len(p.Indexes[0]) > 96:
			panic(r.typeError("writeDataPoint(): an index has at most 96 bytes, not " + fmt.Sprint(len(p.Indexes[0]))))
		case len(p.Blobs) > 20:
			panic(r.typeError("writeDataPoint(): a point has at most 20 blobs, not " + fmt.Sprint(len(p.Blobs))))
		case len(p.Doubles) > 20:
			panic(r.typeError("writeDataPoint(): a point has at most 20 doubles, not " + fmt.Sprint(len(p.Doubles))))
		}
		r.current().host().Emit(Event{Point: p})
		return goja.Undefined()
	}))
	return o
}

func (r *realm) texts(list goja.Value) (out []string) {
	r.each(list, func(v goja.Value) {
		if v == nil || goja.IsNull(v) || goja.IsUndefined(v) {
			out = append(out, "")
			return
		}
		if data, ok := bytesOf(v); ok {
			out = append(out, string(data))
			return
		}
		out = append(out, v.String())
	})
	return out
}

// each goes through an iterable that may be missing.
func (r *realm) each(list goja.Value, fn func(goja.Value)) {
	if list == nil || goja.IsUndefined(list) || goja.IsNull(list) {
		return
	}
	r.rt.ForOf(list, func(v goja.Value) bool {
		fn(v)
		return true
	})
}

// stringifyJSON is JSON.stringify; it is empty for a value that has no JSON form.
func (r *realm) stringifyJSON(v goja.Value) (string, error) {
	json := r.rt.Get("JSON").(*goja.Object)
	stringify, _ := goja.AssertFunction(json.Get("stringify"))
	s, err := stringify(json, v)
	if err != nil || goja.IsUndefined(s) {
		return "", err
	}
	return s.String(), nil
}
