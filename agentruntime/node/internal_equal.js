// Deep equality (https://nodejs.org/api/assert.html#comparison-details), for node:assert and node:util.
const types = require("util/types");

const own = Object.prototype.hasOwnProperty;

// equal compares a and b. A strict comparison looks at prototypes and at kinds, a partial one leaves out what b lacks.
// seen holds the pairs that are being compared, since values may hold themselves.
function equal(a, b, mode, seen) {
	if (mode.strict ? Object.is(a, b) : a == b || (a !== a && b !== b)) { // eslint-disable-line eqeqeq
		return true;
	}
	if (a === null || b === null || typeof a !== "object" || typeof b !== "object") {
		return false;
	}
	if (mode.strict && !mode.partial && Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) {
		return false;
	}
	if (Object.prototype.toString.call(a) !== Object.prototype.toString.call(b) || Array.isArray(a) !== Array.isArray(b)) {
		return false;
	}
	if (seen.some(([x, y]) => x === a && y === b)) {
		return true;
	}
	seen.push([a, b]);
	const same = contents(a, b, mode, seen);
	seen.pop();
	return same;
}

function contents(a, b, mode, seen) {
	const is = (test) => test(a) ? test(b) ? 1 : -1 : test(b) ? -1 : 0;
	let kind;
	if ((kind = is(types.isDate))) {
		if (kind < 0 || !Object.is(a.getTime(), b.getTime())) {
			return false;
		}
	} else if ((kind = is(types.isRegExp))) {
		if (kind < 0 || a.source !== b.source || a.flags !== b.flags || a.lastIndex !== b.lastIndex) {
			return false;
		}
	} else if ((kind = is(types.isNativeError))) {
		if (kind < 0 || a.message !== b.message || a.name !== b.name || !equal(a.cause, b.cause, mode, seen) || !equal(a.errors, b.errors, mode, seen)) {
			return false;
		}
	} else if ((kind = is(types.isBoxedPrimitive))) {
		if (kind < 0 || typeof a.valueOf() !== typeof b.valueOf() || !Object.is(a.valueOf(), b.valueOf())) {
			return false;
		}
	} else if ((kind = is(types.isArrayBuffer))) {
		return kind > 0 && bytes(new Uint8Array(a), new Uint8Array(b));
	} else if ((kind = is(ArrayBuffer.isView))) {
		if (kind < 0 || (mode.strict && Object.getPrototypeOf(a) !== Object.getPrototypeOf(b))) {
			return false;
		}
		if (!/Float/.test(a.constructor.name)) {
			return bytes(new Uint8Array(a.buffer, a.byteOffset, a.byteLength), new Uint8Array(b.buffer, b.byteOffset, b.byteLength));
		}
	} else if ((kind = is(types.isSet))) {
		if (kind < 0 || !sets(a, b, mode, seen)) {
			return false;
		}
	} else if ((kind = is(types.isMap))) {
		if (kind < 0 || !maps(a, b, mode, seen)) {
			return false;
		}
	} else if ((types.isWeakMap(a) || types.isWeakSet(a) || types.isPromise(a)) && mode.strict) {
		return false;
	}
	if (Array.isArray(a) && (mode.partial ? a.length < b.length : a.length !== b.length)) {
		return false;
	}
	return members(a, b, mode, seen);
}

function bytes(a, b) {
	return a.length === b.length && native.sameBytes(a, b);
}

function members(a, b, mode, seen) {
	if (mode.partial && Array.isArray(b)) {
		let at = 0;
		return b.every((item) => {
			while (at < a.length && !equal(a[at], item, mode, seen)) {
				at++;
			}
			return at++ < a.length;
		});
	}
	const keys = Object.keys(b);
	if (!mode.partial && Object.keys(a).length !== keys.length) {
		return false;
	}
	if (mode.strict) {
		const symbols = (o) => Object.getOwnPropertySymbols(o).filter((s) => Object.prototype.propertyIsEnumerable.call(o, s));
		const more = symbols(b);
		if (!mode.partial && symbols(a).length !== more.length) {
			return false;
		}
		keys.push(...more);
	}
	return keys.every((key) => own.call(a, key) && equal(a[key], b[key], mode, seen));
}

function sets(a, b, mode, seen) {
	if (mode.partial ? a.size < b.size : a.size !== b.size) {
		return false;
	}
	const left = new Set(a);
	for (const item of b) {
		if (left.delete(item)) {
			continue;
		}
		const match = [...left].find((other) => equal(other, item, mode, seen));
		if (match === undefined && !left.has(undefined)) {
			return false;
		}
		left.delete(match);
	}
	return true;
}

function maps(a, b, mode, seen) {
	if (mode.partial ? a.size < b.size : a.size !== b.size) {
		return false;
	}
	const left = new Map(a);
	for (const [key, value] of b) {
		if (left.has(key) && equal(left.get(key), value, mode, seen)) {
			left.delete(key);
			continue;
		}
		const match = [...left.keys()].find((other) => equal(other, key, mode, seen) && equal(left.get(other), value, mode, seen));
		if (match === undefined) {
			return false;
		}
		left.delete(match);
	}
	return true;
}

module.exports = {
	loose: (a, b) => equal(a, b, { strict: false }, []),
	strict: (a, b) => equal(a, b, { strict: true }, []),
	partial: (a, b) => equal(a, b, { strict: true, partial: true }, []),
};
