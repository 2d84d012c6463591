// node:timers/promises (https://nodejs.org/api/timers.html#timers-promises-api).
const { AbortError, needSignal } = require("internal_errors");

const asyncIterator = Symbol.for("Symbol.asyncIterator");

function after(start, clear, value, signal) {
	return new Promise((resolve, reject) => {
		needSignal(signal, "options.signal");
		const failed = () => reject(new AbortError(undefined, { cause: signal.reason }));
		if (signal?.aborted) {
			failed();
			return;
		}
		const abort = () => {
			clear(id);
			failed();
		};
		const id = start(() => {
			signal?.removeEventListener("abort", abort);
			resolve(value);
		});
		signal?.addEventListener("abort", abort, { once: true });
	});
}

const setTimeout = (delay, value, options = {}) =>
	after((fn) => globalThis.setTimeout(fn, delay), globalThis.clearTimeout, value, options.signal);
const setImmediate = (value, options = {}) =>
	after(globalThis.setImmediate, globalThis.clearImmediate, value, options.signal);

function setInterval(delay, value, options = {}) {
	const { signal } = options;
	needSignal(signal, "options.signal");
	let due = 0, waiting, ended = false;
	const id = globalThis.setInterval(() => {
		due++;
		waiting?.();
	}, delay);
	const abort = () => {
		globalThis.clearInterval(id);
		waiting?.();
	};
	signal?.aborted ? abort() : signal?.addEventListener("abort", abort, { once: true });
	const end = () => {
		ended = true;
		globalThis.clearInterval(id);
		signal?.removeEventListener("abort", abort);
		waiting?.();
		return Promise.resolve({ value: undefined, done: true });
	};
	return {
		async next() {
			if (due === 0 && !ended && !signal?.aborted) {
				await new Promise((resolve) => { waiting = resolve; });
				waiting = undefined;
			}
			if (due > 0 && !ended) {
				due--;
				return { value, done: false };
			}
			if (signal?.aborted && !ended) {
				ended = true;
				throw new AbortError(undefined, { cause: signal.reason });
			}
			return { value: undefined, done: true };
		},
		return: end,
		[asyncIterator]() { return this; },
	};
}

module.exports = {
	setTimeout,
	setImmediate,
	setInterval,
	scheduler: {
		wait: (delay, options) => setTimeout(delay, undefined, options),
		yield: () => setImmediate(),
	},
};
