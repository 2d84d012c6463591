package agentruntime

import (
	"strings"
	"unicode/utf16"

	"github.com/dop251/goja"
)

// loneSurrogate says whether s holds a surrogate that is not part of a pair.
func loneSurrogate(s goja.String) bool {
	for i := 0; i < s.Length(); i++ {
		c := rune(s.CharAt(i))
		if !utf16.IsSurrogate(c) {
			continue
		}
		if i+1 < s.Length() && utf16.DecodeRune(c, rune(s.CharAt(i+1))) != 0xFFFD {
			i++
			continue
		}
		return true
	}
	return false
}

// receiverString is the string that a method of String.prototype works on.
func (r *realm) receiverString(this goja.Value, method string) goja.String {
	if goja.IsUndefined(this) || goja.IsNull(this) {
		panic(r.typeError("String.prototype." + method + " called on null or undefined"))
	}
	if s, ok := this.(goja.String); ok {
		return s
	}
	return this.ToString().(goja.String)
}

func init() {
	supplyScript("Object", `{
		groupBy(items, callback) {
			if (typeof callback !== "function") throw new TypeError("callback is not a function");
			const groups = Object.create(null);
			let index = 0;
			for (const item of items) {
				let key = callback(item, index++);
				if (typeof key !== "symbol") key = String(key);
				if (key in groups) groups[key].push(item);
				else groups[key] = [item];
			}
			return groups;
		},
	}`, "groupBy")
	supplyScript("Map", `{
		groupBy(items, callback) {
			if (typeof callback !== "function") throw new TypeError("callback is not a function");
			const groups = new Map();
			let index = 0;
			for (const item of items) {
				const key = callback(item, index++), group = groups.get(key);
				if (group === undefined) groups.set(key, [item]);
				else group.push(item);
			}
			return groups;
		},
	}`, "groupBy")
	supplyScript("Promise", `{
		withResolvers() {
			let resolve, reject;
			const promise = new this((yes, no) => { resolve = yes; reject = no; });
			return { promise, resolve, reject };
		},
		try(callback, ...args) {
			return new this((resolve, reject) => {
				try { resolve(callback(...args)); } catch (e) { reject(e); }
			});
		},
	}`, "withResolvers", ".try")
	supplyScript("Array", `{
		async fromAsync(items, map, receiver) {
			if (map !== undefined && typeof map !== "function") throw new TypeError("the map function is not a function");
			const made = typeof this === "function" ? this : Array;
			const from = items[Symbol.for("Symbol.asyncIterator")], plain = items[Symbol.iterator];
			if (from == null && plain == null) {
				const length = Math.min(Math.max(Math.trunc(Number(items.length)) || 0, 0), Number.MAX_SAFE_INTEGER);
				const list = new made(length);
				for (let i = 0; i < length; i++) {
					let item = await items[i];
					if (map) item = await map.call(receiver, item, i);
					Object.defineProperty(list, i, { value: item, writable: true, enumerable: true, configurable: true });
				}
				list.length = length;
				return list;
			}
			const list = new made(), iterator = from != null ? from.call(items) : plain.call(items);
			let i = 0;
			for (;; i++) {
				const step = from != null ? await iterator.next() : iterator.next();
				if (Object(step) !== step) throw new TypeError("the iterator's result is not an object");
				if (step.done) break;
				try {
					let item = from != null ? step.value : await step.value;
					if (map) item = await map.call(receiver, item, i);
					Object.defineProperty(list, i, { value: item, writable: true, enumerable: true, configurable: true });
				} catch (e) {
					try { await iterator.return?.(); } catch {}
					throw e;
				}
			}
			list.length = i;
			return list;
		},
	}`, "fromAsync")
	supplyScript("Object.prototype", `{
		__defineGetter__(name, get) {
			if (typeof get !== "function") throw new TypeError("the getter is not a function");
			Object.defineProperty(this, name, { get, enumerable: true, configurable: true });
		},
		__defineSetter__(name, set) {
			if (typeof set !== "function") throw new TypeError("the setter is not a function");
			Object.defineProperty(this, name, { set, enumerable: true, configurable: true });
		},
		__lookupGetter__(name) {
			for (let o = Object(this); o !== null; o = Object.getPrototypeOf(o)) {
				const p = Object.getOwnPropertyDescriptor(o, name);
				if (p) return p.get;
			}
		},
		__lookupSetter__(name) {
			for (let o = Object(this); o !== null; o = Object.getPrototypeOf(o)) {
				const p = Object.getOwnPropertyDescriptor(o, name);
				if (p) return p.set;
			}
		},
	}`, "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__")
	supplyScript("Date.prototype", `{
		getYear() { return this.getFullYear() - 1900; },
		setYear(year) {
			const y = Number(year);
			return this.setFullYear(y >= 0 && Math.trunc(y) <= 99 ? 1900 + Math.trunc(y) : y);
		},
		toGMTString() { return this.toUTCString(); },
	}`, "getYear", "setYear", "toGMTString")
	supplyMember("String.prototype", "isWellFormed", 0, func(r *realm, call goja.FunctionCall) goja.Value {
		return r.rt.ToValue(!loneSurrogate(r.receiverString(call.This, "isWellFormed")))
	})
	supplyMember("String.prototype", "toWellFormed", 0, func(r *realm, call goja.FunctionCall) goja.Value {
		s := r.receiverString(call.This, "toWellFormed")
		if !loneSurrogate(s) {
			return s
		}
		return r.rt.ToValue(s.String()) // which has U+FFFD for each lone surrogate
	})
	supplyMember("RegExp", ".escape", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		s, ok := call.Argument(0).(goja.String)
		if !ok {
			panic(r.typeError("RegExp.escape takes a string"))
		}
		return r.rt.ToValue(escapeRegExp(s.String()))
	})
	supplyMember("Error", "captureStackTrace", 2, func(r *realm, call goja.FunctionCall) goja.Value {
		obj, ok := call.Argument(0).(*goja.Object)
		if !ok {
			panic(r.typeError("Invalid argument"))
		}
		r.captureStackTrace(obj, call.Argument(1))
		return goja.Undefined()
	})
	supplies = append(supplies, &supply{text: "stackTraceLimit", put: func(r *realm) {
		_ = r.builtin("Error").DefineDataProperty("stackTraceLimit", r.rt.ToValue(10), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
	}})
	for name := range wellKnown {
		supplies = append(supplies, &supply{text: name, put: func(r *realm) {
			_ = r.builtin("Symbol").DefineDataProperty(name, r.registered("Symbol."+name), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
		}})
	}
}

// escapeRegExp is RegExp.escape (https://tc39.es/ecma262/#sec-regexp.escape).
func escapeRegExp(s string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i, c := range s {
		switch {
		case i == 0 && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'),
			strings.ContainsRune(",-=<>#&!%:;@~'`\" \ufeff\u00a0", c) && c < 0x100:
			b.WriteString(`\x`)
			b.WriteByte(hex[c>>4&15])
			b.WriteByte(hex[c&15])
		case strings.ContainsRune(`^$\.*+?()[]{}|/`, c):
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\t' || c == '\n' || c == '\v' || c == '\f' || c == '\r':
			b.WriteByte('\\')
			b.WriteByte("tnvfr"[c-'\t'])
		case c == '\u2028' || c == '\u2029' || c == '\ufeff' || c == '\u202f' || c == '\u205f' || c == '\u3000' || c == '\u1680' || c >= '\u2000' && c <= '\u200a':
			b.WriteString(`\u`)
			for shift := 12; shift >= 0; shift -= 4 {
				b.WriteByte(hex[c>>shift&15])
			}
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
