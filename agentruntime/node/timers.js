// node:timers (https://nodejs.org/api/timers.html). Timers are the global ones, in objects with the methods of Node.js.
const { needFunction } = require("internal_errors");

const timers = new Map();
const dispose = Symbol.for("Symbol.dispose");

class Timeout {
	#id;
	#start;
	#repeat;
	#ref = true;

	constructor(start, repeat) {
		this.#start = start;
		this.#repeat = repeat;
		this.refresh();
	}

	refresh() {
		this.close();
		this.#id = this.#start(() => {
			if (!this.#repeat) {
				timers.delete(this.#id);
			}
		});
		timers.set(this.#id, this);
		return this;
	}

	close() {
		timers.delete(this.#id);
		globalThis.clearTimeout(this.#id);
		return this;
	}

	ref() { this.#ref = true; return this; }
	unref() { this.#ref = false; return this; } // what nobody waits for does not keep an agent anyway
	hasRef() { return this.#ref; }
	[Symbol.toPrimitive]() { return this.#id; }
	[dispose]() { this.close(); }
}

class Immediate {
	#id;
	#ref = true;
	constructor(fn, args) { this.#id = globalThis.setImmediate(fn, ...args); }
	ref() { this.#ref = true; return this; }
	unref() { this.#ref = false; return this; }
	hasRef() { return this.#ref; }
	[dispose]() { globalThis.clearImmediate(this.#id); }
	static clear(immediate) { globalThis.clearImmediate(immediate.#id); }
}

function setTimeout(fn, delay, ...args) {
	needFunction(fn, "callback");
	return new Timeout((fired) => globalThis.setTimeout(() => { fired(); fn(...args); }, delay), false);
}

function setInterval(fn, delay, ...args) {
	needFunction(fn, "callback");
	return new Timeout(() => globalThis.setInterval(fn, delay, ...args), true);
}

function setImmediate(fn, ...args) {
	needFunction(fn, "callback");
	return new Immediate(fn, args);
}

function clear(timer) {
	if (timer instanceof Timeout) {
		timer.close();
	} else if (timer != null) {
		timers.delete(Number(timer));
		globalThis.clearTimeout(timer);
	}
}

module.exports = {
	setTimeout,
	setInterval,
	setImmediate,
	clearTimeout: clear,
	clearInterval: clear,
	clearImmediate(immediate) {
		immediate instanceof Immediate ? Immediate.clear(immediate) : globalThis.clearImmediate(immediate);
	},
	get promises() { return require("timers/promises"); },
};

const { promisify } = require("util");
Object.defineProperty(setTimeout, promisify.custom, { get: () => require("timers/promises").setTimeout });
Object.defineProperty(setImmediate, promisify.custom, { get: () => require("timers/promises").setImmediate });
