package agentruntime

import (
	"regexp"
	"sync"

	"github.com/dop251/goja"
)

// iteratorSource makes Iterator with its helpers (https://tc39.es/ecma262/#sec-iterator-objects), given the object that the
// engine's own iterators inherit from. The lazy methods are generators underneath: a generator's return closes what it reads.
const iteratorSource = `(proto) => {
	const callable = (f) => { if (typeof f !== "function") throw new TypeError(String(f) + " is not a function"); return f; };
	const self = (o) => { if (Object(o) !== o) throw new TypeError("Iterator helper called on a value that is not an object"); return o; };
	const close = (it) => { const f = it.return; if (f != null) f.call(it); };
	const checked = (it, check) => { try { return check(); } catch (e) { try { close(it); } catch {} throw e; } };
	const step = (it, next) => { const r = next.call(it); if (Object(r) !== r) throw new TypeError("Iterator result " + String(r) + " is not an object"); return r; };
	const count = (n) => {
		const v = Number(n);
		if (v !== v) throw new RangeError(String(n) + " must be positive");
		const whole = Math.trunc(v);
		if (whole < 0) throw new RangeError(String(n) + " must be positive");
		return whole;
	};
	const flattened = (v) => {
		if (Object(v) !== v) throw new TypeError(String(v) + " is not an object");
		const f = v[Symbol.iterator];
		const it = f == null ? v : f.call(v);
		if (Object(it) !== it) throw new TypeError(String(it) + " is not an object");
		return it;
	};
	const bodies = {
		*map(it, next, f) { let i = 0; for (let r; !(r = step(it, next)).done;) yield checked(it, () => f(r.value, i++)); },
		*filter(it, next, f) { let i = 0; for (let r; !(r = step(it, next)).done;) { const v = r.value; if (checked(it, () => f(v, i++))) yield v; } },
		*take(it, next, n) { for (let r; n > 0 && !(r = step(it, next)).done; n--) yield r.value; if (n === 0) close(it); },
		*drop(it, next, n) { for (; n > 0; n--) if (step(it, next).done) return; for (let r; !(r = step(it, next)).done;) yield r.value; },
		*flatMap(it, next, f) {
			let i = 0;
			for (let r; !(r = step(it, next)).done;) {
				const inner = checked(it, () => flattened(f(r.value, i++))), advance = inner.next;
				let open = true;
				try {
					for (let q; !(q = checked(it, () => step(inner, advance))).done;) { yield q.value; }
					open = false;
				} finally { if (open) close(inner); }
			}
		},
	};
	const helper = Object.setPrototypeOf({
		next() { const s = states.get(this); if (!s) throw new TypeError("Illegal invocation"); s.begun = true; return s.body.next(); },
		return() {
			const s = states.get(this);
			if (!s) throw new TypeError("Illegal invocation");
			if (!s.over) { s.over = true; const r = s.body.return(); if (!s.done.v) { s.done.v = true; close(s.it); } return r; }
			return { value: undefined, done: true };
		},
	}, proto);
	Object.defineProperty(helper, Symbol.toStringTag, { value: "Iterator Helper", configurable: true });
	const states = new WeakMap();
	const lazily = (body, it, arg) => {
		const done = { v: false }, next = it.next;
		const tracked = function* () { try { yield* body(it, next, arg); done.v = true; } catch (e) { done.v = true; throw e; } };
		const h = Object.create(helper);
		states.set(h, { body: tracked(), it, done, over: false });
		return h;
	};
	function Iterator() { if (new.target === Iterator || new.target === undefined) throw new TypeError("Abstract class Iterator not directly constructable"); }
	const methods = {
		map(f) { return lazily(bodies.map, self(this), checked(this, () => callable(f))); },
		filter(f) { return lazily(bodies.filter, self(this), checked(this, () => callable(f))); },
		flatMap(f) { return lazily(bodies.flatMap, self(this), checked(this, () => callable(f))); },
		take(n) { return lazily(bodies.take, self(this), checked(this, () => count(n))); },
		drop(n) { return lazily(bodies.drop, self(this), checked(this, () => count(n))); },
		reduce(f, ...initial) {
			self(this);
			checked(this, () => callable(f));
			const next = this.next;
			let i = 0, sum;
			if (initial.length) sum = initial[0];
			else {
				const r = step(this, next);
				if (r.done) throw new TypeError("Reduce of a done iterator with no initial value");
				sum = r.value;
				i = 1;
			}
			for (let r; !(r = step(this, next)).done;) { const v = r.value; sum = checked(this, () => f(sum, v, i++)); }
			return sum;
		},
		toArray() { self(this); const list = [], next = this.next; for (let r; !(r = step(this, next)).done;) list.push(r.value); return list; },
		forEach(f) { self(this); checked(this, () => callable(f)); const next = this.next; let i = 0; for (let r; !(r = step(this, next)).done;) { const v = r.value; checked(this, () => f(v, i++)); } },
		some(f) { self(this); checked(this, () => callable(f)); const next = this.next; let i = 0; for (let r; !(r = step(this, next)).done;) { const v = r.value; if (checked(this, () => f(v, i++))) { close(this); return true; } } return false; },
		every(f) { self(this); checked(this, () => callable(f)); const next = this.next; let i = 0; for (let r; !(r = step(this, next)).done;) { const v = r.value; if (!checked(this, () => f(v, i++))) { close(this); return false; } } return true; },
		find(f) { self(this); checked(this, () => callable(f)); const next = this.next; let i = 0; for (let r; !(r = step(this, next)).done;) { const v = r.value; if (checked(this, () => f(v, i++))) { close(this); return v; } } },
	};
	for (const name of Object.keys(methods)) Object.defineProperty(proto, name, { value: methods[name], writable: true, configurable: true });
	Object.defineProperty(proto, "constructor", { value: Iterator, writable: true, configurable: true });
	Object.defineProperty(proto, Symbol.toStringTag, { value: "Iterator", writable: true, configurable: true });
	Object.defineProperty(Iterator, "prototype", { value: proto, writable: false });
	const wrapped = Object.setPrototypeOf({
		next() { const s = sources.get(this); return s.next.call(s.it); },
		return() { const f = sources.get(this).it.return; return f === undefined ? { value: undefined, done: true } : f.call(sources.get(this).it); },
	}, proto);
	const sources = new WeakMap();
	Object.defineProperty(Iterator, "from", { writable: true, configurable: true, value: { from(o) {
		if (Object(o) !== o && typeof o !== "string") throw new TypeError(String(o) + " is not an object");
		const f = o[Symbol.iterator];
		const it = f == null ? o : f.call(o);
		if (Object(it) !== it) throw new TypeError(String(it) + " is not an object");
		if (proto.isPrototypeOf(it)) return it;
		const w = Object.create(wrapped);
		sources.set(w, { it, next: it.next });
		return w;
	} }.from });
	return Iterator;
}`

