// node:querystring (https://nodejs.org/api/querystring.html).

const plain = /^[A-Za-z0-9\-_.!~*'()]*$/;

function escape(value) {
	if (typeof value !== "string") {
		value = typeof value === "object" ? String(value) : value + "";
	}
	if (plain.test(value)) {
		return value;
	}
	try {
		return encodeURIComponent(value);
	} catch {
		throw Object.assign(new URIError("URI malformed"), { code: "ERR_INVALID_URI" });
	}
}

// unescapeBuffer takes every %XX that is one and leaves the rest as it is.
function unescapeBuffer(text, plus) {
	const { Buffer } = require("buffer");
	const from = Buffer.from(String(text), "utf8");
	const out = Buffer.alloc(from.length);
	let n = 0;
	for (let i = 0; i < from.length; i++) {
		let c = from[i];
		if (c === 37 && i + 2 < from.length) {
			const hex = String.fromCharCode(from[i + 1], from[i + 2]);
			if (/^[0-9A-Fa-f]{2}$/.test(hex)) {
				c = parseInt(hex, 16);
				i += 2;
			}
		} else if (plus && c === 43) {
			c = 32;
		}
		out[n++] = c;
	}
	return out.subarray(0, n);
}

function unescape(text) {
	try {
		return decodeURIComponent(text);
	} catch {
		return unescapeBuffer(text).toString();
	}
}

function primitive(value) {
	switch (typeof value) {
	case "string":
		return value;
	case "number":
		return Number.isFinite(value) ? String(value) : "";
	case "bigint":
	case "boolean":
		return String(value);
	}
	return "";
}

function stringify(object, separator, equals, options) {
	const encode = typeof options?.encodeURIComponent === "function" ? options.encodeURIComponent : querystring.escape;
	if (object === null || typeof object !== "object") {
		return "";
	}
	separator ||= "&";
	equals ||= "=";
	const pairs = [];
	for (const key of Object.keys(object)) {
		const value = object[key];
		const name = encode(primitive(key)) + equals;
		if (Array.isArray(value)) {
			for (const item of value) {
				pairs.push(name + encode(primitive(item)));
			}
		} else {
			pairs.push(name + encode(primitive(value)));
		}
	}
	return pairs.join(separator);
}

function parse(text, separator, equals, options) {
	const object = Object.create(null);
	if (typeof text !== "string" || text === "") {
		return object;
	}
	separator = separator ? String(separator) : "&";
	equals = equals ? String(equals) : "=";
	const decode = typeof options?.decodeURIComponent === "function" ? options.decodeURIComponent : querystring.unescape;
	const most = typeof options?.maxKeys === "number" ? options.maxKeys : 1000;
	const decoded = (part) => {
		part = part.replaceAll("+", " ");
		if (decode === unescape && !part.includes("%")) {
			return part;
		}
		try {
			return decode(part);
		} catch {
			return unescape(part);
		}
	};
	let pairs = text.split(separator);
	if (most > 0) {
		pairs = pairs.slice(0, most);
	}
	for (const pair of pairs) {
		if (pair === "") {
			continue;
		}
		const at = pair.indexOf(equals);
		const key = decoded(at < 0 ? pair : pair.slice(0, at));
		const value = at < 0 ? "" : decoded(pair.slice(at + equals.length));
		if (!(key in object)) {
			object[key] = value;
		} else if (Array.isArray(object[key])) {
			object[key].push(value);
		} else {
			object[key] = [object[key], value];
		}
	}
	return object;
}

const querystring = module.exports = { escape, unescape, unescapeBuffer, stringify, encode: stringify, parse, decode: parse };
