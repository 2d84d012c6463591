// The classes of node:stream (https://nodejs.org/api/stream.html). They are functions, for those who call them on objects
// of their own. Each side of a stream keeps its state in _readableState and _writableState, where packages look for it.
const { coded, invalidType, AbortError } = require("internal_errors");
const EventEmitter = require("events");
const { Buffer } = require("buffer");
const { StringDecoder } = require("string_decoder");

const asyncIterator = Symbol.for("Symbol.asyncIterator");
const asyncDispose = Symbol.for("Symbol.asyncDispose");
const tick = queueMicrotask;

let highWaterMark = 64 * 1024;
let objectHighWaterMark = 16;

function inherit(Class, Parent, methods, getters = {}) {
	Object.setPrototypeOf(Class, Parent);
	Class.prototype = Object.create(Parent.prototype, { constructor: { value: Class, writable: true, configurable: true } });
	define(Class, methods, getters);
}

function define(Class, methods, getters) {
	for (const name of Reflect.ownKeys(methods)) {
		Object.defineProperty(Class.prototype, name, { value: methods[name], writable: true, configurable: true });
	}
	for (const name of Object.keys(getters)) {
		const [get, set] = [getters[name]].flat();
		Object.defineProperty(Class.prototype, name, { get, set, configurable: true });
	}
}

// Stream is the base of all, and the stream of the oldest packages.
function Stream(options) {
	EventEmitter.call(this, options);
}

inherit(Stream, EventEmitter, {
	pipe(dest, options) {
		const data = (chunk) => {
			if (dest.writable && dest.write(chunk) === false) {
				this.pause?.();
			}
		};
		const drain = () => this.readable && this.resume?.();
		let ended = false;
		const end = () => {
			if (!ended) {
				ended = true;
				dest.end();
			}
		};
		const close = () => {
			if (!ended) {
				ended = true;
				dest.destroy?.();
			}
		};
		const failed = function(err) {
			cleanup();
			if (EventEmitter.listenerCount(this, "error") === 0) {
				this.emit("error", err);
			}
		};
		const cleanup = () => {
			for (const [target, type, fn] of listeners) {
				target.removeListener(type, fn);
			}
		};
		const listeners = [[this, "data", data], [dest, "drain", drain], [this, "error", failed], [dest, "error", failed], [this, "end", cleanup], [this, "close", cleanup], [dest, "close", cleanup]];
		if (options?.end !== false && !dest._isStdio) {
			listeners.push([this, "end", end], [this, "close", close]);
		}
		for (const [target, type, fn] of listeners) {
			target.on(type, fn);
		}
		dest.emit("pipe", this);
		return dest;
	},
});

// What both sides have: being made, destroyed and closed.

const sides = (stream) => [stream._readableState, stream._writableState].filter(Boolean);

function base(options, objectMode, mark) {
	return {
		objectMode,
		highWaterMark: mark ?? (objectMode ? objectHighWaterMark : highWaterMark),
		length: 0, constructed: true, destroyed: false, errored: null, errorEmitted: false, closed: false, closeEmitted: false, sync: true,
		emitClose: options?.emitClose !== false, autoDestroy: options?.autoDestroy !== false,
		defaultEncoding: options?.defaultEncoding || "utf8",
	};
}

function markOf(options, name) {
	const mark = options?.[name] ?? options?.highWaterMark;
	if (mark == null) {
		return undefined;
	}
	if (typeof mark !== "number" || !(mark >= 0)) {
		throw coded(TypeError, "ERR_INVALID_ARG_VALUE", `The property 'options.${options[name] != null ? name : "highWaterMark"}' is invalid. Received ${mark}`);
	}
	return Math.floor(mark);
}

function construct(stream, ready) {
	if (typeof stream._construct !== "function" || stream._construct === Stream.prototype._construct) {
		return;
	}
	for (const s of sides(stream)) {
		s.constructed = false;
	}
	tick(() => {
		let called = false;
		const done = (err) => {
			if (called) {
				destroy(stream, err ?? coded(Error, "ERR_MULTIPLE_CALLBACK", "Callback called multiple times"));
				return;
			}
			called = true;
			for (const s of sides(stream)) {
				s.constructed = true;
			}
			if (sides(stream).some((s) => s.destroyed)) {
				stream.emit("gatehouse.constructed", err);
			} else if (err) {
				destroy(stream, err);
			} else {
				tick(ready);
			}
		};
		try {
			stream._construct((err) => tick(() => done(err)));
		} catch (err) {
			tick(() => done(err));
		}
	});
}