var iteratorProgram = sync.OnceValue(func() *goja.Program {
	return goja.MustCompile(internalPrefix+"iterator", iteratorSource, true)
})

// generatorProgram makes a function whose prototype inherits from that of the iterators, whatever code did to the members of
// other iterators.
var generatorProgram = goja.MustCompile(internalPrefix+"generator", "(function*(){})", true)

// iteratorPrototype is the object that the engine's iterators inherit from.
func (r *realm) iteratorPrototype() *goja.Object {
	fn, err := r.rt.RunProgram(generatorProgram)
	if err != nil {
		panic(err)
	}
	if proto := fn.(*goja.Object).Get("prototype").(*goja.Object).Prototype().Prototype(); proto != nil {
		return proto
	}
	return r.rt.GlobalObject().Prototype().Prototype() // code cut the chain
}

// makeIterator makes the global Iterator and puts the helpers on the iterators' prototype.
func (r *realm) makeIterator() goja.Value {
	proto := r.iteratorPrototype()
	if l, ok := proto.Prototype().Export().(*iteratorHelpers); ok {
		_ = proto.SetPrototype(l.above)
	}
	made, err := r.rt.RunProgram(iteratorProgram())
	if err != nil {
		panic(err)
	}
	fn, _ := goja.AssertFunction(made)
	class, err := fn(goja.Undefined(), proto)
	if err != nil {
		panic(err)
	}
	return class
}

// iteratorHelpers stands behind the iterators' prototype until code looks for a helper, and then makes them all.
type iteratorHelpers struct {
	r     *realm
	above *goja.Object
}

var helperNames = map[string]bool{
	"map": true, "filter": true, "take": true, "drop": true, "flatMap": true, "reduce": true, "toArray": true, "forEach": true,
	"some": true, "every": true, "find": true,
}

func (h *iteratorHelpers) Get(key string) goja.Value {
	if !helperNames[key] {
		return nil
	}
	h.r.global("Iterator")
	return h.r.iteratorPrototype().Get(key)
}

func (h *iteratorHelpers) Has(key string) bool         { return helperNames[key] }
func (h *iteratorHelpers) Set(string, goja.Value) bool { return false }
func (h *iteratorHelpers) Delete(string) bool          { return true }
func (h *iteratorHelpers) Keys() []string              { return nil }

// iterates finds code that may have an iterator in hand and call a helper of it.
var (
	iterates = regexp.MustCompile(`\.(?:values|keys|entries|matchAll|segment)\s*(?:\?\.)?\(|function\s*\*|\*\s*[\w$\[#]+.*\(|Symbol\.iterator`)
	helps    = regexp.MustCompile(`[.'"]\s*(?:map|filter|take|drop|flatMap|reduce|toArray|forEach|some|every|find)\b`)
)

func init() {
	globals["Iterator"] = (*realm).makeIterator
	supplies = append(supplies, &supply{fits: func(code string) bool { return helps.MatchString(code) && iterates.MatchString(code) }, put: func(r *realm) {
		proto := r.iteratorPrototype()
		_ = proto.SetPrototype(r.rt.NewDynamicObject(&iteratorHelpers{r, proto.Prototype()}))
	}})
}
