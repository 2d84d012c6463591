// node:punycode (https://nodejs.org/api/punycode.html), RFC 3492.

const base = 36, tMin = 1, tMax = 26, skew = 38, damp = 700, initialBias = 72, initialN = 128;

const fail = (text) => { throw new RangeError(text); };
const threshold = (k, bias) => k <= bias ? tMin : k >= bias + tMax ? tMax : k - bias;
const digit = (n) => String.fromCharCode(n < 26 ? n + 97 : n + 22);

function valueOf(code) {
	if (code >= 48 && code <= 57) {
		return code - 22;
	}
	const lower = code | 32;
	return lower >= 97 && lower <= 122 ? lower - 97 : base;
}

// adapt is section 6.1 of the RFC.
function adapt(delta, points, first) {
	delta = first ? Math.floor(delta / damp) : delta >> 1;
	delta += Math.floor(delta / points);
	let k = 0;
	for (; delta > ((base - tMin) * tMax) >> 1; k += base) {
		delta = Math.floor(delta / (base - tMin));
	}
	return Math.floor(k + (base - tMin + 1) * delta / (delta + skew));
}

function decode(input) {
	const output = [];
	const end = Math.max(0, input.lastIndexOf("-"));
	for (let i = 0; i < end; i++) {
		if (input.charCodeAt(i) >= 128) {
			fail("Illegal input >= 0x80 (not a basic code point)");
		}
		output.push(input.charCodeAt(i));
	}
	let n = initialN, i = 0, bias = initialBias;
	for (let at = end > 0 ? end + 1 : 0; at < input.length;) {
		const before = i;
		for (let w = 1, k = base; ; k += base) {
			const d = at < input.length ? valueOf(input.charCodeAt(at++)) : base;
			if (d >= base) {
				fail("Invalid input");
			}
			i += d * w;
			const t = threshold(k, bias);
			if (d < t) {
				break;
			}
			w *= base - t;
			if (i > Number.MAX_SAFE_INTEGER || w > Number.MAX_SAFE_INTEGER) {
				fail("Overflow: input needs wider integers to process");
			}
		}
		const length = output.length + 1;
		bias = adapt(i - before, length, before === 0);
		n += Math.floor(i / length);
		i %= length;
		output.splice(i++, 0, n);
	}
	return ucs2.encode(output);
}

function encode(input) {
	const points = ucs2.decode(input);
	const basic = points.filter((c) => c < 128);
	let output = String.fromCharCode(...basic);
	let handled = basic.length;
	if (handled > 0) {
		output += "-";
	}
	let n = initialN, delta = 0, bias = initialBias;
	for (; handled < points.length; delta++, n++) {
		const next = Math.min(...points.filter((c) => c >= n));
		delta += (next - n) * (handled + 1);
		n = next;
		for (const c of points) {
			if (c < n) {
				delta++;
			}
			if (c !== n) {
				continue;
			}
			let q = delta;
			for (let k = base; ; k += base) {
				const t = threshold(k, bias);
				if (q < t) {
					break;
				}
				output += digit(t + (q - t) % (base - t));
				q = Math.floor((q - t) / (base - t));
			}
			output += digit(q);
			bias = adapt(delta, handled + 1, handled === basic.length);
			delta = 0;
			handled++;
		}
	}
	return output;
}

const ucs2 = {
	decode: (text) => Array.from(text, (c) => c.codePointAt(0)),
	encode: (points) => points.map((c) => String.fromCodePoint(c)).join(""),
};

// labels applies fn to each label of a domain, and to those alone in an address with an @.
function labels(domain, fn) {
	const at = domain.indexOf("@");
	const user = at < 0 ? "" : domain.slice(0, at + 1);
	return user + domain.slice(at + 1).replace(/[\u3002\uff0e\uff61]/g, ".").split(".").map(fn).join(".");
}

module.exports = {
	version: "2.3.1",
	ucs2,
	decode,
	encode,
	toASCII: (domain) => labels(domain, (label) => /[^\0-\x7f]/.test(label) ? "xn--" + encode(label) : label),
	toUnicode: (domain) => labels(domain, (label) => label.startsWith("xn--") ? decode(label.slice(4).toLowerCase()) : label),
};
