// node:util (https://nodejs.org/api/util.html).
const { coded, invalidType, invalidValue, needFunction, needString, needObject, needSignal } = require("internal_errors");
const types = require("util/types");

const custom = Symbol.for("nodejs.util.inspect.custom");
const promisified = Symbol.for("nodejs.util.promisify.custom");

function inspect(value, options, depth, colors) {
	if (options === null || typeof options !== "object") {
		options = { showHidden: options === true, depth, colors };
	}
	const all = { ...inspect.defaultOptions };
	for (const key of Object.keys(options)) {
		if (options[key] !== undefined) {
			all[key] = options[key];
		}
	}
	return native.inspect(value, all, inspect);
}

inspect.custom = custom;
inspect.defaultOptions = {
	showHidden: false, depth: 2, colors: false, customInspect: true, showProxy: false, maxArrayLength: 100, maxStringLength: 10000,
	breakLength: 80, compact: 3, sorted: false, getters: false, numericSeparator: false,
};

const ansi = {
	reset: [0, 0], bold: [1, 22], dim: [2, 22], italic: [3, 23], underline: [4, 24], blink: [5, 25], inverse: [7, 27], hidden: [8, 28],
	strikethrough: [9, 29], doubleunderline: [21, 24], black: [30, 39], red: [31, 39], green: [32, 39], yellow: [33, 39], blue: [34, 39],
	magenta: [35, 39], cyan: [36, 39], white: [37, 39], gray: [90, 39], grey: [90, 39], redBright: [91, 39], greenBright: [92, 39],
	yellowBright: [93, 39], blueBright: [94, 39], magentaBright: [95, 39], cyanBright: [96, 39], whiteBright: [97, 39], bgBlack: [40, 49],
	bgRed: [41, 49], bgGreen: [42, 49], bgYellow: [43, 49], bgBlue: [44, 49], bgMagenta: [45, 49], bgCyan: [46, 49], bgWhite: [47, 49],
	bgGray: [100, 49], bgGrey: [100, 49], framed: [51, 54], overlined: [53, 55],
};
inspect.colors = { ...ansi };
inspect.styles = {
	special: "cyan", number: "yellow", bigint: "yellow", boolean: "yellow", undefined: "grey", null: "bold", string: "green", symbol: "green",
	date: "magenta", regexp: "red", module: "underline",
};

function styleText(format, text, { validateStream = true } = {}) {
	needString(text, "text");
	let out = text;
	for (const name of [format].flat().reverse()) {
		if (name === "none") {
			continue;
		}
		const codes = inspect.colors[name];
		if (!codes) {
			throw invalidValue("format", name);
		}
		if (validateStream) {
			continue; // an agent has no terminal to show styles
		}
		out = `\u001b[${codes[0]}m${out}\u001b[${codes[1]}m`;
	}
	return out;
}

const format = (...args) => formatWithOptions({}, ...args);

function formatWithOptions(options, ...args) {
	needObject(options, "inspectOptions");
	const shown = (value, more) => typeof value === "string" ? value : inspect(value, { ...options, compact: 3, ...more });
	if (typeof args[0] !== "string") {
		return args.map((value) => shown(value)).join(" ");
	}
	if (args.length === 1) {
		return args[0];
	}
	let next = 1;
	const text = args[0].replace(/%[sdifjoOc%]/g, (verb) => {
		if (verb === "%%") {
			return "%";
		}
		if (next >= args.length) {
			return verb;
		}
		const value = args[next++];
		switch (verb) {
		case "%s":
			return asString(value, options);
		case "%d":
			return typeof value === "bigint" ? `${value}n` : typeof value === "symbol" || typeof value === "object" && value !== null && Number.isNaN(Number(value)) ? "NaN" : numberText(Number(value));
		case "%i":
			return typeof value === "bigint" ? `${value}n` : typeof value === "symbol" ? "NaN" : numberText(parseInt(value, 10));
		case "%f":
			return typeof value === "symbol" ? "NaN" : numberText(parseFloat(value));
		case "%j":
			return jsonText(value);
		case "%o":
			return inspect(value, { ...options, showHidden: true, showProxy: true, depth: 4 });
		case "%O":
			return inspect(value, options);
		}
		return "";
	});
	return [text, ...args.slice(next).map((value) => shown(value))].join(" ");
}

const numberText = (n) => Object.is(n, -0) ? "-0" : String(n);

function asString(value, options) {
	switch (typeof value) {
	case "string":
		return value;
	case "number":
		return numberText(value);
	case "bigint":
		return `${value}n`;
	case "object":
		if (value === null || !(value instanceof Error) && (typeof value.toString !== "function" || value.toString === Object.prototype.toString || value.toString === Array.prototype.toString || types.isDate(value))) {
			return inspect(value, { ...options, depth: 0, colors: false, compact: 3 });
		}
	}
	return String(value);
}

