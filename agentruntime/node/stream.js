// node:stream (https://nodejs.org/api/stream.html): the classes, and what is done with whole streams.
const { coded, invalidType, needFunction, needSignal, AbortError } = require("internal_errors");
const { Stream, Readable, Writable, Duplex, Transform, PassThrough, destroy, asyncIterator, ...defaults } = require("internal_stream");
const { Buffer } = require("buffer");

const isNodeStream = (value) => value !== null && typeof value === "object" && (value._readableState || value._writableState || (typeof value.write === "function" && typeof value.on === "function") || (typeof value.pipe === "function" && typeof value.on === "function"));
const isReadableWeb = (value) => typeof value?.getReader === "function" && typeof value.pipeThrough === "function";
const isWritableWeb = (value) => typeof value?.getWriter === "function" && typeof value.abort === "function";
const isTransformWeb = (value) => isReadableWeb(value?.readable) && isWritableWeb(value?.writable);
const isIterable = (value) => value != null && (typeof value[asyncIterator] === "function" || typeof value[Symbol.iterator] === "function");

const isReadableNode = (stream) => stream._readableState ? stream._readableState.readable !== false : !stream._writableState && typeof stream.pipe === "function";
const isWritableNode = (stream) => stream._writableState ? stream._writableState.writable !== false : !stream._readableState && typeof stream.write === "function";

// finished calls back when a stream has ended, failed or closed too early. The function returned takes the listeners away.
function finished(stream, options, callback) {
	if (typeof options === "function") {
		callback = options;
		options = {};
	}
	options ??= {};
	needFunction(callback, "callback");
	needSignal(options.signal, "options.signal");
	if (!isNodeStream(stream)) {
		throw invalidType("stream", ["an instance of Stream"], stream); // a stream of the Web tells nobody but its reader
	}
	let called = false;
	const done = (err) => {
		if (!called) {
			called = true;
			err ? callback.call(stream, err) : callback.call(stream);
		}
	};
	const r = stream._readableState, w = stream._writableState;
	const readable = options.readable ?? isReadableNode(stream);
	const writable = options.writable ?? isWritableNode(stream);
	let ended = !readable || Boolean(r?.endEmitted);
	let finishedWriting = !writable || Boolean(w?.finished);
	const both = () => {
		if (ended && finishedWriting) {
			// A stream that closes itself is finished when it has.
			const closes = sidesOf(stream).some((s) => s.autoDestroy && s.emitClose) && !sidesOf(stream).some((s) => s.closed);
			if (!closes || !willClose(stream, readable, writable)) {
				done();
			}
		}
	};
	const end = () => { ended = true; both(); };
	const finish = () => { finishedWriting = true; both(); };
	const failed = (err) => done(err);
	const close = () => {
		const err = sidesOf(stream).map((s) => s.errored).find(Boolean);
		if (err && typeof err !== "boolean") {
			done(err);
		} else if ((readable && !ended && !(r?.endEmitted)) || (writable && !finishedWriting && !w?.finished)) {
			done(coded(Error, "ERR_STREAM_PREMATURE_CLOSE", "Premature close"));
		} else {
			done();
		}
	};
	stream.on("end", end);
	stream.on("finish", finish);
	if (options.error !== false) {
		stream.on("error", failed);
	}
	stream.on("close", close);
	if (sidesOf(stream).some((s) => s.closeEmitted)) {
		queueMicrotask(close);
	} else if (sidesOf(stream).some((s) => s.errorEmitted)) {
		queueMicrotask(close);
	} else if (ended && finishedWriting && (r || w) && !willClose(stream, readable, writable)) {
		queueMicrotask(() => done());
	}
	const abort = () => {
		const call = callback;
		cleanup();
		queueMicrotask(() => call.call(stream, new AbortError(undefined, { cause: options.signal.reason })));
		called = true;
	};
	const cleanup = () => {
		called = true;
		stream.removeListener("end", end);
		stream.removeListener("finish", finish);
		stream.removeListener("error", failed);
		stream.removeListener("close", close);
		options.signal?.removeEventListener("abort", abort);
	};
	if (options.signal?.aborted) {
		abort();
	} else {
		options.signal?.addEventListener("abort", abort, { once: true });
	}
	return cleanup;
}

