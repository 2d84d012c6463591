// node:string_decoder (https://nodejs.org/api/string_decoder.html).
const { coded, invalidType } = require("internal_errors");
const { Buffer } = require("buffer");

// A function and not a class, for those who call it on an object of their own.
function StringDecoder(encoding) {
	const name = encoding == null || encoding === "" ? "utf8" : String(encoding);
	if (!Buffer.isEncoding(name)) {
		throw coded(TypeError, "ERR_UNKNOWN_ENCODING", `Unknown encoding: ${name}`);
	}
	const lower = name.toLowerCase();
	this.encoding = { "utf-8": "utf8", "ucs2": "utf16le", "ucs-2": "utf16le", "utf-16le": "utf16le", "binary": "latin1" }[lower] ?? lower;
	Object.defineProperty(this, "kept", { value: Buffer.alloc(0), writable: true });
}

// incomplete is how many bytes at the end of data belong to a character, or a group of digits, that goes on.
function incomplete(encoding, data) {
	const n = data.length;
	switch (encoding) {
	case "utf8":
		for (let i = 1; i <= Math.min(3, n); i++) {
			const c = data[n - i];
			if (c < 0x80) {
				return 0;
			}
			if (c >= 0xc2) {
				const need = c >= 0xf5 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
				return need > i ? i : 0;
			}
		}
		return 0;
	case "utf16le": {
		const odd = n % 2;
		const high = n - odd >= 2 && (data[n - odd - 1] & 0xfc) === 0xd8;
		return odd + (high ? 2 : 0);
	}
	case "base64":
	case "base64url":
		return n % 3;
	}
	return 0;
}

StringDecoder.prototype.write = function(data) {
	if (typeof data === "string") {
		return data;
	}
	if (!ArrayBuffer.isView(data)) {
		throw invalidType("buf", "an instance of Buffer, TypedArray, or DataView", data);
	}
	data = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
	if (this.kept.length > 0) {
		data = Buffer.concat([this.kept, data]);
	}
	const n = data.length - incomplete(this.encoding, data);
	this.kept = Buffer.from(data.subarray(n));
	return data.toString(this.encoding, 0, n);
};

StringDecoder.prototype.end = function(data) {
	let text = data === undefined ? "" : this.write(data);
	if (this.kept.length > 0) {
		text += this.kept.toString(this.encoding);
		this.kept = Buffer.alloc(0);
	}
	return text;
};

Object.defineProperties(StringDecoder.prototype, {
	lastNeed: { get() { return this.kept.length > 0 ? 1 : 0; } },
	lastTotal: { get() { return this.kept.length > 0 ? this.kept.length + 1 : 0; } },
});

module.exports = { StringDecoder };
