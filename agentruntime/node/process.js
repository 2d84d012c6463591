// node:process (https://nodejs.org/api/process.html), as far as an agent has one.

const { performance } = globalThis;
const title = "workerd"; // what packages that ask for it know

// lines makes a stream to the console: each line is one call of write.
function lines(level, fd) {
	let kept = "", waiting = false;
	const flush = () => {
		waiting = false;
		if (kept !== "") {
			const line = kept;
			kept = "";
			console[level](line);
		}
	};
	const { Writable } = require("stream");
	const stream = new Writable({
		decodeStrings: false,
		write(chunk, encoding, callback) {
			const parts = (kept + (typeof chunk === "string" ? chunk : chunk.toString())).split("\n");
			kept = parts.pop();
			for (const line of parts) {
				console[level](line);
			}
			if (kept !== "" && !waiting) {
				waiting = true;
				queueMicrotask(flush);
			}
			callback();
		},
	});
	return Object.assign(stream, { fd, isTTY: false, columns: 80, destroySoon: stream.end, _type: "fs" });
}

function once(make) {
	let made;
	return () => made ??= make();
}

const stdout = once(() => lines("log", 1));
const stderr = once(() => lines("error", 2));
const stdin = once(() => {
	const { Readable } = require("stream");
	const stream = new Readable({ read() {} });
	stream.push(null);
	return Object.assign(stream, { fd: 0, isTTY: false });
});

function hrtime(previous) {
	const now = performance.now();
	let seconds = Math.floor(now / 1000);
	let nanos = Math.floor((now % 1000) * 1e6);
	if (previous !== undefined) {
		seconds -= previous[0];
		nanos -= previous[1];
		if (nanos < 0) {
			seconds--;
			nanos += 1e9;
		}
	}
	return [seconds, nanos];
}
hrtime.bigint = () => BigInt(Math.floor(performance.now() * 1e6));

function emitWarning(warning, type, code) {
	let detail;
	if (type !== null && typeof type === "object") {
		({ type, code, detail } = type);
	}
	const err = warning instanceof Error ? warning : Object.assign(new Error(warning), { name: String(type ?? "Warning") });
	if (code !== undefined && typeof code !== "function") {
		err.code = code;
	}
	if (detail !== undefined) {
		err.detail = detail;
	}
	console.warn(`${err.code ? `[${err.code}] ` : ""}${err.name}: ${err.message}${detail ? `\n${detail}` : ""}`);
	if (process.listenerCount?.("warning")) {
		queueMicrotask(() => process.emit("warning", err));
	}
}

const version = "v22.19.0"; // the version of Node.js whose modules these are

const process = {
	title,
	version,
	versions: { node: version.slice(1), v8: "12.4.254.21-node.33", uv: "1.51.0", modules: "127" },
	arch: "x64",
	platform: "linux",
	pid: 1,
	ppid: 0,
	argv: [title],
	argv0: title,
	execArgv: [],
	execPath: "",
	exitCode: undefined,
	debugPort: 0,
	config: Object.freeze({ target_defaults: Object.freeze({}), variables: Object.freeze({}) }),
	release: { name: "node", lts: "Jod", sourceUrl: "", headersUrl: "" },
	features: Object.freeze({ inspector: false, debug: false, uv: false, ipv6: true, tls_alpn: true, tls_sni: true, tls_ocsp: true, tls: true, cached_builtins: true, typescript: false, require_module: false }),
	allowedNodeEnvironmentFlags: new Set(),
	sourceMapsEnabled: false,
	get env() { return replaced ?? native.processEnv(); },
	set env(value) { replaced = value; },
	get stdout() { return stdout(); },
	get stderr() { return stderr(); },
	get stdin() { return stdin(); },
	cwd: () => "/bundle",
	umask: () => 0o22,
	getuid: () => 0,
	geteuid: () => 0,
	getgid: () => 0,
	getegid: () => 0,
	getgroups: () => [0],
	uptime: () => performance.now() / 1000,
	hrtime,
	emitWarning,
	nextTick(fn, ...args) {
		if (typeof fn !== "function") {
			throw require("internal_errors").invalidType("callback", "function", fn);
		}
		queueMicrotask(args.length === 0 ? fn : () => fn(...args));
	},
	getBuiltinModule(name) {
		const { isBuiltin } = require("module");
		return isBuiltin(name) ? require(name) : undefined;
	},
	hasUncaughtExceptionCaptureCallback: () => false,
	getActiveResourcesInfo: () => [],
	setSourceMapsEnabled() {},
};

let replaced;

Object.defineProperty(process, Symbol.toStringTag, { value: "process", configurable: true });

// What process has not itself is made when it is looked for: the methods of an EventEmitter, which few want, and what an
// agent cannot do, which says so when it is called.
const emitting = new Set([
	"addListener", "on", "once", "off", "removeListener", "removeAllListeners", "emit", "prependListener", "prependOnceListener", "listeners",
	"rawListeners", "listenerCount", "eventNames", "setMaxListeners", "getMaxListeners",
]);
let EventEmitter;
const others = native.made((name) => {
	if (!emitting.has(name)) {
		return native.absent("process", name);
	}
	if (!EventEmitter) {
		EventEmitter = require("events");
		Object.setPrototypeOf(others, EventEmitter.prototype);
		for (const own of ["_events", "_eventsCount", "_maxListeners"]) {
			Object.defineProperty(process, own, { value: undefined, writable: true, configurable: true });
		}
		EventEmitter.call(process);
	}
	return EventEmitter.prototype[name];
});
Object.setPrototypeOf(process, others);

module.exports = process;