const sidesOf = (stream) => [stream._readableState, stream._writableState].filter(Boolean);

// willClose reports whether a close event is still to come of itself.
function willClose(stream, readable, writable) {
	const r = stream._readableState, w = stream._writableState;
	return (readable === isReadableNode(stream)) && (writable === isWritableNode(stream)) &&
		sidesOf(stream).every((s) => s.autoDestroy && s.emitClose && !s.closed) &&
		(!r || r.endEmitted || r.readable === false) && (!w || w.finished || w.writable === false);
}

function iteratorOf(value) {
	return typeof value[asyncIterator] === "function" ? value[asyncIterator]() : value[Symbol.iterator]();
}

// from makes a stream of what an iterable gives.
function from(iterable, options) {
	if (typeof iterable === "string" || ArrayBuffer.isView(iterable) && Buffer.isBuffer(iterable)) {
		return new Readable({ objectMode: true, ...options, read() { this.push(iterable); this.push(null); } });
	}
	if (!isIterable(iterable)) {
		throw invalidType("iterable", ["an instance of Iterable"], iterable);
	}
	const iterator = iteratorOf(iterable);
	const stream = new Readable({ objectMode: true, highWaterMark: 1, ...options });
	let reading = false, done = false;
	stream._read = () => {
		if (!reading) {
			reading = true;
			next();
		}
	};
	stream._destroy = (err, callback) => {
		const leave = async () => {
			if (done) {
				return;
			}
			done = true;
			if (err && typeof iterator.throw === "function") {
				await iterator.throw(err);
			}
			await iterator.return?.();
		};
		leave().then(() => queueMicrotask(() => callback(err)), (failure) => queueMicrotask(() => callback(failure || err)));
	};
	const next = async () => {
		try {
			for (;;) {
				const result = await iterator.next();
				if (result.done) {
					done = true;
					stream.push(null);
					return;
				}
				const value = await result.value;
				if (value === null) {
					throw coded(TypeError, "ERR_STREAM_NULL_VALUES", "May not write null values to stream");
				}
				if (!stream.push(value)) {
					reading = false;
					return;
				}
			}
		} catch (err) {
			done = true;
			stream.destroy(err);
		}
	};
	return stream;
}

// pump writes what an iterable gives into a stream.
async function pump(iterable, writable, end) {
	let failure, wake;
	const stop = finished(writable, { readable: false }, (err) => { failure = err; wake?.(); });
	writable.on("drain", () => wake?.());
	const iterator = iteratorOf(iterable);
	let complete = false;
	try {
		for (;;) {
			if (writable.writableNeedDrain) {
				await new Promise((resolve) => { wake = resolve; });
				wake = undefined;
			}
			if (failure) {
				throw failure;
			}
			const { value, done } = await iterator.next();
			if (done) {
				complete = true;
				break;
			}
			writable.write(value);
		}
		if (end) {
			writable.end();
			await new Promise((resolve, reject) => finished(writable, { readable: false }, (err) => err ? reject(err) : resolve()));
		}
	} finally {
		stop();
		if (!complete) {
			await iterator.return?.();
		}
	}
}

function pipeline(...streams) {
	const callback = streams.pop();
	needFunction(callback, "streams[stream.length - 1]");
	return run(streams.length === 1 && Array.isArray(streams[0]) ? streams[0] : streams, {}, callback);
}

