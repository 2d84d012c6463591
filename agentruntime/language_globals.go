package agentruntime

// This file has the global classes of the language that the engine lacks.

func init() {
	// A WeakRef holds its target strongly and a FinalizationRegistry never calls back, which the specification allows: when
	// memory is collected is left open, and a runtime of one invocation does not live to see it.
	scripted("WeakRef", `class WeakRef {
		#target;
		constructor(target) {
			if (Object(target) !== target && typeof target !== "symbol") throw new TypeError("WeakRef: invalid target");
			this.#target = target;
		}
		deref() { return this.#target; }
		get [Symbol.toStringTag]() { return "WeakRef"; }
	}`)
	scripted("FinalizationRegistry", `class FinalizationRegistry {
		#tokens = new WeakSet();
		constructor(callback) {
			if (typeof callback !== "function") throw new TypeError("FinalizationRegistry: cleanup must be callable");
		}
		register(target, held, token) {
			if (Object(target) !== target && typeof target !== "symbol") throw new TypeError("FinalizationRegistry.prototype.register: invalid target");
			if (target === held) throw new TypeError("FinalizationRegistry.prototype.register: target and holdings must not be same");
			if (Object(token) === token) this.#tokens.add(token);
		}
		unregister(token) {
			if (Object(token) !== token) throw new TypeError("Invalid unregisterToken");
			return this.#tokens.delete(token);
		}
		get [Symbol.toStringTag]() { return "FinalizationRegistry"; }
	}`)
	scripted("SuppressedError", `class SuppressedError extends Error {
		static { Object.defineProperty(this.prototype, "name", { value: "SuppressedError", writable: true, configurable: true }); }
		constructor(error, suppressed, message) {
			super(message);
			Object.defineProperty(this, "error", { value: error, writable: true, configurable: true });
			Object.defineProperty(this, "suppressed", { value: suppressed, writable: true, configurable: true });
		}
	}`)
	scripted("DisposableStack", `class DisposableStack {
		#stack = [];
		#disposed = false;
		#open() { if (this.#disposed) throw new ReferenceError("the DisposableStack is disposed"); }
		get disposed() { return this.#disposed; }
		use(value) {
			this.#open();
			if (value != null) {
				const dispose = value[Symbol.for("Symbol.dispose")];
				if (typeof dispose !== "function") throw new TypeError("the value is not disposable");
				this.#stack.push(() => dispose.call(value));
			}
			return value;
		}
		adopt(value, dispose) {
			this.#open();
			if (typeof dispose !== "function") throw new TypeError("onDispose is not a function");
			this.#stack.push(() => dispose(value));
			return value;
		}
		defer(dispose) {
			this.#open();
			if (typeof dispose !== "function") throw new TypeError("onDispose is not a function");
			this.#stack.push(() => dispose());
		}
		move() {
			this.#open();
			const moved = new DisposableStack();
			moved.#stack = this.#stack;
			this.#stack = [];
			this.#disposed = true;
			return moved;
		}
		dispose() {
			if (this.#disposed) return;
			this.#disposed = true;
			let failed = false, failure;
			while (this.#stack.length) {
				try { this.#stack.pop()(); } catch (e) { failure = failed ? new SuppressedError(e, failure, "An error was suppressed during disposal.") : e; failed = true; }
			}
			if (failed) throw failure;
		}
		[Symbol.for("Symbol.dispose")]() { this.dispose(); }
		get [Symbol.toStringTag]() { return "DisposableStack"; }
	}`)
	scripted("AsyncDisposableStack", `class AsyncDisposableStack {
		#stack = [];
		#disposed = false;
		#open() { if (this.#disposed) throw new ReferenceError("the AsyncDisposableStack is disposed"); }
		get disposed() { return this.#disposed; }
		use(value) {
			this.#open();
			if (value != null) {
				const dispose = value[Symbol.for("Symbol.asyncDispose")] ?? value[Symbol.for("Symbol.dispose")];
				if (typeof dispose !== "function") throw new TypeError("the value is not disposable");
				this.#stack.push(() => dispose.call(value));
			}
			return value;
		}
		adopt(value, dispose) {
			this.#open();
			if (typeof dispose !== "function") throw new TypeError("onDisposeAsync is not a function");
			this.#stack.push(() => dispose(value));
			return value;
		}
		defer(dispose) {
			this.#open();
			if (typeof dispose !== "function") throw new TypeError("onDisposeAsync is not a function");
			this.#stack.push(() => dispose());
		}
		move() {
			this.#open();
			const moved = new AsyncDisposableStack();
			moved.#stack = this.#stack;
			this.#stack = [];
			this.#disposed = true;
			return moved;
		}
		async disposeAsync() {
			if (this.#disposed) return;
			this.#disposed = true;
			let failed = false, failure;
			while (this.#stack.length) {
				try { await this.#stack.pop()(); } catch (e) { failure = failed ? new SuppressedError(e, failure, "An error was suppressed during disposal.") : e; failed = true; }
			}
			if (failed) throw failure;
		}
		[Symbol.for("Symbol.asyncDispose")]() { return this.disposeAsync(); }
		get [Symbol.toStringTag]() { return "AsyncDisposableStack"; }
	}`)
}
