// node:assert (https://nodejs.org/api/assert.html).
const { coded, invalidType, invalidValue } = require("internal_errors");
const { loose, strict: strictly, partial } = require("internal_equal");
const { inspect } = require("util");

const shown = (value) => inspect(value, { depth: 1000, maxArrayLength: 1000, sorted: true, getters: true });

// texts say what was expected, by operator.
const texts = {
	deepStrictEqual: "Expected values to be strictly deep-equal:",
	deepEqual: "Expected values to be loosely deep-equal:",
	strictEqual: "Expected values to be strictly equal:",
	notDeepStrictEqual: 'Expected "actual" not to be strictly deep-equal to:',
	notDeepEqual: 'Expected "actual" not to be loosely deep-equal to:',
	notStrictEqual: 'Expected "actual" to be strictly unequal to:',
	partialDeepStrictEqual: "Expected values to be partially and strictly deep-equal:",
};

// differing shows two values line by line, with a mark before what only one has.
function differing(actual, expected) {
	const a = shown(actual).split("\n");
	const b = shown(expected).split("\n");
	if (a.length === 1 && b.length === 1) {
		return `\n${a[0]} !== ${b[0]}\n`;
	}
	const head = (i) => i < Math.min(a.length, b.length) && a[i] === b[i];
	let start = 0;
	while (head(start)) {
		start++;
	}
	let end = 0;
	while (end < Math.min(a.length, b.length) - start && a[a.length - 1 - end] === b[b.length - 1 - end]) {
		end++;
	}
	const lines = [
		...a.slice(Math.max(0, start - 2), start).map((line) => "  " + line),
		...a.slice(start, a.length - end).map((line) => "+ " + line),
		...b.slice(start, b.length - end).map((line) => "- " + line),
		...a.slice(a.length - end, a.length - end + 2).map((line) => "  " + line),
	];
	return `+ actual - expected\n\n${lines.join("\n")}`;
}

function messageOf(operator, actual, expected) {
	switch (operator) {
	case "equal":
	case "==":
		return `${shown(actual)} == ${shown(expected)}`;
	case "notEqual":
	case "!=":
		return `${shown(actual)} != ${shown(expected)}`;
	case "deepEqual":
		return `${texts.deepEqual}\n\n${shown(actual)}\n\nshould loosely deep-equal\n\n${shown(expected)}`;
	case "strictEqual":
		if (actual !== null && typeof actual === "object" && strictly(actual, expected)) {
			return `Values have same structure but are not reference-equal:\n\n${shown(actual)}\n`;
		}
	}
	const text = texts[operator];
	if (text === undefined) {
		return `${shown(actual)} ${operator} ${shown(expected)}`;
	}
	return operator.startsWith("not") ? `${text}${operator.startsWith("notDeep") ? "\n\n" : " "}${shown(expected)}` : `${text}\n${differing(actual, expected)}`;
}

class AssertionError extends Error {
	constructor(options) {
		if (options === null || typeof options !== "object") {
			throw invalidType("options", "object", options);
		}
		const { message, operator, actual, expected } = options;
		super(message != null ? String(message) : messageOf(operator, actual, expected));
		this.generatedMessage = message == null;
		this.code = "ERR_ASSERTION";
		this.actual = actual;
		this.expected = expected;
		this.operator = operator;
		Object.defineProperty(this, "name", { value: "AssertionError", writable: true, configurable: true });
	}
	toString() { return `${this.name} [${this.code}]: ${this.message}`; }
}

function fails(operator, actual, expected, message) {
	if (message instanceof Error) {
		throw message;
	}
	throw new AssertionError({ message, operator, actual, expected });
}

function need(count, args, ...names) {
	if (args.length < count) {
		throw coded(TypeError, "ERR_MISSING_ARGS", `The ${names.slice(0, count).map((name) => `"${name}"`).join(" and ")} ${count > 1 ? "arguments" : "argument"} must be specified`);
	}
}