// run connects the streams and calls back once, with the first error, when all of them are done.
function run(streams, { signal, end = true }, callback) {
	if (streams.length < 2) {
		throw coded(TypeError, "ERR_MISSING_ARGS", 'The "streams" argument must be specified');
	}
	needSignal(signal, "options.signal");
	const own = new AbortController();
	const destroys = [];
	let failure, value, waiting = 1;
	const done = (err) => {
		if (err && (!failure || failure.code === "ERR_STREAM_PREMATURE_CLOSE")) {
			failure = err;
		}
		if (failure) {
			for (const fn of destroys.splice(0)) {
				fn(failure);
			}
		}
		if (--waiting === 0) {
			signal?.removeEventListener("abort", abort);
			own.abort();
			queueMicrotask(() => callback(failure, value));
		}
	};
	const abort = () => {
		waiting++;
		own.abort(signal.reason);
		done(new AbortError(undefined, { cause: signal.reason }));
	};
	const watch = (stream, reading, writing) => {
		waiting++;
		let over = false;
		destroys.push((err) => { if (!over && !stream.destroyed) { stream.on("error", () => {}); stream.destroy?.(err); } });
		finished(stream, { readable: reading, writable: writing }, (err) => {
			over = !err;
			// One that is only read may be left before its end by what reads it.
			done(err);
		});
	};
	let current;
	for (let i = 0; i < streams.length; i++) {
		const stage = streams[i];
		const last = i === streams.length - 1;
		if (typeof stage === "function") {
			const input = i === 0 ? undefined : current;
			current = i === 0 ? stage({ signal: own.signal }) : stage(isNodeStream(input) || isIterable(input) ? input : webReader(input), { signal: own.signal });
			if (last) {
				waiting++;
				if (typeof current?.then === "function") {
					current.then((result) => { value = result; done(); }, done);
				} else if (isIterable(current)) {
					// The last function's output is for nobody; it is read to its end.
					const sink = new PassThrough({ objectMode: true });
					sink.resume();
					pump(current, sink, true).then(() => done(), done);
				} else {
					throw coded(TypeError, "ERR_INVALID_RETURN_VALUE", "Expected AsyncIterable or Promise to be returned from the pipeline function.");
				}
			} else if (typeof current?.then === "function") {
				const through = new PassThrough({ objectMode: true });
				waiting++;
				current.then((result) => { if (result != null) { through.write(result); } through.end(); done(); }, (err) => { through.destroy(err); done(err); });
				current = through;
			} else if (!isIterable(current) && !isNodeStream(current)) {
				throw coded(TypeError, "ERR_INVALID_RETURN_VALUE", "Expected Iterable, AsyncIterable or Stream to be returned from the pipeline function.");
			}
		} else if (isNodeStream(stage)) {
			if (i > 0) {
				if (isNodeStream(current)) {
					current.pipe(stage, { end: end || !last });
				} else {
					waiting++;
					pump(isReadableWeb(current) ? webReader(current) : current, stage, end || !last).then(() => done(), done);
				}
			}
			watch(stage, i < streams.length - 1, i > 0 && (end || !last));
			current = stage;
		} else if (isTransformWeb(stage) && i > 0) {
			waiting++;
			pumpWeb(current, stage.writable, true).then(() => done(), done);
			current = stage.readable;
		} else if (isWritableWeb(stage) && i > 0) {
			waiting++;
			pumpWeb(current, stage, end).then(() => done(), done);
			current = stage;
		} else if (isReadableWeb(stage)) {
			current = webReader(stage);
		} else if (isIterable(stage) && i === 0) {
			current = stage;
		} else {
			throw invalidType(`streams[${i}]`, ["Stream", "Iterable", "AsyncIterable", "Function", "ReadableStream", "WritableStream"], stage);
		}
	}
	if (signal?.aborted) {
		queueMicrotask(abort);
	} else {
		signal?.addEventListener("abort", abort, { once: true });
	}
	queueMicrotask(() => done());
	return current;
}

// webReader is an async iterable over a ReadableStream.
function webReader(stream) {
	return typeof stream[asyncIterator] === "function" ? stream : { [asyncIterator]: () => stream.values() };
}

async function pumpWeb(source, writable, end) {
	const writer = writable.getWriter();
	const iterator = iteratorOf(source);
	try {
		for (let item = await iterator.next(); !item.done; item = await iterator.next()) {
			await writer.ready;
			await writer.write(item.value);
		}
		await writer.ready;
		if (end) {
			await writer.close();
		}
	} catch (err) {
		await writer.abort(err).catch(() => {});
		throw err;
	} finally {
		writer.releaseLock();
	}
}

function addAbortSignal(signal, stream) {
	needSignal(signal, "signal");
	if (!isNodeStream(stream)) {
		throw invalidType("stream", ["ReadableStream", "WritableStream", "Stream"], stream);
	}
	const abort = () => stream.destroy(new AbortError(undefined, { cause: signal.reason }));
	if (signal.aborted) {
		abort();
	} else {
		signal.addEventListener("abort", abort, { once: true });
		finished(stream, () => signal.removeEventListener("abort", abort));
	}
	return stream;
}