function destroy(stream, err, callback) {
	const all = sides(stream);
	if (all.some((s) => s.destroyed)) {
		callback?.();
		return stream;
	}
	for (const s of all) {
		s.destroyed = true;
		if (err) {
			s.errored ??= err;
		}
	}
	const run = (failure) => {
		let called = false;
		const done = (second) => {
			if (called) {
				return;
			}
			called = true;
			const final = second ?? failure;
			for (const s of all) {
				s.closed = true;
				if (final) {
					s.errored ??= final;
				}
			}
			callback?.(final);
			tick(() => {
				if (final) {
					emitError(stream, final);
				}
				emitClose(stream);
			});
		};
		try {
			stream._destroy(failure ?? null, done);
		} catch (thrown) {
			done(thrown);
		}
	};
	if (all.some((s) => !s.constructed)) {
		stream.once("gatehouse.constructed", (made) => run(err ?? made));
	} else {
		run(err);
	}
	return stream;
}

function emitError(stream, err) {
	const all = sides(stream);
	if (all.some((s) => s.errorEmitted)) {
		return;
	}
	for (const s of all) {
		s.errorEmitted = true;
	}
	stream.emit("error", err);
}

function emitClose(stream) {
	const all = sides(stream);
	for (const s of all) {
		s.closeEmitted = true;
	}
	if (all.some((s) => s.emitClose)) {
		stream.emit("close");
	}
}

// fail ends a stream that something went wrong in.
function fail(stream, err, sync) {
	const all = sides(stream);
	if (all.some((s) => s.destroyed)) {
		return;
	}
	if (all.some((s) => s.autoDestroy)) {
		destroy(stream, err);
		return;
	}
	for (const s of all) {
		s.errored ??= err;
	}
	sync ? tick(() => emitError(stream, err)) : emitError(stream, err);
}

const shared = {
	destroy(err, callback) { return destroy(this, err, callback); },
	_destroy(err, callback) { callback(err); },
	_undestroy() {
		for (const s of sides(this)) {
			Object.assign(s, { destroyed: false, closed: false, closeEmitted: false, errored: null, errorEmitted: false });
		}
	},
	[EventEmitter.captureRejectionSymbol](err) { this.destroy(err); },
	[asyncDispose]() {
		let err;
		if (!this.destroyed) {
			err = this.readableEnded || this.writableFinished ? null : new AbortError();
			this.destroy(err);
		}
		return new Promise((resolve, reject) => require("stream").finished(this, (failure) => failure && failure !== err ? reject(failure) : resolve(null)));
	},
};

const sharedGetters = {
	destroyed: [
		function() { return sides(this).some((s) => s.destroyed); },
		function(value) {
			for (const s of sides(this)) {
				s.destroyed = value;
			}
		},
	],
	closed() { return sides(this).some((s) => s.closed); },
	errored() { return sides(this).map((s) => s.errored).find(Boolean) ?? null; },
};

function options(stream, given, names) {
	for (const name of names) {
		if (typeof given?.[name] === "function") {
			stream[`_${name}`] = given[name];
		}
	}
	if (given?.signal) {
		require("stream").addAbortSignal(given.signal, stream);
	}
}

// Readable

function readableState(stream, given, duplex) {
	return Object.assign(base(given, Boolean(given?.objectMode || (duplex && given?.readableObjectMode)), markOf(given, duplex ? "readableHighWaterMark" : "highWaterMark")), {
		buffer: [], flowing: null, ended: false, endEmitted: false, reading: false, needReadable: false, emittedReadable: false,
		readableListening: false, resumeScheduled: false, readingMore: false, dataEmitted: false, pipes: [], awaiting: new Set(),
		decoder: null, encoding: null,
	});
}

function Readable(given) {
	if (!(this instanceof Readable)) {
		return new Readable(given);
	}
	this._readableState = readableState(this, given, false);
	if (given?.encoding) {
		this.setEncoding(given.encoding);
	}
	Stream.call(this, given);
	options(this, given, ["read", "destroy", "construct"]);
	construct(this, () => {
		if (this._readableState.needReadable) {
			readMore(this);
		}
	});
}

function addChunk(stream, chunk, encoding, front) {
	const s = stream._readableState;
	if (chunk === null) {
		s.reading = false;
		endOfChunks(stream);
		return false;
	}
	if (!s.objectMode) {
		if (typeof chunk === "string") {
			encoding ||= s.defaultEncoding;
			if (s.encoding !== encoding || front) {
				chunk = s.encoding && front ? Buffer.from(chunk, encoding).toString(s.encoding) : Buffer.from(chunk, encoding);
			}
		} else if (ArrayBuffer.isView(chunk)) {
			if (!Buffer.isBuffer(chunk)) {
				chunk = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
			}
		} else if (chunk !== undefined) {
			fail(stream, invalidType("chunk", ["string", "an instance of Buffer", "TypedArray", "DataView"], chunk));
			return false;
		} else {
			s.reading = false;
			readSoon(stream);
			return more(s);
		}
	}
	if (front) {
		if (s.endEmitted) {
			fail(stream, coded(Error, "ERR_STREAM_UNSHIFT_AFTER_END_EVENT", "stream.unshift() after end event"));
		} else if (!s.destroyed) {
			store(stream, chunk, true);
		}
		return more(s);
	}
	if (s.ended) {
		fail(stream, coded(Error, "ERR_STREAM_PUSH_AFTER_EOF", "stream.push() after EOF"));
		return false;
	}
	if (s.destroyed || s.errored) {
		return false;
	}
	s.reading = false;
	if (s.decoder && typeof chunk !== "string") {
		chunk = s.decoder.write(chunk);
	}
	if (s.objectMode || chunk.length > 0) {
		store(stream, chunk, false);
	} else {
		readSoon(stream);
	}
	return more(s);
}