function ok(...args) {
	const [value, message] = args;
	if (!value) {
		if (message instanceof Error) {
			throw message;
		}
		const err = new AssertionError({
			message: message ?? (args.length === 0 ? "No value argument passed to `assert.ok()`" : `The expression evaluated to a falsy value:\n\n  ${shown(value)}\n`),
			operator: "==", actual: value, expected: true,
		});
		err.generatedMessage = message == null;
		throw err;
	}
}

// assertion makes a function that compares two values.
const assertion = (operator, test) => function(actual, expected, message) {
	need(2, arguments, "actual", "expected");
	if (!test(actual, expected)) {
		fails(operator, actual, expected, message);
	}
};

const equals = (a, b) => a == b || (a !== a && b !== b); // eslint-disable-line eqeqeq

const assert = module.exports = (...args) => ok(...args);
const all = {
	AssertionError,
	ok,
	fail(message = "Failed") {
		if (message instanceof Error) {
			throw message;
		}
		const err = new AssertionError({ message, operator: "fail" });
		err.generatedMessage = arguments.length === 0;
		throw err;
	},
	equal: assertion("==", equals),
	notEqual: assertion("!=", (a, b) => !equals(a, b)),
	strictEqual: assertion("strictEqual", Object.is),
	notStrictEqual: assertion("notStrictEqual", (a, b) => !Object.is(a, b)),
	deepEqual: assertion("deepEqual", loose),
	notDeepEqual: assertion("notDeepEqual", (a, b) => !loose(a, b)),
	deepStrictEqual: assertion("deepStrictEqual", strictly),
	notDeepStrictEqual: assertion("notDeepStrictEqual", (a, b) => !strictly(a, b)),
	partialDeepStrictEqual: assertion("partialDeepStrictEqual", partial),
	throws(fn, expected, message) { thrown("throws", caught(fn), expected, message); },
	doesNotThrow(fn, expected, message) { notThrown("doesNotThrow", caught(fn), expected, message); },
	async rejects(promise, expected, message) { thrown("rejects", await rejected(promise), expected, message); },
	async doesNotReject(promise, expected, message) { notThrown("doesNotReject", await rejected(promise), expected, message); },
	ifError(value) {
		if (value != null) {
			const text = value.message !== undefined && typeof value.message === "string" ? value.message || value.constructor.name : shown(value);
			const err = new AssertionError({ message: `ifError got unwanted exception: ${text}`, operator: "ifError", actual: value, expected: null });
			err.generatedMessage = true;
			throw err;
		}
	},
	match: matching("match", true, "The input did not match the regular expression"),
	doesNotMatch: matching("doesNotMatch", false, "The input was expected to not match the regular expression"),
};

function matching(operator, want, text) {
	return (string, regexp, message) => {
		if (!(regexp instanceof RegExp)) {
			throw invalidType("regexp", "an instance of RegExp", regexp);
		}
		if (typeof string !== "string" || (regexp.exec(string) !== null) !== want) {
			if (message instanceof Error) {
				throw message;
			}
			const generated = typeof string !== "string"
				? `The "string" argument must be of type string. Received type ${typeof string} (${shown(string)})`
				: `${text} ${shown(regexp)}. Input:\n\n${shown(string)}\n`;
			const err = new AssertionError({ message: message ?? generated, operator, actual: string, expected: regexp });
			err.generatedMessage = message == null;
			throw err;
		}
	};
}

const none = Symbol("no exception");

function caught(fn) {
	if (typeof fn !== "function") {
		throw invalidType("fn", "function", fn);
	}
	try {
		fn();
	} catch (err) {
		return err;
	}
	return none;
}

async function rejected(promise) {
	if (typeof promise === "function") {
		promise = promise();
		if (typeof promise?.then !== "function") {
			throw coded(TypeError, "ERR_INVALID_RETURN_VALUE", 'Expected instance of Promise to be returned from the "promiseFn" function.');
		}
	}
	if (typeof promise?.then !== "function") {
		throw invalidType("promiseFn", ["function", "an instance of Promise"], promise);
	}
	try {
		await promise;
	} catch (err) {
		return err;
	}
	return none;
}