// compose makes one Duplex of several streams.
function compose(...stages) {
	const head = new PassThrough({ objectMode: true });
	const tail = new PassThrough({ objectMode: true });
	const duplex = new Duplex({
		objectMode: true,
		write(chunk, encoding, callback) { head.write(chunk, encoding) ? callback() : head.once("drain", callback); },
		final(callback) { head.end(); callback(); },
		read() { tail.resume(); },
		destroy(err, callback) { head.destroy(err); tail.destroy(); callback(err); },
	});
	tail.pause();
	tail.on("data", (chunk) => { if (!duplex.push(chunk)) { tail.pause(); } });
	tail.on("end", () => duplex.push(null));
	const first = stages[0];
	const begins = isNodeStream(first) && !isWritableNode(first);
	run(begins ? [...stages, tail] : [head, ...stages, tail], {}, (err) => { if (err) { duplex.destroy(err); } });
	return duplex;
}

// duplexPair makes two streams; what is written to one is read from the other.
function duplexPair(options) {
	const sides = [0, 1].map(() => new Duplex({
		...options,
		read() {
			const callback = this.taken;
			this.taken = undefined;
			callback?.();
		},
		write(chunk, encoding, callback) {
			if (chunk.length === 0) {
				queueMicrotask(callback);
			} else {
				this.other.push(chunk);
				this.other.taken = callback;
			}
		},
		final(callback) {
			this.other.on("end", callback);
			this.other.push(null);
		},
	}));
	[sides[0].other, sides[1].other] = [sides[1], sides[0]];
	return sides;
}

// Streams of the Web, and back.

function toWebReadable(stream, options) {
	const objectMode = stream.readableObjectMode;
	const strategy = options?.strategy ?? (objectMode ? new CountQueuingStrategy({ highWaterMark: stream.readableHighWaterMark }) : { highWaterMark: stream.readableHighWaterMark, size: (chunk) => chunk?.byteLength ?? 1 });
	let over = false;
	stream.pause();
	return new ReadableStream({
		start(controller) {
			const stop = finished(stream, { writable: false }, (err) => {
				if (!over) {
					over = true;
					stop();
					stream.on("error", () => {});
					err ? controller.error(err) : controller.close();
				}
			});
			stream.on("data", (chunk) => {
				controller.enqueue(Buffer.isBuffer(chunk) && !objectMode ? new Uint8Array(chunk) : chunk);
				if (controller.desiredSize <= 0) {
					stream.pause();
				}
			});
			stream.pause();
		},
		pull() { stream.resume(); },
		cancel(reason) {
			over = true;
			destroy(stream, reason);
		},
	}, strategy);
}

function fromWebReadable(web, options) {
	if (!isReadableWeb(web)) {
		throw invalidType("readableStream", ["an instance of ReadableStream"], web);
	}
	const reader = web.getReader();
	let closed = false;
	const stream = new Readable({
		...options,
		read() {
			reader.read().then(({ value, done }) => {
				closed ||= done;
				stream.push(done ? null : value);
			}, (err) => stream.destroy(err));
		},
		destroy(err, callback) {
			const done = () => callback(err);
			closed ? done() : reader.cancel(err).then(done, done);
		},
	});
	reader.closed.then(() => { closed = true; }, (err) => { closed = true; stream.destroy(err); });
	return stream;
}

function toWebWritable(stream) {
	let failure;
	return new WritableStream({
		start(controller) {
			finished(stream, { readable: false }, (err) => {
				if (err) {
					failure = err;
					stream.on("error", () => {});
					controller.error(err);
				}
			});
		},
		write(chunk) {
			return new Promise((resolve, reject) => stream.write(chunk, (err) => err ? reject(err) : resolve()));
		},
		abort(reason) { destroy(stream, reason); },
		close() {
			return new Promise((resolve, reject) => {
				if (failure) {
					reject(failure);
				} else {
					stream.end((err) => err ? reject(err) : resolve());
				}
			});
		},
	}, { highWaterMark: stream.writableHighWaterMark, size: (chunk) => stream.writableObjectMode ? 1 : chunk?.byteLength ?? chunk?.length ?? 1 });
}

