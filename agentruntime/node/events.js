// node:events (https://nodejs.org/api/events.html).
const { coded, invalidType, needFunction, needNumber, needSignal, AbortError } = require("internal_errors");

const captureRejections = Symbol.for("nodejs.rejection");
const errorMonitor = Symbol("events.errorMonitor");
const asyncIterator = Symbol.for("Symbol.asyncIterator");
let defaultMaxListeners = 10;
let captureByDefault = false;

// A function and not a class, for those who call it on an object of their own.
function EventEmitter(options) {
	EventEmitter.init.call(this, options);
}

EventEmitter.prototype._events = undefined;
EventEmitter.prototype._eventsCount = 0;
EventEmitter.prototype._maxListeners = undefined;

EventEmitter.init = function(options) {
	if (this._events === undefined || this._events === Object.getPrototypeOf(this)._events) {
		this._events = Object.create(null);
		this._eventsCount = 0;
	}
	this._maxListeners ||= undefined;
	if (options?.captureRejections || captureByDefault) {
		hide(this, "_captures", true);
	}
};

function hide(target, name, value) {
	Object.defineProperty(target, name, { value, writable: true, configurable: true });
}

// methods defines functions on a prototype that are not listed.
function methods(prototype, table) {
	for (const name of Reflect.ownKeys(table)) {
		Object.defineProperty(prototype, name, { value: table[name], writable: true, configurable: true });
	}
}

function add(emitter, type, listener, first) {
	needFunction(listener, "listener");
	let events = emitter._events;
	if (events === undefined) {
		events = emitter._events = Object.create(null);
		emitter._eventsCount = 0;
	} else if (events.newListener !== undefined) {
		emitter.emit("newListener", type, listener.listener ?? listener);
		events = emitter._events;
	}
	const had = events[type];
	if (had === undefined) {
		events[type] = listener;
		emitter._eventsCount++;
		return emitter;
	}
	// A list is never changed in place: emit may be going through it.
	const list = typeof had === "function" ? [had] : had;
	const next = first ? [listener, ...list] : [...list, listener];
	events[type] = next;
	const most = limit(emitter);
	if (most > 0 && next.length > most && !list.warned) {
		next.warned = true;
		console.warn(`MaxListenersExceededWarning: Possible EventEmitter memory leak detected. ${next.length} ${String(type)} listeners added. Use emitter.setMaxListeners() to increase limit`);
	} else if (list.warned) {
		next.warned = true;
	}
	return emitter;
}

const limit = (emitter) => emitter._maxListeners === undefined ? defaultMaxListeners : emitter._maxListeners;

function onceWrapper(emitter, type, listener) {
	needFunction(listener, "listener");
	let fired = false;
	const wrapper = function(...args) {
		if (!fired) {
			fired = true;
			emitter.removeListener(type, wrapper);
			return Reflect.apply(listener, emitter, args);
		}
	};
	wrapper.listener = listener;
	return wrapper;
}

function rejected(emitter, err, type, args) {
	if (typeof emitter[captureRejections] === "function") {
		emitter[captureRejections](err, type, ...args);
		return;
	}
	const captures = emitter._captures;
	emitter._captures = false;
	try {
		emitter.emit("error", err);
	} finally {
		emitter._captures = captures;
	}
}

function called(emitter, fn, type, args) {
	const result = Reflect.apply(fn, emitter, args);
	if (emitter._captures && result != null && typeof result.then === "function") {
		result.then(undefined, (err) => queueMicrotask(() => rejected(emitter, err, type, args)));
	}
}

function unhandled(emitter, args) {
	const err = args[0];
	if (err instanceof Error) {
		throw err;
	}
	let shown;
	try {
		shown = native.inspect(err);
	} catch {
		shown = String(err);
	}
	throw coded(Error, "ERR_UNHANDLED_ERROR", `Unhandled error. (${shown})`, { context: err });
}

function listeners(emitter, type, unwrap) {
	const had = emitter._events?.[type];
	if (had === undefined) {
		return [];
	}
	const list = typeof had === "function" ? [had] : [...had];
	return unwrap ? list.map((fn) => fn.listener ?? fn) : list;
}