const more = (s) => !s.ended && (s.length < s.highWaterMark || s.length === 0);

function store(stream, chunk, front) {
	const s = stream._readableState;
	if (!front && s.flowing && s.length === 0 && !s.sync && stream.listenerCount("data") > 0) {
		s.dataEmitted = true;
		stream.emit("data", chunk);
	} else {
		s.length += s.objectMode ? 1 : chunk.length;
		front ? s.buffer.unshift(chunk) : s.buffer.push(chunk);
		if (s.needReadable) {
			emitReadable(stream);
		}
	}
	readSoon(stream);
}

function endOfChunks(stream) {
	const s = stream._readableState;
	if (s.ended) {
		return;
	}
	const rest = s.decoder?.end();
	if (rest) {
		s.buffer.push(rest);
		s.length += s.objectMode ? 1 : rest.length;
	}
	s.ended = true;
	if (s.sync) {
		emitReadable(stream);
	} else {
		s.needReadable = false;
		s.emittedReadable = true;
		emitReadableNow(stream);
	}
}

function emitReadable(stream) {
	const s = stream._readableState;
	s.needReadable = false;
	if (!s.emittedReadable) {
		s.emittedReadable = true;
		tick(() => emitReadableNow(stream));
	}
}

function emitReadableNow(stream) {
	const s = stream._readableState;
	if (!s.destroyed && !s.errored && (s.length > 0 || s.ended)) {
		stream.emit("readable");
		s.emittedReadable = false;
	}
	s.needReadable = !s.flowing && !s.ended && s.length <= s.highWaterMark;
	flow(stream);
}

function flow(stream) {
	const s = stream._readableState;
	while (s.flowing && stream.read() !== null) {
		// read emits what it gives
	}
}

// readSoon asks for more while there is room.
function readSoon(stream) {
	const s = stream._readableState;
	if (!s.readingMore && s.constructed) {
		s.readingMore = true;
		tick(() => readMore(stream));
	}
}

function readMore(stream) {
	const s = stream._readableState;
	while (!s.reading && !s.ended && (s.length < s.highWaterMark || (s.flowing && s.length === 0))) {
		const before = s.length;
		stream.read(0);
		if (before === s.length) {
			break;
		}
	}
	s.readingMore = false;
}

// take removes n bytes or characters from the buffer, or one object.
function take(s, n) {
	if (s.length === 0) {
		return null;
	}
	if (s.objectMode) {
		s.length--;
		return s.buffer.shift();
	}
	let out;
	if (n >= s.length) {
		out = s.buffer.length === 1 ? s.buffer[0] : s.decoder ? s.buffer.join("") : Buffer.concat(s.buffer);
		s.buffer = [];
		s.length = 0;
		return out;
	}
	const parts = [];
	s.length -= n;
	while (n > 0) {
		const first = s.buffer[0];
		if (first.length <= n) {
			parts.push(s.buffer.shift());
			n -= first.length;
		} else {
			parts.push(first.slice(0, n));
			s.buffer[0] = first.slice(n);
			n = 0;
		}
	}
	return parts.length === 1 ? parts[0] : s.decoder ? parts.join("") : Buffer.concat(parts);
}

function howMuch(s, n) {
	if (n <= 0 || (s.length === 0 && s.ended)) {
		return 0;
	}
	if (s.objectMode) {
		return 1;
	}
	if (Number.isNaN(n)) {
		return s.flowing && s.length > 0 ? s.buffer[0].length : s.length;
	}
	return n <= s.length ? n : s.ended ? s.length : 0;
}

function endReadable(stream) {
	const s = stream._readableState;
	if (s.endEmitted) {
		return;
	}
	s.ended = true;
	tick(() => {
		if (s.errored || s.closeEmitted || s.endEmitted || s.length > 0) {
			return;
		}
		s.endEmitted = true;
		stream.emit("end");
		const w = stream._writableState;
		if (w && stream.allowHalfOpen === false) {
			tick(() => {
				if (!w.ending && !w.destroyed) {
					stream.end();
				}
			});
		} else if (s.autoDestroy && (!w || (w.autoDestroy && (w.finished || w.writable === false)))) {
			stream.destroy();
		}
	});
}

function resume(stream) {
	const s = stream._readableState;
	if (!s.resumeScheduled) {
		s.resumeScheduled = true;
		tick(() => {
			if (!s.reading) {
				stream.read(0);
			}
			s.resumeScheduled = false;
			stream.emit("resume");
			flow(stream);
			if (s.flowing && !s.reading) {
				stream.read(0);
			}
		});
	}
}