function fromWebWritable(web, options) {
	if (!isWritableWeb(web)) {
		throw invalidType("writableStream", ["an instance of WritableStream"], web);
	}
	const writer = web.getWriter();
	let closed = false;
	const stream = new Writable({
		...options,
		write(chunk, encoding, callback) {
			writer.ready.then(() => writer.write(chunk)).then(() => callback(), callback);
		},
		final(callback) {
			closed = true;
			writer.close().then(() => callback(), callback);
		},
		destroy(err, callback) {
			const done = () => callback(err);
			closed ? done() : (err ? writer.abort(err) : writer.close()).then(done, done);
		},
	});
	writer.closed.then(() => { closed = true; }, (err) => { closed = true; stream.destroy(err); });
	return stream;
}

Object.assign(Readable, {
	from,
	toWeb: toWebReadable,
	fromWeb: fromWebReadable,
	wrap: (old, options) => new Readable({ objectMode: old.readableObjectMode ?? true, ...options }).wrap(old),
});
Object.assign(Writable, { toWeb: toWebWritable, fromWeb: fromWebWritable });
Object.assign(Duplex, {
	toWeb: (duplex) => ({ readable: toWebReadable(duplex), writable: toWebWritable(duplex) }),
	fromWeb: ({ readable, writable }, options) => joined(fromWebReadable(readable, options), fromWebWritable(writable, options), options),
	from(source) {
		if (source instanceof Duplex) {
			return source;
		}
		if (isTransformWeb(source)) {
			return Duplex.fromWeb(source);
		}
		if (isReadableWeb(source)) {
			return joined(fromWebReadable(source), undefined, { objectMode: true });
		}
		if (isWritableWeb(source)) {
			return joined(undefined, fromWebWritable(source), { objectMode: true });
		}
		if (typeof source === "function") {
			return compose(source);
		}
		if (source?.readable || source?.writable) {
			const part = (side) => isNodeStream(side) ? side : undefined;
			return isNodeStream(source)
				? joined(isReadableNode(source) ? source : undefined, isWritableNode(source) ? source : undefined, { objectMode: true })
				: joined(part(source.readable), part(source.writable), { objectMode: true });
		}
		if (typeof source?.then === "function") {
			return joined(from({ [asyncIterator]: () => ({ next: () => source.then((value) => { source = Promise.resolve(); return value === undefined ? { done: true } : { value, done: false }; }) }) }), undefined, { objectMode: true });
		}
		return joined(from(source), undefined, { objectMode: true });
	},
});

// joined is a Duplex that reads from one stream and writes to another.
function joined(readable, writable, options) {
	const duplex = new Duplex({
		...options,
		readable: Boolean(readable),
		writable: Boolean(writable),
		read() { readable?.resume(); },
		write(chunk, encoding, callback) { writable.write(chunk, encoding) ? callback() : writable.once("drain", () => callback()); },
		final(callback) { writable.end(callback); },
		destroy(err, callback) {
			readable?.destroy(err);
			writable?.destroy(err);
			callback(err);
		},
	});
	readable?.on("data", (chunk) => { if (!duplex.push(chunk)) { readable.pause(); } });
	readable?.on("end", () => duplex.push(null));
	for (const side of [readable, writable]) {
		side?.on("error", (err) => duplex.destroy(err));
	}
	return duplex;
}

// The methods of Readable that work as those of arrays do.

// mapped makes a stream of what fn gives for each chunk: next(emit) is called for each, and may be asynchronous.
function mapped(stream, fn, options) {
	needSignal(options?.signal, "options.signal");
	const iterator = stream[asyncIterator]();
	const ready = [];
	let index = 0, over = false;
	return from({
		[asyncIterator]: () => ({
			async next() {
				while (ready.length === 0 && !over) {
					if (options?.signal?.aborted) {
						throw new AbortError(undefined, { cause: options.signal.reason });
					}
					const { value, done } = await iterator.next();
					if (done) {
						over = true;
						break;
					}
					await fn(value, (out) => ready.push(out), index++, () => { over = true; });
				}
				if (ready.length > 0) {
					return { value: ready.shift(), done: false };
				}
				await iterator.return();
				return { value: undefined, done: true };
			},
			return() { return iterator.return(); },
		}),
	});
}

// each calls fn with every chunk until it says true.
async function each(stream, fn, options) {
	const { signal } = options ?? {};
	needSignal(signal, "options.signal");
	if (signal?.aborted) {
		throw new AbortError(undefined, { cause: signal.reason });
	}
	const iterator = stream[asyncIterator]();
	for (let item = await iterator.next(); !item.done; item = await iterator.next()) {
		let stop;
		try {
			stop = await fn(item.value);
		} catch (err) {
			await iterator.return();
			throw err;
		}
		if (stop) {
			await iterator.return();
			return;
		}
	}
}