methods(EventEmitter.prototype, {
	setMaxListeners(n) {
		needNumber(n, "setMaxListeners", 0);
		this._maxListeners = n;
		return this;
	},
	getMaxListeners() { return limit(this); },
	emit(type, ...args) {
		const events = this._events;
		if (type === "error") {
			if (events?.[errorMonitor] !== undefined) {
				this.emit(errorMonitor, ...args);
			}
			if (events?.error === undefined) {
				unhandled(this, args);
			}
		}
		const had = events?.[type];
		if (had === undefined) {
			return false;
		}
		if (typeof had === "function") {
			called(this, had, type, args);
		} else {
			for (let i = 0; i < had.length; i++) {
				called(this, had[i], type, args);
			}
		}
		return true;
	},
	addListener(type, listener) { return add(this, type, listener, false); },
	on(type, listener) { return add(this, type, listener, false); },
	prependListener(type, listener) { return add(this, type, listener, true); },
	once(type, listener) { return this.on(type, onceWrapper(this, type, listener)); },
	prependOnceListener(type, listener) { return this.prependListener(type, onceWrapper(this, type, listener)); },
	removeListener(type, listener) {
		needFunction(listener, "listener");
		const events = this._events;
		const had = events?.[type];
		if (had === undefined) {
			return this;
		}
		if (had === listener || had.listener === listener) {
			delete events[type];
			this._eventsCount--;
		} else if (typeof had === "function") {
			return this;
		} else {
			const at = had.findLastIndex((fn) => fn === listener || fn.listener === listener);
			if (at < 0) {
				return this;
			}
			const next = had.filter((_, i) => i !== at);
			next.warned = had.warned;
			events[type] = next.length === 1 ? next[0] : next;
		}
		if (events.removeListener !== undefined) {
			this.emit("removeListener", type, listener.listener ?? listener);
		}
		return this;
	},
	off(type, listener) { return this.removeListener(type, listener); },
	removeAllListeners(type) {
		const events = this._events;
		if (events === undefined) {
			return this;
		}
		if (events.removeListener === undefined) {
			if (arguments.length === 0) {
				this._events = Object.create(null);
				this._eventsCount = 0;
			} else if (events[type] !== undefined) {
				delete events[type];
				this._eventsCount--;
			}
			return this;
		}
		if (arguments.length === 0) {
			for (const key of Reflect.ownKeys(events)) {
				if (key !== "removeListener") {
					this.removeAllListeners(key);
				}
			}
			return this.removeAllListeners("removeListener");
		}
		for (const fn of listeners(this, type, false).reverse()) {
			this.removeListener(type, fn);
		}
		return this;
	},
	listeners(type) { return listeners(this, type, true); },
	rawListeners(type) { return listeners(this, type, false); },
	listenerCount(type, listener) {
		const all = listeners(this, type, false);
		return listener === undefined ? all.length : all.filter((fn) => fn === listener || fn.listener === listener).length;
	},
	eventNames() { return this._eventsCount > 0 ? Reflect.ownKeys(this._events) : []; },
});

// listen and unlisten work on emitters and on event targets.
function listen(target, type, listener, options) {
	if (typeof target?.on === "function") {
		options?.once ? target.once(type, listener) : target.on(type, listener);
	} else if (typeof target?.addEventListener === "function") {
		target.addEventListener(type, listener, options);
	} else {
		throw invalidType("emitter", "an instance of EventEmitter or EventTarget", target);
	}
}

function unlisten(target, type, listener) {
	if (typeof target.removeListener === "function") {
		target.removeListener(type, listener);
	} else {
		target.removeEventListener(type, listener);
	}
}

function once(emitter, type, options = {}) {
	const { signal } = options;
	return new Promise((resolve, reject) => {
		needSignal(signal, "options.signal");
		const aborted = () => new AbortError(undefined, { cause: signal.reason });
		if (signal?.aborted) {
			throw aborted();
		}
		const watched = type !== "error" && typeof emitter.once === "function";
		const end = () => {
			unlisten(emitter, type, done);
			if (watched) {
				emitter.removeListener("error", failed);
			}
			signal?.removeEventListener("abort", abort);
		};
		const done = (...args) => { end(); resolve(args); };
		const failed = (err) => { end(); reject(err); };
		const abort = () => { end(); reject(aborted()); };
		listen(emitter, type, done, { once: true });
		if (watched) {
			emitter.once("error", failed);
		}
		signal?.addEventListener("abort", abort, { once: true });
	});
}