// listening follows the listeners for readable, once they have changed.
function listening(stream) {
	const s = stream._readableState;
	s.readableListening = stream.listenerCount("readable") > 0;
	if (s.resumeScheduled && !s.paused) {
		s.flowing = true;
	} else if (stream.listenerCount("data") > 0) {
		stream.resume();
	} else if (!s.readableListening) {
		s.flowing = null;
	}
}

inherit(Readable, Stream, {
	...shared,
	push(chunk, encoding) { return addChunk(this, chunk, encoding, false); },
	unshift(chunk, encoding) { return addChunk(this, chunk, encoding, true); },
	isPaused() { return this._readableState.paused === true || this._readableState.flowing === false; },
	setEncoding(encoding) {
		const s = this._readableState;
		s.decoder = new StringDecoder(encoding);
		s.encoding = s.decoder.encoding;
		const text = s.buffer.map((chunk) => s.decoder.write(chunk)).join("");
		s.buffer = text === "" ? [] : [text];
		s.length = text.length;
		return this;
	},
	read(n) {
		const s = this._readableState;
		const wanted = n;
		n = n === undefined ? NaN : Number.isInteger(n) ? n : parseInt(n, 10);
		if (n > s.highWaterMark && !s.objectMode) {
			s.highWaterMark = 2 ** Math.ceil(Math.log2(n));
		}
		if (n !== 0) {
			s.emittedReadable = false;
		}
		if (n === 0 && s.needReadable && ((s.highWaterMark !== 0 ? s.length >= s.highWaterMark : s.length > 0) || s.ended)) {
			s.length === 0 && s.ended ? endReadable(this) : emitReadable(this);
			return null;
		}
		n = howMuch(s, n);
		if (n === 0 && s.ended) {
			if (s.length === 0) {
				endReadable(this);
			}
			return null;
		}
		let ask = s.needReadable || s.length === 0 || s.length - n < s.highWaterMark;
		if (s.ended || s.reading || s.destroyed || s.errored || !s.constructed) {
			ask = false;
		}
		if (ask) {
			s.reading = true;
			s.sync = true;
			if (s.length === 0) {
				s.needReadable = true;
			}
			try {
				this._read(s.highWaterMark);
			} catch (err) {
				fail(this, err);
			}
			s.sync = false;
			if (!s.reading) {
				n = howMuch(s, wanted === undefined ? NaN : wanted);
			}
		}
		const chunk = n > 0 ? take(s, n) : null;
		if (chunk === null) {
			s.needReadable = s.length <= s.highWaterMark;
		}
		if (s.length === 0) {
			if (!s.ended) {
				s.needReadable = true;
			} else if (wanted !== 0 && chunk !== null || wanted === undefined) {
				endReadable(this);
			}
		}
		if (chunk !== null && !s.errored && !s.closeEmitted) {
			s.dataEmitted = true;
			this.emit("data", chunk);
		}
		return chunk;
	},
	_read() { throw coded(Error, "ERR_METHOD_NOT_IMPLEMENTED", "The _read() method is not implemented"); },
	on(type, listener) {
		const result = Stream.prototype.on.call(this, type, listener);
		const s = this._readableState;
		if (type === "data") {
			s.readableListening = this.listenerCount("readable") > 0;
			if (s.flowing !== false) {
				this.resume();
			}
		} else if (type === "readable" && !s.endEmitted && !s.readableListening) {
			s.readableListening = s.needReadable = true;
			s.flowing = false;
			s.emittedReadable = false;
			if (s.length > 0) {
				emitReadable(this);
			} else if (!s.reading) {
				tick(() => this.read(0));
			}
		}
		return result;
	},
	removeListener(type, listener) {
		const result = Stream.prototype.removeListener.call(this, type, listener);
		if (type === "readable") {
			tick(() => listening(this));
		}
		return result;
	},
	removeAllListeners(type) {
		const result = Stream.prototype.removeAllListeners.apply(this, arguments);
		if (type === "readable" || type === undefined) {
			tick(() => listening(this));
		}
		return result;
	},
	resume() {
		const s = this._readableState;
		if (!s.flowing) {
			s.flowing = !s.readableListening;
			resume(this);
		}
		s.paused = false;
		return this;
	},
	pause() {
		const s = this._readableState;
		if (s.flowing !== false) {
			s.flowing = false;
			this.emit("pause");
		}
		s.paused = true;
		return this;
	},
	wrap(old) {
		let paused = false;
		old.on("data", (chunk) => {
			if (!this.push(chunk) && old.pause) {
				paused = true;
				old.pause();
			}
		});
		old.on("end", () => this.push(null));
		old.on("error", (err) => fail(this, err));
		old.on("close", () => this.destroy());
		this._read = () => {
			if (paused && old.resume) {
				paused = false;
				old.resume();
			}
		};
		return this;
	},
	pipe(dest, given) {
		const s = this._readableState;
		s.pipes.push(dest);
		const waits = () => {
			s.awaiting.add(dest);
			this.pause();
		};
		const drain = () => {
			s.awaiting.delete(dest);
			if (s.awaiting.size === 0 && this.listenerCount("data") > 0) {
				this.resume();
			}
		};
		const data = (chunk) => {
			if (dest.write(chunk) === false) {
				waits();
			}
		};
		const failed = (err) => {
			unpipe();
			dest.removeListener("error", failed);
			if (EventEmitter.listenerCount(dest, "error") === 0) {
				dest._writableState && !dest._writableState.errorEmitted ? fail(dest, err) : dest.emit("error", err);
			}
		};
		const finish = () => {
			dest.removeListener("close", unpipe);
			unpipe();
		};
		const unpipe = () => this.unpipe(dest);
		const end = () => dest.end();
		const cleanup = (from, info) => {
			if (from !== this || info?.hasUnpiped) {
				return;
			}
			if (info) {
				info.hasUnpiped = true;
			}
			for (const [target, type, fn] of listeners) {
				target.removeListener(type, fn);
			}
			if (s.awaiting.has(dest)) {
				drain();
			}
		};
		const listeners = [
			[dest, "unpipe", cleanup], [dest, "drain", drain], [dest, "close", unpipe], [dest, "finish", finish],
			[this, "data", data], [this, "end", given?.end !== false && !dest._isStdio ? end : unpipe],
		];
		dest.on("unpipe", cleanup);
		if (s.endEmitted) {
			tick(listeners[5][2]);
		} else {
			this.once("end", listeners[5][2]);
		}
		this.on("data", data);
		dest.prependListener("error", failed);
		listeners.push([dest, "error", failed]);
		dest.once("close", unpipe);
		dest.once("finish", finish);
		dest.on("drain", drain);
		dest.emit("pipe", this);
		if (dest.writableNeedDrain === true) {
			waits();
		} else if (!s.flowing) {
			this.resume();
		}
		return dest;
	},
	unpipe(dest) {
		const s = this._readableState;
		const info = { hasUnpiped: false };
		if (dest === undefined) {
			const all = s.pipes;
			s.pipes = [];
			this.pause();
			for (const one of all) {
				one.emit("unpipe", this, { hasUnpiped: false });
			}
			return this;
		}
		const at = s.pipes.indexOf(dest);
		if (at >= 0) {
			s.pipes.splice(at, 1);
			if (s.pipes.length === 0) {
				this.pause();
			}
			dest.emit("unpipe", this, info);
		}
		return this;
	},
	[asyncIterator]() { return iterate(this); },
	iterator(given) { return iterate(this, given); },
}, {
	...sharedGetters,
	readable: [
		function() {
			const s = this._readableState;
			return Boolean(s) && s.readable !== false && !s.destroyed && !s.errored && !s.endEmitted;
		},
		function(value) { this._readableState.readable = Boolean(value); },
	],
	readableDidRead() { return this._readableState.dataEmitted; },
	readableAborted() {
		const s = this._readableState;
		return s.readable !== false && (s.destroyed || Boolean(s.errored)) && !s.endEmitted;
	},
	readableHighWaterMark() { return this._readableState.highWaterMark; },
	readableBuffer() { return this._readableState.buffer; },
	readableFlowing: [
		function() { return this._readableState.flowing; },
		function(value) { this._readableState.flowing = value; },
	],
	readableLength() { return this._readableState.length; },
	readableObjectMode() { return this._readableState.objectMode; },
	readableEncoding() { return this._readableState.encoding; },
	readableEnded() { return this._readableState.endEmitted; },
});