const helpers = {
	map(fn, options) { needFunction(fn, "fn"); return mapped(this, async (value, emit) => emit(await fn(value, options ?? {})), options); },
	filter(fn, options) { needFunction(fn, "fn"); return mapped(this, async (value, emit) => { if (await fn(value, options ?? {})) { emit(value); } }, options); },
	flatMap(fn, options) {
		needFunction(fn, "fn");
		return mapped(this, async (value, emit) => {
			const iterator = iteratorOf(await fn(value, options ?? {}));
			for (let item = await iterator.next(); !item.done; item = await iterator.next()) {
				emit(item.value);
			}
		}, options);
	},
	drop(n, options) { return mapped(this, (value, emit, i) => { if (i >= n) { emit(value); } }, options); },
	take(n, options) {
		return mapped(this, (value, emit, i, stop) => {
			if (i < n) {
				emit(value);
			}
			if (i >= n - 1) {
				stop();
			}
		}, options);
	},
	forEach(fn, options) { needFunction(fn, "fn"); return each(this, async (value) => { await fn(value, options ?? {}); }, options); },
	async toArray(options) {
		const all = [];
		await each(this, (value) => { all.push(value); }, options);
		return all;
	},
	async some(fn, options) {
		let found = false;
		await each(this, async (value) => found = Boolean(await fn(value, options ?? {})), options);
		return found;
	},
	async every(fn, options) { return !await helpers.some.call(this, async (value, o) => !await fn(value, o), options); },
	async find(fn, options) {
		let found;
		await each(this, async (value) => {
			const hit = await fn(value, options ?? {});
			if (hit) {
				found = value;
			}
			return hit;
		}, options);
		return found;
	},
	async reduce(fn, initial, options) {
		let value = initial;
		let first = arguments.length < 2;
		await each(this, async (chunk) => {
			value = first ? chunk : await fn(value, chunk, options ?? {});
			first = false;
		}, options);
		if (first) {
			throw coded(TypeError, "ERR_INVALID_ARG_VALUE", "Reduce of an empty stream requires an initial value");
		}
		return value;
	},
	compose(stage) { return compose(this, stage); },
};
for (const name of Object.keys(helpers)) {
	Object.defineProperty(Readable.prototype, name, { value: helpers[name], writable: true, configurable: true });
}

const promises = {
	finished: (stream, options) => new Promise((resolve, reject) => {
		const cleanup = finished(stream, options, (err) => {
			if (options?.cleanup) {
				cleanup();
			}
			err ? reject(err) : resolve();
		});
	}),
	pipeline: (...streams) => new Promise((resolve, reject) => {
		const last = streams.at(-1);
		const options = last !== null && typeof last === "object" && !isNodeStream(last) && !isIterable(last) && !isReadableWeb(last) && !isWritableWeb(last) && !isTransformWeb(last) ? streams.pop() : {};
		run(streams.length === 1 && Array.isArray(streams[0]) ? streams[0] : streams, options, (err, value) => err ? reject(err) : resolve(value));
	}),
};

Object.defineProperty(pipeline, Symbol.for("nodejs.util.promisify.custom"), { get: () => promises.pipeline });
Object.defineProperty(finished, Symbol.for("nodejs.util.promisify.custom"), { get: () => promises.finished });

module.exports = Object.assign(Stream, {
	Stream, Readable, Writable, Duplex, Transform, PassThrough, finished, pipeline, addAbortSignal, compose, duplexPair, promises, ...defaults,
	destroy,
	isDestroyed: (stream) => sidesOf(stream).some((s) => s.destroyed),
	isDisturbed: (stream) => Boolean(stream.readableDidRead || stream.readableAborted || stream.locked),
	isErrored: (stream) => sidesOf(stream).some((s) => s.errored),
	isReadable: (stream) => stream.readable ?? null,
	isWritable: (stream) => stream.writable ?? null,
	_isUint8Array: (value) => value instanceof Uint8Array,
	_uint8ArrayToBuffer: (chunk) => Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength),
});