function jsonText(value) {
	try {
		return JSON.stringify(value);
	} catch (err) {
		if (/circular/i.test(err.message)) {
			return "[Circular]";
		}
		throw err;
	}
}

function promisify(fn) {
	needFunction(fn, "original");
	if (fn[promisified]) {
		needFunction(fn[promisified], "util.promisify.custom");
		return Object.defineProperty(fn[promisified], promisified, { value: fn[promisified], configurable: true });
	}
	function wrapped(...args) {
		return new Promise((resolve, reject) => {
			Reflect.apply(fn, this, [...args, (err, value) => err ? reject(err) : resolve(value)]);
		});
	}
	Object.setPrototypeOf(wrapped, Object.getPrototypeOf(fn));
	Object.defineProperty(wrapped, promisified, { value: wrapped, configurable: true });
	return Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(fn));
}
promisify.custom = promisified;

function callbackify(fn) {
	needFunction(fn, "original");
	function wrapped(...args) {
		const callback = args.pop();
		needFunction(callback, "last argument");
		const call = (...results) => globalThis.process.nextTick(() => Reflect.apply(callback, this, results));
		Reflect.apply(fn, this, args).then((value) => call(null, value), (reason) => {
			call(reason || coded(Error, "ERR_FALSY_VALUE_REJECTION", "Promise was rejected with falsy value", { reason }));
		});
	}
	Object.setPrototypeOf(wrapped, Object.getPrototypeOf(fn));
	const descriptors = Object.getOwnPropertyDescriptors(fn);
	if (typeof descriptors.length?.value === "number") {
		descriptors.length.value++;
	}
	if (typeof descriptors.name?.value === "string") {
		descriptors.name.value += "Callbackified";
	}
	return Object.defineProperties(wrapped, descriptors);
}

function inherits(ctor, superCtor) {
	needFunction(ctor, "ctor");
	needFunction(superCtor, "superCtor");
	Object.defineProperty(ctor, "super_", { value: superCtor, writable: true, configurable: true });
	Object.setPrototypeOf(ctor.prototype, superCtor.prototype);
}

const warned = new Set();

function deprecate(fn, message, code) {
	needFunction(fn, "fn");
	let said = false;
	function deprecated(...args) {
		if (!said) {
			said = true;
			if (code === undefined || !warned.has(code)) {
				warned.add(code);
				require("process").emitWarning(message, "DeprecationWarning", code);
			}
		}
		return new.target ? Reflect.construct(fn, args, new.target) : Reflect.apply(fn, this, args);
	}
	Object.setPrototypeOf(deprecated, fn);
	if (fn.prototype) {
		deprecated.prototype = fn.prototype;
	}
	return deprecated;
}

// debuglog is on for no section: an agent has no NODE_DEBUG.
function debuglog() {
	const log = () => {};
	return Object.assign(log, { enabled: false });
}