function thrown(operator, err, expected, message) {
	if (typeof expected === "string") {
		if (message !== undefined) {
			throw invalidType("error", ["function", "an instance of Error", "RegExp", "Object"], expected);
		}
		if (err !== none && (err?.message ?? err) === expected) {
			throw coded(TypeError, "ERR_AMBIGUOUS_ARGUMENT", `The "error/message" argument is ambiguous. The error message "${expected}" is identical to the message.`);
		}
		message = expected;
		expected = undefined;
	}
	if (err === none) {
		const what = operator === "rejects" ? "rejection" : "exception";
		const name = expected?.name ? ` (${expected.name})` : "";
		if (message instanceof Error) {
			throw message;
		}
		throw new AssertionError({ message: `Missing expected ${what}${name}${message ? ": " + message : "."}`, operator, actual: undefined, expected });
	}
	if (expected !== undefined) {
		validate(operator, err, expected, message);
	}
}

// validate checks an exception against a class, a function, a regular expression or an object.
function validate(operator, err, expected, message) {
	const bad = (text) => {
		if (message instanceof Error) {
			throw message;
		}
		const failure = new AssertionError({ message: message ?? text, operator, actual: err, expected });
		failure.generatedMessage = message == null;
		throw failure;
	};
	if (typeof expected === "function") {
		if (expected.prototype !== undefined && err instanceof expected) {
			return;
		}
		if (expected === Error || Error.isPrototypeOf(expected)) {
			bad(`The error is expected to be an instance of "${expected.name}". Received "${err?.constructor?.name ?? shown(err)}"${err?.message ? `\n\nError message:\n\n${err.message}` : ""}`);
		}
		const result = Reflect.apply(expected, {}, [err]);
		if (result !== true) {
			bad(`The ${expected.name ? `"${expected.name}" ` : ""}validation function is expected to return "true". Received ${shown(result)}\n\nCaught error:\n\n${err}`);
		}
		return;
	}
	if (expected instanceof RegExp) {
		if (!expected.test(String(err))) {
			bad(`The input did not match the regular expression ${shown(expected)}. Input:\n\n${shown(String(err))}\n`);
		}
		return;
	}
	if (expected === null || typeof expected !== "object") {
		throw invalidType("expected", ["function", "an instance of Error", "RegExp", "Object"], expected);
	}
	const keys = Object.keys(expected);
	if (expected instanceof Error) {
		keys.push("name", "message");
	} else if (keys.length === 0) {
		throw invalidValue("error", expected, "may not be an empty object");
	}
	for (const key of keys) {
		const fits = typeof err?.[key] === "string" && expected[key] instanceof RegExp ? expected[key].test(err[key]) : strictly(err?.[key], expected[key]);
		if (!fits) {
			const part = (from) => Object.fromEntries(keys.filter((k) => from != null && k in Object(from)).map((k) => [k, from[k]]));
			bad(`Expected values to be strictly deep-equal:\n${differing(part(err), part(expected))}`);
		}
	}
}

function notThrown(operator, err, expected, message) {
	if (err === none) {
		return;
	}
	if (typeof expected === "string") {
		message = expected;
		expected = undefined;
	}
	if (expected !== undefined && !(expected instanceof RegExp ? expected.test(String(err)) : err instanceof expected)) {
		throw err;
	}
	const what = operator === "doesNotReject" ? "rejection" : "exception";
	throw new AssertionError({ message: `Got unwanted ${what}${message ? ": " + message : "."}\nActual message: "${err?.message}"`, operator, actual: err, expected });
}

Object.assign(assert, all);
assert.strict = Object.assign((...args) => ok(...args), all, {
	equal: all.strictEqual, notEqual: all.notStrictEqual, deepEqual: all.deepStrictEqual, notDeepEqual: all.notDeepStrictEqual,
});
assert.strict.strict = assert.strict;