// iterate reads a stream chunk by chunk and destroys it when the reader leaves.
function iterate(stream, given) {
	let wake, failure, ended = false, left = false;
	const next = () => wake?.();
	stream.on("readable", next);
	const stop = require("stream").finished(stream, { writable: false }, (err) => {
		failure = err;
		ended = true;
		next();
	});
	const leave = (err) => {
		if (!left) {
			left = true;
			stream.off("readable", next);
			stop();
			if ((err || given?.destroyOnReturn !== false) && (err || !stream._readableState.endEmitted || stream._readableState.autoDestroy)) {
				destroy(stream, err ?? null);
			}
		}
	};
	let queue = Promise.resolve();
	const step = async () => {
		for (;;) {
			if (left) {
				return { value: undefined, done: true };
			}
			const chunk = stream.destroyed ? null : stream.read();
			if (chunk !== null) {
				return { value: chunk, done: false };
			}
			if (ended) {
				left = true;
				stream.off("readable", next);
				if (failure) {
					throw failure;
				}
				if (stream._readableState.autoDestroy && !stream.destroyed && !stream._writableState) {
					stream.destroy();
				}
				return { value: undefined, done: true };
			}
			await new Promise((resolve) => { wake = resolve; });
			wake = undefined;
		}
	};
	return {
		next() {
			const result = queue.then(step);
			queue = result.then(() => {}, () => {});
			return result;
		},
		return(value) {
			leave();
			next();
			return Promise.resolve({ value, done: true });
		},
		throw(err) {
			leave(err);
			next();
			return Promise.reject(err);
		},
		stream,
		[asyncIterator]() { return this; },
	};
}