function aborted(signal, resource) {
	needSignal(signal, "signal");
	needObject(resource, "resource");
	return signal.aborted ? Promise.resolve() : new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

const escapes = /[\u001B\u009B][[\]()#;?]*(?:(?:(?:(?:;[-a-zA-Z\d/#&.:=?%@~_]+)*|[a-zA-Z\d]+(?:;[-a-zA-Z\d/#&.:=?%@~_]*)*)?(?:\u0007|\u001B\u005C|\u009C))|(?:(?:\d{1,4}(?:;\d{0,4})*)?[\dA-PR-TZcf-nq-uy=><~]))/g;

function stripVTControlCharacters(text) {
	needString(text, "str");
	return text.replace(escapes, "");
}

function parseEnv(content) {
	needString(content, "content");
	const env = {};
	const line = /^\s*(?:export\s+)?([\w.-]+)\s*=[^\S\n]*(?:"((?:\\"|[^"])*)"|'([^']*)'|`([^`]*)`|([^\n#]*))[^\n]*$/gm;
	for (const [, key, double, single, back, bare] of content.matchAll(line)) {
		env[key] = double !== undefined ? double.replaceAll("\\n", "\n") : single ?? back ?? bare.trim();
	}
	return env;
}

function toUSVString(text) {
	return String(text).replace(/[\ud800-\udbff](?![\udc00-\udfff])|(^|[^\ud800-\udbff])[\udc00-\udfff]/g, (match, before) => `${before ?? ""}\ufffd`);
}

class MIMEParams {
	#map = new Map();
	get(name) { return this.#map.get(String(name)) ?? null; }
	has(name) { return this.#map.has(String(name)); }
	set(name, value) { this.#map.set(String(name), String(value)); }
	delete(name) { this.#map.delete(String(name)); }
	entries() { return this.#map.entries(); }
	keys() { return this.#map.keys(); }
	values() { return this.#map.values(); }
	[Symbol.iterator]() { return this.#map.entries(); }
	toString() {
		return [...this.#map].map(([k, v]) => `${k}=${/^[-!#$%&'*+.^_`|~A-Za-z0-9]+$/.test(v) ? v : `"${v.replace(/["\\]/g, "\\$&")}"`}`).join(";");
	}
	toJSON() { return this.toString(); }
}

class MIMEType {
	#type;
	#subtype;
	#params = new MIMEParams();
	constructor(input) {
		const match = /^[\t\n\r ]*([-!#$%&'*+.^_`|~A-Za-z0-9]+)\/([-!#$%&'*+.^_`|~A-Za-z0-9]+)[\t\n\r ]*((?:;[^]*)?)$/.exec(`${input}`);
		if (!match) {
			throw coded(TypeError, "ERR_INVALID_MIME_SYNTAX", `The MIME syntax for a type in "${input}" is invalid`);
		}
		this.#type = match[1].toLowerCase();
		this.#subtype = match[2].toLowerCase();
		for (const [, name, quoted, token] of match[3].matchAll(/;\s*([-!#$%&'*+.^_`|~A-Za-z0-9]+)=(?:"((?:\\.|[^"\\])*)"|([^;]*))/g)) {
			const key = name.toLowerCase();
			if (!this.#params.has(key)) {
				this.#params.set(key, quoted !== undefined ? quoted.replace(/\\(.)/g, "$1") : token.trimEnd());
			}
		}
	}
	get type() { return this.#type; }
	set type(value) { this.#type = String(value).toLowerCase(); }
	get subtype() { return this.#subtype; }
	set subtype(value) { this.#subtype = String(value).toLowerCase(); }
	get essence() { return `${this.#type}/${this.#subtype}`; }
	get params() { return this.#params; }
	toString() {
		const params = this.#params.toString();
		return this.essence + (params && `;${params}`);
	}
	toJSON() { return this.toString(); }
}

const util = module.exports = {
	inspect, format, formatWithOptions, styleText, promisify, callbackify, inherits, deprecate, debuglog, debug: debuglog, aborted,
	stripVTControlCharacters, parseEnv, toUSVString, types, MIMEParams, MIMEType,
	TextEncoder: globalThis.TextEncoder,
	TextDecoder: globalThis.TextDecoder,
	isDeepStrictEqual: (a, b) => require("internal_equal").strict(a, b),
	log: (...args) => console.log(format(...args)),
	getSystemErrorName(code) { return errnos().get(code)?.[0] ?? `Unknown system error ${code}`; },
	getSystemErrorMap: errnos,
	transferableAbortController: () => new AbortController(),
	transferableAbortSignal: (signal) => signal,
	get parseArgs() { return require("internal_args").parseArgs; },

	isArray: Array.isArray,
	isBoolean: (value) => typeof value === "boolean",
	isBuffer: (value) => require("buffer").Buffer.isBuffer(value),
	isDate: types.isDate,
	isError: (value) => types.isNativeError(value) || value instanceof Error,
	isFunction: (value) => typeof value === "function",
	isNull: (value) => value === null,
	isNullOrUndefined: (value) => value == null,
	isNumber: (value) => typeof value === "number",
	isObject: (value) => value !== null && typeof value === "object",
	isPrimitive: (value) => value === null || (typeof value !== "object" && typeof value !== "function"),
	isRegExp: types.isRegExp,
	isString: (value) => typeof value === "string",
	isSymbol: (value) => typeof value === "symbol",
	isUndefined: (value) => value === undefined,

	// As util._extend and util._errnoException are still called by old packages.
	_extend: (target, source) => source !== null && typeof source === "object" ? Object.assign(target, source) : target,
};

// errnos are the errors of an operating system that packages look for.
function errnos() {
	return new Map([
		[-2, ["ENOENT", "no such file or directory"]], [-13, ["EACCES", "permission denied"]], [-17, ["EEXIST", "file already exists"]],
		[-22, ["EINVAL", "invalid argument"]], [-32, ["EPIPE", "broken pipe"]], [-98, ["EADDRINUSE", "address already in use"]],
		[-104, ["ECONNRESET", "connection reset by peer"]], [-110, ["ETIMEDOUT", "connection timed out"]], [-111, ["ECONNREFUSED", "connection refused"]],
	]);
}