function on(emitter, type, options = {}) {
	const { signal, close = [] } = options;
	needSignal(signal, "options.signal");
	if (signal?.aborted) {
		throw new AbortError(undefined, { cause: signal.reason });
	}
	const events = [];
	const waiting = [];
	let failure, finished = false;
	const event = (...args) => {
		waiting.length > 0 ? waiting.shift().resolve({ value: args, done: false }) : events.push(args);
	};
	const failed = (err) => {
		failure = { err };
		waiting.length > 0 ? waiting.shift().reject(take()) : undefined;
		finish();
	};
	const take = () => {
		const { err } = failure;
		failure = undefined;
		return err;
	};
	const abort = () => failed(new AbortError(undefined, { cause: signal.reason }));
	const finish = () => {
		if (!finished) {
			finished = true;
			unlisten(emitter, type, event);
			if (type !== "error" && typeof emitter.removeListener === "function") {
				emitter.removeListener("error", failed);
			}
			for (const name of close) {
				unlisten(emitter, name, finish);
			}
			signal?.removeEventListener("abort", abort);
		}
		for (const w of waiting.splice(0)) {
			w.resolve({ value: undefined, done: true });
		}
		return Promise.resolve({ value: undefined, done: true });
	};
	listen(emitter, type, event);
	if (type !== "error" && typeof emitter.on === "function") {
		emitter.on("error", failed);
	}
	for (const name of close) {
		listen(emitter, name, finish);
	}
	signal?.addEventListener("abort", abort, { once: true });
	return {
		next() {
			if (events.length > 0) {
				return Promise.resolve({ value: events.shift(), done: false });
			}
			if (failure) {
				return Promise.reject(take());
			}
			if (finished) {
				return finish();
			}
			return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
		},
		return: finish,
		throw(err) {
			if (!(err instanceof Error)) {
				throw invalidType("EventEmitter.AsyncIterator", "an instance of Error", err);
			}
			failed(err);
			return Promise.resolve({ value: undefined, done: true });
		},
		[asyncIterator]() { return this; },
	};
}

function addAbortListener(signal, listener) {
	if (signal === undefined) {
		throw invalidType("signal", "an instance of AbortSignal", signal);
	}
	needSignal(signal, "signal");
	needFunction(listener, "listener");
	let remove;
	if (signal.aborted) {
		queueMicrotask(() => listener());
	} else {
		signal.addEventListener("abort", listener, { once: true });
		remove = () => signal.removeEventListener("abort", listener);
	}
	return { [Symbol.for("Symbol.dispose")]() { remove?.(); } };
}

class EventEmitterAsyncResource extends EventEmitter {
	#resource;

	constructor(options = {}) {
		const name = typeof options === "string" ? options : options.name;
		super(typeof options === "string" ? undefined : options);
		const { AsyncResource } = require("async_hooks");
		this.#resource = new AsyncResource(name ?? new.target.name);
	}

	emit(type, ...args) { return this.#resource.runInAsyncScope(super.emit, this, type, ...args); }
	emitDestroy() { this.#resource.emitDestroy(); }
	get asyncId() { return this.#resource.asyncId(); }
	get triggerAsyncId() { return this.#resource.triggerAsyncId(); }
	get asyncResource() { return this.#resource; }
}

module.exports = Object.assign(EventEmitter, {
	EventEmitter,
	EventEmitterAsyncResource,
	usingDomains: false,
	errorMonitor,
	captureRejectionSymbol: captureRejections,
	once,
	on,
	addAbortListener,
	getEventListeners: (emitter, type) => typeof emitter.listeners === "function" ? emitter.listeners(type) : [],
	getMaxListeners: (emitter) => typeof emitter.getMaxListeners === "function" ? emitter.getMaxListeners() : defaultMaxListeners,
	listenerCount: (emitter, type) => typeof emitter.listenerCount === "function" ? emitter.listenerCount(type) : 0,
	setMaxListeners(n = defaultMaxListeners, ...targets) {
		needNumber(n, "n", 0);
		if (targets.length === 0) {
			defaultMaxListeners = n;
		}
		for (const target of targets) {
			target.setMaxListeners?.(n); // event targets warn of nothing
		}
	},
});

Object.defineProperties(EventEmitter, {
	defaultMaxListeners: {
		get: () => defaultMaxListeners,
		set(n) {
			needNumber(n, "defaultMaxListeners", 0);
			defaultMaxListeners = n;
		},
		enumerable: true,
	},
	captureRejections: {
		get: () => captureByDefault,
		set(value) { captureByDefault = Boolean(value); },
		enumerable: true,
	},
});