// Writable

function writableState(stream, given, duplex) {
	return Object.assign(base(given, Boolean(given?.objectMode || (duplex && given?.writableObjectMode)), markOf(given, duplex ? "writableHighWaterMark" : "highWaterMark")), {
		decodeStrings: given?.decodeStrings !== false, buffered: [], writing: false, corked: 0, needDrain: false, ending: false, ended: false,
		finished: false, prefinished: false, finalCalled: false, pendingcb: 0, endCallbacks: [],
	});
}

function Writable(given) {
	if (!(this instanceof Writable) && !this?._readableState) {
		return new Writable(given);
	}
	this._writableState = writableState(this, given, false);
	Stream.call(this, given);
	options(this, given, ["write", "writev", "destroy", "final", "construct"]);
	construct(this, () => {
		clear(this);
		finishMaybe(this);
	});
}

function write(stream, chunk, encoding, callback) {
	const s = stream._writableState;
	if (typeof encoding === "function") {
		callback = encoding;
		encoding = undefined;
	}
	encoding ||= s.defaultEncoding;
	callback ??= () => {};
	if (encoding !== "buffer" && !Buffer.isEncoding(encoding)) {
		throw coded(TypeError, "ERR_UNKNOWN_ENCODING", `Unknown encoding: ${encoding}`);
	}
	if (chunk === null) {
		throw coded(TypeError, "ERR_STREAM_NULL_VALUES", "May not write null values to stream");
	}
	if (!s.objectMode) {
		if (typeof chunk === "string") {
			if (s.decodeStrings) {
				chunk = Buffer.from(chunk, encoding);
				encoding = "buffer";
			}
		} else if (ArrayBuffer.isView(chunk)) {
			if (!Buffer.isBuffer(chunk)) {
				chunk = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
			}
			encoding = "buffer";
		} else {
			throw invalidType("chunk", ["string", "an instance of Buffer", "TypedArray", "DataView"], chunk);
		}
	}
	let err;
	if (s.ending) {
		err = coded(Error, "ERR_STREAM_WRITE_AFTER_END", "write after end");
	} else if (s.destroyed) {
		err = coded(Error, "ERR_STREAM_DESTROYED", "Cannot call write after a stream was destroyed");
	}
	if (err) {
		tick(() => callback(err));
		fail(stream, err, true);
		return err;
	}
	s.pendingcb++;
	const size = s.objectMode ? 1 : chunk.length;
	s.length += size;
	const room = s.length < s.highWaterMark;
	if (!room) {
		s.needDrain = true;
	}
	if (s.writing || s.corked || s.errored || !s.constructed) {
		s.buffered.push({ chunk, encoding, callback, size });
	} else {
		writeOne(stream, size, (done) => stream._write(chunk, encoding, done), callback);
	}
	return room && !s.errored && !s.destroyed;
}

// writeOne hands something over and goes on when it has been taken.
function writeOne(stream, size, hand, callback) {
	const s = stream._writableState;
	let called = false;
	s.writing = true;
	s.sync = true;
	const done = (err) => {
		if (called) {
			fail(stream, coded(Error, "ERR_MULTIPLE_CALLBACK", "Callback called multiple times"));
			return;
		}
		called = true;
		const { sync } = s;
		s.writing = false;
		s.length -= size;
		const after = () => {
			s.pendingcb--;
			if (err) {
				callback(err);
				drop(stream, err);
				fail(stream, err);
				return;
			}
			const drain = s.needDrain && !s.ending && !stream.destroyed && s.length === 0;
			if (drain) {
				s.needDrain = false;
				stream.emit("drain");
			}
			callback(null);
			if (s.destroyed) {
				drop(stream);
			}
			finishMaybe(stream);
		};
		if (err) {
			s.errored ??= err;
			const r = stream._readableState;
			if (r) {
				r.errored ??= err;
			}
			sync ? tick(after) : after();
			return;
		}
		if (s.buffered.length > 0) {
			clear(stream);
		}
		sync ? tick(after) : after();
	};
	try {
		hand(done);
	} catch (err) {
		s.sync = false;
		if (called) {
			throw err;
		}
		done(err);
	}
	s.sync = false;
}

// clear writes what had to wait.
function clear(stream) {
	const s = stream._writableState;
	if (s.corked || s.writing || s.destroyed || !s.constructed || s.clearing) {
		return;
	}
	s.clearing = true;
	if (s.buffered.length > 1 && stream._writev) {
		const all = s.buffered.splice(0);
		s.pendingcb -= all.length - 1;
		const chunks = all.map(({ chunk, encoding }) => ({ chunk, encoding }));
		chunks.allBuffers = all.every(({ encoding }) => encoding === "buffer");
		writeOne(stream, all.reduce((n, one) => n + one.size, 0), (done) => stream._writev(chunks, done), (err) => {
			for (const { callback } of all) {
				callback(err);
			}
		});
	} else {
		while (s.buffered.length > 0 && !s.writing && !s.destroyed) {
			const { chunk, encoding, callback, size } = s.buffered.shift();
			writeOne(stream, size, (done) => stream._write(chunk, encoding, done), callback);
		}
	}
	s.clearing = false;
}

