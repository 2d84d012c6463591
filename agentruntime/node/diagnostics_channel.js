// node:diagnostics_channel (https://nodejs.org/api/diagnostics_channel.html).
const { invalidType, needFunction } = require("internal_errors");

const channels = new Map();

class Channel {
	#subscribers = [];
	#stores = new Map();

	constructor(name) { this.name = name; }

	get hasSubscribers() { return this.#subscribers.length > 0 || this.#stores.size > 0; }

	subscribe(fn) {
		needFunction(fn, "subscription");
		this.#subscribers = [...this.#subscribers, fn];
	}

	unsubscribe(fn) {
		const had = this.#subscribers.indexOf(fn);
		if (had < 0) {
			return false;
		}
		this.#subscribers = this.#subscribers.filter((_, i) => i !== had);
		return true;
	}

	bindStore(store, transform) { this.#stores.set(store, transform); }
	unbindStore(store) { return this.#stores.delete(store); }

	publish(message) {
		for (const fn of this.#subscribers) {
			quietly(() => fn(message, this.name));
		}
	}

	runStores(message, fn, thisArg, ...args) {
		let run = () => {
			this.publish(message);
			return Reflect.apply(fn, thisArg, args);
		};
		for (const [store, transform] of this.#stores) {
			const inner = run;
			run = () => {
				let value = message;
				let ok = true;
				if (transform) {
					ok = quietly(() => { value = transform(message); });
				}
				return ok ? store.run(value, inner) : inner();
			};
		}
		return run();
	}
}

// quietly reports what a subscriber throws as uncaught: the one who publishes has nothing to do with it.
function quietly(fn) {
	try {
		fn();
		return true;
	} catch (err) {
		queueMicrotask(() => { throw err; });
		return false;
	}
}

function channel(name) {
	if (typeof name !== "string" && typeof name !== "symbol") {
		throw invalidType("channel", ["string", "symbol"], name);
	}
	let c = channels.get(name);
	if (!c) {
		channels.set(name, c = new Channel(name));
	}
	return c;
}

const traced = ["start", "end", "asyncStart", "asyncEnd", "error"];

class TracingChannel {
	constructor(from) {
		for (const event of traced) {
			this[event] = typeof from === "string" ? channel(`tracing:${from}:${event}`) : from[event];
		}
	}

	get hasSubscribers() { return traced.some((event) => this[event]?.hasSubscribers); }

	subscribe(handlers) {
		for (const event of traced) {
			if (handlers[event]) {
				this[event].subscribe(handlers[event]);
			}
		}
	}

	unsubscribe(handlers) {
		return traced.map((event) => !handlers[event] || this[event].unsubscribe(handlers[event])).every(Boolean);
	}

	traceSync(fn, context = {}, thisArg, ...args) {
		return this.start.runStores(context, () => {
			try {
				context.result = Reflect.apply(fn, thisArg, args);
				return context.result;
			} catch (err) {
				context.error = err;
				this.error.publish(context);
				throw err;
			} finally {
				this.end.publish(context);
			}
		});
	}

	tracePromise(fn, context = {}, thisArg, ...args) {
		const done = () => {
			this.asyncStart.publish(context);
			this.asyncEnd.publish(context);
		};
		return this.start.runStores(context, () => {
			try {
				return Promise.resolve(Reflect.apply(fn, thisArg, args)).then((result) => {
					context.result = result;
					done();
					return result;
				}, (err) => {
					context.error = err;
					this.error.publish(context);
					done();
					throw err;
				});
			} catch (err) {
				context.error = err;
				this.error.publish(context);
				throw err;
			} finally {
				this.end.publish(context);
			}
		});
	}

	traceCallback(fn, position = -1, context = {}, thisArg, ...args) {
		const at = position < 0 ? args.length + position : position;
		const callback = args[at];
		needFunction(callback, "callback");
		args[at] = (...results) => {
			if (results[0]) {
				context.error = results[0];
				this.error.publish(context);
			} else {
				context.result = results[1];
			}
			return this.asyncStart.runStores(context, () => {
				try {
					return callback(...results);
				} finally {
					this.asyncEnd.publish(context);
				}
			});
		};
		return this.start.runStores(context, () => {
			try {
				return Reflect.apply(fn, thisArg, args);
			} catch (err) {
				context.error = err;
				this.error.publish(context);
				throw err;
			} finally {
				this.end.publish(context);
			}
		});
	}
}

module.exports = {
	Channel,
	channel,
	hasSubscribers: (name) => channels.get(name)?.hasSubscribers ?? false,
	subscribe: (name, fn) => channel(name).subscribe(fn),
	unsubscribe: (name, fn) => channel(name).unsubscribe(fn),
	tracingChannel: (from) => new TracingChannel(from),
};
