// Errors with a code (https://nodejs.org/api/errors.html#nodejs-error-codes), for the other modules.

function coded(Class, code, message, more) {
	const err = new Class(message);
	err.code = code;
	// As Node.js shows it: the code is in the stack, not in the name.
	Object.defineProperty(err, "toString", { value() { return `${this.name} [${code}]: ${this.message}`; }, configurable: true, writable: true });
	return more ? Object.assign(err, more) : err;
}

function received(value) {
	if (value == null) {
		return ` Received ${value}`;
	}
	if (typeof value === "function") {
		return ` Received function ${value.name}`;
	}
	if (typeof value === "object") {
		const name = value.constructor?.name;
		return name ? ` Received an instance of ${name}` : " Received an object";
	}
	let shown = typeof value === "symbol" ? value.toString() : String(value);
	if (shown.length > 28) {
		shown = shown.slice(0, 25) + "...";
	}
	return ` Received type ${typeof value} (${typeof value === "string" ? `'${shown}'` : shown})`;
}

const list = (kinds) => Array.isArray(kinds)
	? kinds.length > 1 ? `one of ${kinds.slice(0, -1).join(", ")} or ${kinds.at(-1)}` : kinds[0]
	: kinds;

const invalidType = (name, kinds, value) =>
	coded(TypeError, "ERR_INVALID_ARG_TYPE", `The ${name.includes(".") ? `"${name}" property` : `"${name}" argument`} must be ${/^(an|one) /.test(list(kinds)) ? "" : "of type "}${list(kinds)}.${received(value)}`);
const invalidValue = (name, value, reason = "is invalid") =>
	coded(TypeError, "ERR_INVALID_ARG_VALUE", `The argument '${name}' ${reason}. Received ${typeof value === "string" ? `'${value}'` : String(value)}`);
const outOfRange = (name, range, value) =>
	coded(RangeError, "ERR_OUT_OF_RANGE", `The value of "${name}" is out of range. It must be ${range}. Received ${String(value)}`);

function needFunction(value, name) {
	if (typeof value !== "function") {
		throw invalidType(name, "function", value);
	}
}

function needString(value, name) {
	if (typeof value !== "string") {
		throw invalidType(name, "string", value);
	}
}

function needObject(value, name) {
	if (value === null || typeof value !== "object" || Array.isArray(value)) {
		throw invalidType(name, "object", value);
	}
}

function needNumber(value, name, min, max) {
	if (typeof value !== "number") {
		throw invalidType(name, "number", value);
	}
	if (!(value >= (min ?? -Infinity) && value <= (max ?? Infinity))) {
		throw outOfRange(name, max === undefined ? `>= ${min}` : `>= ${min} && <= ${max}`, value);
	}
}

function needInteger(value, name, min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER) {
	if (typeof value !== "number") {
		throw invalidType(name, "number", value);
	}
	if (!Number.isInteger(value)) {
		throw outOfRange(name, "an integer", value);
	}
	needNumber(value, name, min, max);
}

function needSignal(value, name) {
	if (value !== undefined && (value === null || typeof value !== "object" || !("aborted" in value))) {
		throw invalidType(name, "an instance of AbortSignal", value);
	}
}

class AbortError extends Error {
	constructor(message = "The operation was aborted", options) {
		super(message, options);
		this.code = "ABORT_ERR";
		this.name = "AbortError";
	}
}

module.exports = {
	coded, invalidType, invalidValue, outOfRange, needFunction, needString, needObject, needNumber, needInteger, needSignal, AbortError,
};