// drop tells those whose writes will not happen.
function drop(stream, err) {
	const s = stream._writableState;
	if (s.writing) {
		return; // what is being written comes first
	}
	const failure = err ?? s.errored ?? coded(Error, "ERR_STREAM_DESTROYED", "Cannot call write after a stream was destroyed");
	for (const { callback, size } of s.buffered.splice(0)) {
		s.length -= size;
		s.pendingcb--;
		callback(failure);
	}
	for (const callback of s.endCallbacks.splice(0)) {
		callback(s.errored ?? coded(Error, "ERR_STREAM_DESTROYED", "Cannot call end after a stream was destroyed"));
	}
}

function finishMaybe(stream) {
	const s = stream._writableState;
	const idle = () => s.ending && !s.destroyed && s.constructed && s.length === 0 && !s.errored && s.buffered.length === 0 && !s.finished && !s.writing && !s.errorEmitted && !s.closeEmitted;
	if (!idle()) {
		return;
	}
	if (!s.prefinished && !s.finalCalled) {
		if (typeof stream._final === "function" && !s.destroyed) {
			s.finalCalled = true;
			s.pendingcb++;
			let called = false;
			const done = (err) => {
				if (called) {
					fail(stream, err ?? coded(Error, "ERR_MULTIPLE_CALLBACK", "Callback called multiple times"));
					return;
				}
				called = true;
				s.pendingcb--;
				if (err) {
					for (const callback of s.endCallbacks.splice(0)) {
						callback(err);
					}
					fail(stream, err, true);
				} else if (idle()) {
					s.prefinished = true;
					stream.emit("prefinish");
					tick(() => finish(stream));
				}
			};
			tick(() => {
				try {
					stream._final(done);
				} catch (err) {
					done(err);
				}
			});
		} else {
			s.prefinished = true;
			stream.emit("prefinish");
		}
	}
	if (s.prefinished && s.pendingcb === 0) {
		tick(() => finish(stream));
	}
}

function finish(stream) {
	const s = stream._writableState;
	if (s.finished || s.errored || s.destroyed || s.length > 0 || s.writing) {
		return;
	}
	s.finished = true;
	for (const callback of s.endCallbacks.splice(0)) {
		callback(null);
	}
	stream.emit("finish");
	const r = stream._readableState;
	if (s.autoDestroy && (!r || (r.autoDestroy && (r.endEmitted || r.readable === false)))) {
		stream.destroy();
	}
}

const writableMethods = {
	write(chunk, encoding, callback) { return write(this, chunk, encoding, callback) === true; },
	cork() { this._writableState.corked++; },
	uncork() {
		const s = this._writableState;
		if (s.corked > 0) {
			s.corked--;
			if (!s.writing) {
				clear(this);
			}
		}
	},
	setDefaultEncoding(encoding) {
		if (!Buffer.isEncoding(encoding)) {
			throw coded(TypeError, "ERR_UNKNOWN_ENCODING", `Unknown encoding: ${encoding}`);
		}
		this._writableState.defaultEncoding = String(encoding).toLowerCase();
		return this;
	},
	end(chunk, encoding, callback) {
		const s = this._writableState;
		if (typeof chunk === "function") {
			callback = chunk;
			chunk = encoding = undefined;
		} else if (typeof encoding === "function") {
			callback = encoding;
			encoding = undefined;
		}
		let err;
		if (chunk != null) {
			const result = write(this, chunk, encoding);
			if (result instanceof Error) {
				err = result;
			}
		}
		if (s.corked) {
			s.corked = 1;
			this.uncork();
		}
		if (!err) {
			if (!s.errored && !s.ending) {
				s.ending = true;
				finishMaybe(this);
				s.ended = true;
			} else if (s.finished) {
				err = coded(Error, "ERR_STREAM_ALREADY_FINISHED", "Cannot call end after a stream was finished");
			} else if (s.destroyed) {
				err = coded(Error, "ERR_STREAM_DESTROYED", "Cannot call end after a stream was destroyed");
			}
		}
		if (typeof callback === "function") {
			if (err) {
				tick(() => callback(err));
			} else if (s.finished) {
				tick(() => callback(null));
			} else {
				s.endCallbacks.push(callback);
			}
		}
		return this;
	},
	_write(chunk, encoding, callback) {
		if (!this._writev) {
			throw coded(Error, "ERR_METHOD_NOT_IMPLEMENTED", "The _write() method is not implemented");
		}
		this._writev([{ chunk, encoding }], callback);
	},
	_writev: null,
};

