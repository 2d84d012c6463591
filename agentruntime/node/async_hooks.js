// node:async_hooks (https://nodejs.org/api/async_context.html). The values follow the code in the runtime itself; createHook
// and its like would need every promise to call back, and are absent.

class AsyncLocalStorage {
	#enabled = true;
	#defaultValue;
	#name;

	constructor(options = {}) {
		this.#defaultValue = options.defaultValue;
		this.#name = options.name === undefined ? "" : String(options.name);
	}

	get name() { return this.#name; }

	getStore() {
		const store = native.asyncGet(this);
		return store === undefined ? this.#defaultValue : store;
	}

	run(store, callback, ...args) { return native.asyncRun(this, store, callback, ...args); }
	exit(callback, ...args) { return native.asyncRun(this, undefined, callback, ...args); }
	enterWith(store) { native.asyncEnter(this, store); }
	disable() { native.asyncEnter(this, undefined); }

	static bind(fn) { return AsyncResource.bind(fn); }

	static snapshot() {
		const captured = native.asyncCapture();
		return (fn, ...args) => native.asyncWithin(captured, fn, undefined, ...args);
	}
}

let lastId = 1;

class AsyncResource {
	#captured = native.asyncCapture();
	#id = ++lastId;
	#type;

	constructor(type, options) {
		if (typeof type !== "string") {
			throw Object.assign(new TypeError('The "type" argument must be of type string'), { code: "ERR_INVALID_ARG_TYPE" });
		}
		this.#type = type;
	}

	get type() { return this.#type; }
	asyncId() { return this.#id; }
	triggerAsyncId() { return 1; }
	emitDestroy() { return this; }

	runInAsyncScope(fn, thisArg, ...args) { return native.asyncWithin(this.#captured, fn, thisArg, ...args); }

	bind(fn) { return bound(this.#captured, fn, this); }

	static bind(fn, type, thisArg) {
		return bound(native.asyncCapture(), fn, undefined, thisArg);
	}
}

function bound(captured, fn, resource, thisArg) {
	if (typeof fn !== "function") {
		throw Object.assign(new TypeError('The "fn" argument must be of type function'), { code: "ERR_INVALID_ARG_TYPE" });
	}
	const wrapped = thisArg === undefined
		? function(...args) { return native.asyncWithin(captured, fn, this, ...args); }
		: (...args) => native.asyncWithin(captured, fn, thisArg, ...args);
	Object.defineProperty(wrapped, "length", { value: fn.length, configurable: true });
	return wrapped;
}

module.exports = {
	AsyncLocalStorage,
	AsyncResource,
	executionAsyncId: () => 0,
	triggerAsyncId: () => 0,
	executionAsyncResource: () => ({}),
};