const writableGetters = {
	writable: [
		function() {
			const s = this._writableState;
			return Boolean(s) && s.writable !== false && !s.destroyed && !s.errored && !s.ending && !s.ended;
		},
		function(value) {
			if (this._writableState) {
				this._writableState.writable = Boolean(value);
			}
		},
	],
	writableFinished() { return this._writableState.finished; },
	writableObjectMode() { return this._writableState.objectMode; },
	writableBuffer() { return this._writableState.buffered; },
	writableEnded() { return this._writableState.ending; },
	writableNeedDrain() {
		const s = this._writableState;
		return !s.destroyed && !s.ending && s.needDrain;
	},
	writableHighWaterMark() { return this._writableState.highWaterMark; },
	writableCorked() { return this._writableState.corked; },
	writableLength() { return this._writableState.length; },
	writableAborted() {
		const s = this._writableState;
		return s.writable !== false && (s.destroyed || Boolean(s.errored)) && !s.finished;
	},
};

inherit(Writable, Stream, {
	...shared,
	...writableMethods,
	destroy(err, callback) {
		const s = this._writableState;
		if (!s.destroyed && (s.buffered.length > 0 || s.endCallbacks.length > 0)) {
			tick(() => drop(this));
		}
		return destroy(this, err, callback);
	},
	pipe() { fail(this, coded(Error, "ERR_STREAM_CANNOT_PIPE", "Cannot pipe, not readable")); },
}, { ...sharedGetters, ...writableGetters });

// A Duplex is no instance of Writable by its prototypes, and yet is one.
Object.defineProperty(Writable, Symbol.hasInstance, {
	value(object) {
		return Function.prototype[Symbol.hasInstance].call(this, object) || (this === Writable && Boolean(object?._writableState) && object instanceof Stream);
	},
});

// Duplex and Transform

function Duplex(given) {
	if (!(this instanceof Duplex)) {
		return new Duplex(given);
	}
	this._readableState = readableState(this, given, true);
	this._writableState = writableState(this, given, true);
	Stream.call(this, given);
	this.allowHalfOpen = given?.allowHalfOpen !== false;
	if (given?.readable === false) {
		Object.assign(this._readableState, { readable: false, ended: true, endEmitted: true });
	}
	if (given?.writable === false) {
		Object.assign(this._writableState, { writable: false, ending: true, ended: true, finished: true });
	}
	if (given?.encoding) {
		this.setEncoding(given.encoding);
	}
	options(this, given, ["read", "write", "writev", "destroy", "final", "construct"]);
	construct(this, () => {
		if (this._readableState.needReadable) {
			readMore(this);
		}
		clear(this);
		finishMaybe(this);
	});
}

inherit(Duplex, Readable, { ...writableMethods, destroy: Writable.prototype.destroy }, writableGetters);

function Transform(given) {
	if (!(this instanceof Transform)) {
		return new Transform(given);
	}
	// Two buffers one behind the other are enough as one.
	const mark = given?.readableHighWaterMark === 0 ? { ...given, readableHighWaterMark: 0, writableHighWaterMark: given.writableHighWaterMark || 0 } : given;
	Duplex.call(this, mark);
	this._readableState.sync = false;
	this._waiting = null;
	options(this, { transform: given?.transform, flush: given?.flush }, ["transform", "flush"]);
}

inherit(Transform, Duplex, {
	_final(callback) {
		if (typeof this._flush !== "function" || this.destroyed) {
			this.push(null);
			callback();
			return;
		}
		this._flush((err, data) => {
			if (err) {
				callback(err);
				return;
			}
			if (data != null) {
				this.push(data);
			}
			this.push(null);
			callback();
		});
	},
	_transform() { throw coded(Error, "ERR_METHOD_NOT_IMPLEMENTED", "The _transform() method is not implemented"); },
	_write(chunk, encoding, callback) {
		const r = this._readableState, w = this._writableState;
		const { length } = r;
		this._transform(chunk, encoding, (err, data) => {
			if (err) {
				callback(err);
				return;
			}
			if (data != null) {
				this.push(data);
			}
			if (w.ended || length === r.length || r.length < r.highWaterMark) {
				callback();
			} else {
				this._waiting = callback;
			}
		});
	},
	_read() {
		if (this._waiting) {
			const callback = this._waiting;
			this._waiting = null;
			callback();
		}
	},
});

function PassThrough(given) {
	if (!(this instanceof PassThrough)) {
		return new PassThrough(given);
	}
	Transform.call(this, given);
}

inherit(PassThrough, Transform, {
	_transform(chunk, encoding, callback) { callback(null, chunk); },
});

module.exports = {
	Stream, Readable, Writable, Duplex, Transform, PassThrough, destroy, asyncIterator,
	getDefaultHighWaterMark: (objectMode) => objectMode ? objectHighWaterMark : highWaterMark,
	setDefaultHighWaterMark(objectMode, value) {
		if (objectMode) {
			objectHighWaterMark = value;
		} else {
			highWaterMark = value;
		}
	},
};
