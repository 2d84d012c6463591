// node:crypto (https://nodejs.org/api/crypto.html), its common part. The computing is native; this half reads arguments.
const { coded, invalidType, invalidValue, outOfRange, needFunction, needInteger, needNumber, needString } = require("internal_errors");
const { Buffer } = require("buffer");

const { crypto } = globalThis;

// bytes reads what may be text or bytes.
function bytes(value, name, encoding) {
	if (typeof value === "string") {
		return Buffer.from(value, encoding === "buffer" ? "utf8" : encoding);
	}
	if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
		return value;
	}
	throw invalidType(name, ["string", "an instance of Buffer", "TypedArray", "DataView"], value);
}

const shown = (buffer, encoding) => encoding === undefined || encoding === "buffer" ? buffer : buffer.toString(encoding);

// later calls back with what work gives, or throws, after the code that runs has ended.
function later(callback, work) {
	needFunction(callback, "callback");
	let result, failure;
	try {
		result = work();
	} catch (err) {
		failure = err;
	}
	queueMicrotask(() => failure ? callback(failure) : callback(null, result));
}

// streaming gives a class the methods of a stream, which is made when one of them is first called.
function streaming(Class, write, end) {
	const streams = new WeakMap();
	const streamOf = (object) => {
		let stream = streams.get(object);
		if (!stream) {
			const { Transform } = require("stream");
			stream = new Transform({
				transform(chunk, encoding, callback) {
					try {
						callback(null, write(object, chunk));
					} catch (err) {
						callback(err);
					}
				},
				flush(callback) {
					try {
						const last = end(object);
						if (last !== undefined) {
							this.push(last);
						}
						callback();
					} catch (err) {
						callback(err);
					}
				},
			});
			streams.set(object, stream);
		}
		return stream;
	};
	for (const name of ["write", "end", "on", "once", "off", "addListener", "removeListener", "removeAllListeners", "prependListener", "prependOnceListener", "listeners", "eventNames", "emit", "pipe", "unpipe", "read", "setEncoding", "resume", "pause", "destroy", "cork", "uncork", "listenerCount", Symbol.for("Symbol.asyncIterator")]) {
		Object.defineProperty(Class.prototype, name, {
			value(...args) {
				const stream = streamOf(this);
				const result = stream[name](...args);
				return result === stream ? this : result;
			},
			configurable: true, writable: true,
		});
	}
	for (const name of ["writable", "readable", "_readableState", "_writableState", "destroyed", "writableNeedDrain", "writableEnded", "readableEnded"]) {
		Object.defineProperty(Class.prototype, name, { get() { return streamOf(this)[name]; }, configurable: true });
	}
}

const finalized = () => coded(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");

class Hash {
	#state;
	#done = false;

	constructor(algorithm, state) {
		this.#state = state ?? native.hashNew(algorithm);
	}

	update(data, encoding) {
		if (this.#done) {
			throw finalized();
		}
		native.hashUpdate(this.#state, bytes(data, "data", encoding));
		return this;
	}

	digest(encoding) {
		if (this.#done) {
			throw finalized();
		}
		this.#done = true;
		return shown(native.hashSum(this.#state), encoding);
	}

	copy() {
		if (this.#done) {
			throw finalized();
		}
		return new Hash(null, native.hashCopy(this.#state));
	}
}

class Hmac {
	#state;
	#done = false;

	constructor(algorithm, key) {
		this.#state = native.hmacNew(algorithm, secretBytes(key));
	}

	update(data, encoding) {
		if (this.#done) {
			throw finalized();
		}
		native.hashUpdate(this.#state, bytes(data, "data", encoding));
		return this;
	}

	digest(encoding) {
		// A second digest is empty, as it has always been.
		const sum = this.#done ? Buffer.alloc(0) : native.hashSum(this.#state);
		this.#done = true;
		return shown(sum, encoding);
	}
}

for (const Class of [Hash, Hmac]) {
	streaming(Class, (hash, chunk) => { hash.update(chunk); }, (hash) => hash.digest());
}

function createHash(algorithm, options) {
	needString(algorithm, "algorithm");
	if (options?.outputLength !== undefined) {
		throw coded(Error, "ERR_METHOD_NOT_IMPLEMENTED", "node:crypto: the option outputLength is not supported by this runtime");
	}
	return new Hash(algorithm);
}

function createHmac(algorithm, key) {
	needString(algorithm, "hmac");
	return new Hmac(algorithm, key);
}

function hash(algorithm, data, encoding = "hex") {
	needString(algorithm, "algorithm");
	return shown(native.hashOnce(algorithm, bytes(data, "input")), encoding);
}

// Keys

const handles = new WeakMap();
const handleOf = (key) => handles.get(key);

class KeyObject {
	constructor(type, handle) {
		if (!handle) {
			throw invalidValue("handle", handle);
		}
		handles.set(this, handle);
	}

	static from(key) {
		throw coded(Error, "ERR_METHOD_NOT_IMPLEMENTED", "KeyObject.from is not supported by this runtime: export the CryptoKey with crypto.subtle and import it with createPublicKey or createPrivateKey");
	}

	get type() { return handleOf(this).kind; }

	equals(other) { return other instanceof KeyObject && this.type === other.type && native.keyEqual(handleOf(this), handleOf(other)); }

	export(options = {}) {
		const handle = handleOf(this);
		if (options.format === "jwk") {
			return JSON.parse(native.keyExport(handle, "jwk"));
		}
		if (this.type === "secret") {
			return native.keyBytes(handle);
		}
		if (options.cipher !== undefined || options.passphrase !== undefined) {
			throw coded(Error, "ERR_METHOD_NOT_IMPLEMENTED", "node:crypto: a key cannot be exported with a passphrase in this runtime");
		}
		if (options.format !== "pem" && options.format !== "der") {
			throw invalidValue("options.format", options.format);
		}
		return native.keyExport(handle, options.format, options.type ?? (this.type === "public" ? "spki" : "pkcs8"));
	}
}
Object.defineProperty(KeyObject.prototype, Symbol.toStringTag, { value: "KeyObject", configurable: true });

class SecretKeyObject extends KeyObject {
	get symmetricKeySize() { return handleOf(this).size; }
}

class AsymmetricKeyObject extends KeyObject {
	get asymmetricKeyType() { return handleOf(this).algorithm; }
	get asymmetricKeyDetails() {
		const { modulusLength, publicExponent, namedCurve } = handleOf(this);
		return modulusLength !== undefined ? { modulusLength, publicExponent } : namedCurve !== undefined ? { namedCurve } : {};
	}
}

class PublicKeyObject extends AsymmetricKeyObject {}
class PrivateKeyObject extends AsymmetricKeyObject {}

const keyOf = (handle) => new { secret: SecretKeyObject, public: PublicKeyObject, private: PrivateKeyObject }[handle.kind](handle.kind, handle);

function createSecretKey(key, encoding) {
	return keyOf(native.keySecret(bytes(key, "key", encoding)));
}

// secretBytes reads a secret: text, bytes or a KeyObject.
function secretBytes(key) {
	if (key instanceof KeyObject) {
		if (key.type !== "secret") {
			throw coded(TypeError, "ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE", `Invalid key object type ${key.type}, expected secret.`);
		}
		return native.keyBytes(handleOf(key));
	}
	return bytes(key, "key");
}

// parsed reads an asymmetric key in any of the forms that Node.js takes, and returns its handle.
function parsed(key, encoding) {
	if (key instanceof KeyObject) {
		return handleOf(key);
	}
	if (typeof key === "string" || ArrayBuffer.isView(key) || key instanceof ArrayBuffer) {
		return native.keyParse(bytes(key, "key", encoding), "pem");
	}
	if (key === null || typeof key !== "object" || key.key === undefined) {
		throw invalidType("key", ["string", "an instance of ArrayBuffer", "Buffer", "TypedArray", "DataView", "KeyObject", "CryptoKey"], key);
	}
	if (key.passphrase !== undefined && !(key.key instanceof KeyObject)) {
		throw coded(Error, "ERR_METHOD_NOT_IMPLEMENTED", "node:crypto: a key with a passphrase is not supported by this runtime");
	}
	if (key.format === "jwk") {
		return native.keyParse(Buffer.from(JSON.stringify(key.key)), "jwk");
	}
	return key.format === "der" ? native.keyParse(bytes(key.key, "key.key", key.encoding), "der") : parsed(key.key, key.encoding);
}

function createPublicKey(key) {
	const handle = parsed(key);
	if (handle.kind === "secret" || (key instanceof KeyObject && handle.kind === "public")) {
		throw coded(TypeError, "ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE", `Invalid key object type ${handle.kind}, expected private.`);
	}
	return keyOf(native.keyPublic(handle));
}

function privateHandle(key) {
	const handle = parsed(key);
	if (handle.kind !== "private") {
		throw coded(TypeError, "ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE", `Invalid key object type ${handle.kind}, expected private.`);
	}
	return handle;
}

const createPrivateKey = (key) => keyOf(privateHandle(key));

function generated(type, options = {}) {
	const handle = native.keyGenerate(type, type.startsWith("rsa") ? options.modulusLength : options.namedCurve);
	const one = (key, encoding) => encoding === undefined ? key : key.export(encoding);
	return { publicKey: one(keyOf(native.keyPublic(handle)), options.publicKeyEncoding), privateKey: one(keyOf(handle), options.privateKeyEncoding) };
}

function generateKeyPair(type, options, callback) {
	if (typeof options === "function") {
		callback = options;
		options = {};
	}
	needFunction(callback, "callback");
	let pair, failure;
	try {
		pair = generated(type, options);
	} catch (err) {
		failure = err;
	}
	queueMicrotask(() => failure ? callback(failure) : callback(null, pair.publicKey, pair.privateKey));
}

function generateKeySync(type, { length }) {
	if (type !== "hmac" && type !== "aes") {
		throw invalidValue("type", type, "must be a supported key type");
	}
	needInteger(length, "options.length", 8, 1 << 20);
	if (type === "aes" && ![128, 192, 256].includes(length)) {
		throw invalidValue("options.length", length, "must be 128, 192 or 256");
	}
	return createSecretKey(native.randomBytes(length >> 3));
}

// Signatures

const optionsOf = (key) => key !== null && typeof key === "object" && !(key instanceof KeyObject) && !ArrayBuffer.isView(key) ? [key.padding, key.saltLength, key.dsaEncoding] : [];

function sign(algorithm, data, key, callback) {
	const work = () => native.sign(algorithm, privateHandle(key), bytes(data, "data"), ...optionsOf(key));
	return callback === undefined ? work() : later(callback, work);
}

function verify(algorithm, data, key, signature, callback) {
	const work = () => {
		const [padding, salt, encoding] = optionsOf(key);
		return native.verify(algorithm, parsed(key), bytes(data, "data"), padding, salt, encoding, bytes(signature, "signature"));
	};
	return callback === undefined ? work() : later(callback, work);
}

class Sign {
	#algorithm;
	#parts = [];
	constructor(algorithm) { this.#algorithm = algorithm; native.hashNew(algorithm); }
	update(data, encoding) { this.#parts.push(Buffer.from(bytes(data, "data", encoding))); return this; }
	write(data, encoding) { this.update(data, encoding); return true; }
	end(data, encoding) { if (data !== undefined) { this.update(data, encoding); } return this; }
	sign(key, encoding) { return shown(sign(this.#algorithm, Buffer.concat(this.#parts), key), encoding); }
}

class Verify {
	#algorithm;
	#parts = [];
	constructor(algorithm) { this.#algorithm = algorithm; native.hashNew(algorithm); }
	update(data, encoding) { this.#parts.push(Buffer.from(bytes(data, "data", encoding))); return this; }
	write(data, encoding) { this.update(data, encoding); return true; }
	end(data, encoding) { if (data !== undefined) { this.update(data, encoding); } return this; }
	verify(key, signature, encoding) { return verify(this.#algorithm, Buffer.concat(this.#parts), key, bytes(signature, "signature", encoding)); }
}

// Ciphers

class Cipher {
	#state;
	#decoder;
	#decrypts;

	constructor(name, key, iv, decrypts) {
		needString(name, "cipher");
		this.#decrypts = decrypts;
		this.#state = native.cipherNew(name, secretBytes(key), iv === null ? Buffer.alloc(0) : bytes(iv, "iv"), decrypts);
	}

	#text(data, encoding, last) {
		if (encoding === undefined || encoding === "buffer") {
			return data;
		}
		this.#decoder ??= new (require("string_decoder").StringDecoder)(encoding);
		return last ? this.#decoder.end(data) : this.#decoder.write(data);
	}

	update(data, from, to) { return this.#text(native.cipherUpdate(this.#state, bytes(data, "data", from)), to, false); }
	final(to) { return this.#text(native.cipherFinal(this.#state), to, true); }
	setAutoPadding(on = true) { native.cipherPadding(this.#state, on); return this; }
	setAAD(data, options) { native.cipherExtra(this.#state, bytes(data, "buffer", options?.encoding)); return this; }

	getAuthTag() {
		if (this.#decrypts || !native.cipherSealed(this.#state)) {
			throw coded(Error, "ERR_CRYPTO_INVALID_STATE", "Invalid state for operation getAuthTag");
		}
		return native.cipherTag(this.#state);
	}

	setAuthTag(tag, encoding) {
		if (!this.#decrypts || !native.cipherSealed(this.#state)) {
			throw coded(Error, "ERR_CRYPTO_INVALID_STATE", "Invalid state for operation setAuthTag");
		}
		native.cipherTag(this.#state, bytes(tag, "buffer", encoding));
		return this;
	}
}

class Cipheriv extends Cipher { constructor(name, key, iv) { super(name, key, iv, false); } }
class Decipheriv extends Cipher { constructor(name, key, iv) { super(name, key, iv, true); } }
streaming(Cipher, (cipher, chunk) => cipher.update(chunk), (cipher) => cipher.final());

function getCipherInfo(name) {
	const known = native.cipherNames().find((one) => one === String(name).toLowerCase());
	if (!known) {
		return undefined;
	}
	const [, bits, mode] = known.split("-");
	return mode === undefined
		? { mode: "stream", name: known, nid: 1018, blockSize: undefined, ivLength: 12, keyLength: 32 }
		: { mode, name: known, nid: 0, ...(mode === "cbc" || mode === "ecb" ? { blockSize: 16 } : {}), ...(mode === "ecb" ? {} : { ivLength: mode === "gcm" ? 12 : 16 }), keyLength: bits / 8 };
}

// Derivations

function pbkdf2Sync(password, salt, iterations, length, digest) {
	password = bytes(password, "password");
	salt = bytes(salt, "salt");
	needInteger(iterations, "iterations", 1, 2 ** 31 - 1);
	needInteger(length, "keylen", 0, 2 ** 31 - 1);
	needString(digest, "digest");
	return native.pbkdf2(password, salt, iterations, length, digest);
}

function pbkdf2(password, salt, iterations, length, digest, callback) {
	needFunction(callback, "callback");
	later(callback, () => pbkdf2Sync(password, salt, iterations, length, digest));
}

function scryptSync(password, salt, length, options = {}) {
	needInteger(length, "keylen", 0, 2 ** 31 - 1);
	const n = options.N ?? options.cost ?? 16384;
	const r = options.r ?? options.blockSize ?? 8;
	const p = options.p ?? options.parallelization ?? 1;
	return native.scrypt(bytes(password, "password"), bytes(salt, "salt"), length, n, r, p, options.maxmem ?? 32 * 1024 * 1024);
}

function scrypt(password, salt, length, options, callback) {
	if (typeof options === "function") {
		callback = options;
		options = {};
	}
	later(callback, () => scryptSync(password, salt, length, options));
}

function hkdfSync(digest, key, salt, info, length) {
	needString(digest, "digest");
	needInteger(length, "length", 0, 2 ** 31 - 1);
	return new Uint8Array(native.hkdf(digest, secretBytes(key), bytes(salt, "salt"), bytes(info, "info"), length)).buffer;
}

// Random numbers

function randomBytes(size, callback) {
	needNumber(size, "size", 0, 2 ** 31 - 1);
	return callback === undefined ? native.randomBytes(size) : later(callback, () => native.randomBytes(size));
}

function randomFillSync(buffer, offset = 0, size) {
	if (!ArrayBuffer.isView(buffer) && !(buffer instanceof ArrayBuffer)) {
		throw invalidType("buf", ["an instance of ArrayBuffer", "ArrayBufferView"], buffer);
	}
	const unit = buffer.BYTES_PER_ELEMENT ?? 1;
	const from = offset * unit;
	const length = size === undefined ? buffer.byteLength - from : size * unit;
	if (from < 0 || from > buffer.byteLength) {
		throw outOfRange("offset", `>= 0 && <= ${buffer.byteLength}`, offset);
	}
	if (length < 0 || from + length > buffer.byteLength) {
		throw outOfRange("size + offset", `<= ${buffer.byteLength}`, from + length);
	}
	native.randomFill(new Uint8Array(buffer.buffer ?? buffer, (buffer.byteOffset ?? 0) + from, length));
	return buffer;
}

function randomFill(buffer, offset, size, callback) {
	if (typeof offset === "function") {
		[offset, size, callback] = [0, undefined, offset];
	} else if (typeof size === "function") {
		[size, callback] = [undefined, size];
	}
	later(callback, () => randomFillSync(buffer, offset, size));
}

function randomInt(min, max, callback) {
	if (max === undefined || typeof max === "function") {
		[min, max, callback] = [0, min, max];
	}
	for (const [name, value] of [["min", min], ["max", max]]) {
		if (!Number.isSafeInteger(value)) {
			throw invalidType(name, "a safe integer", value);
		}
	}
	const range = max - min;
	if (!(range > 0)) {
		throw outOfRange("max", `greater than the value of "min" (${min})`, max);
	}
	if (range > 2 ** 48 - 1) {
		throw outOfRange(min === 0 ? "max" : "max - min", `<= ${2 ** 48 - 1}`, range);
	}
	const limit = 2 ** 48 - (2 ** 48 % range);
	const draw = () => {
		let n;
		do {
			n = native.randomBytes(6).readUIntBE(0, 6);
		} while (n >= limit);
		return min + n % range;
	};
	return callback === undefined ? draw() : later(callback, draw);
}

function timingSafeEqual(a, b) {
	for (const [name, value] of [["buf1", a], ["buf2", b]]) {
		if (!ArrayBuffer.isView(value) && !(value instanceof ArrayBuffer)) {
			throw invalidType(name, ["an instance of ArrayBuffer", "Buffer", "TypedArray", "DataView"], value);
		}
	}
	if (a.byteLength !== b.byteLength) {
		throw coded(RangeError, "ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH", "Input buffers must have the same byte length");
	}
	return native.timingSafeEqual(a, b);
}

// Key agreement

class ECDH {
	#curve;
	#private;
	#public;
	constructor(curve) { needString(curve, "curve"); this.#curve = curve; native.ecdhKey(curve); }
	generateKeys(encoding) { [this.#private, this.#public] = native.ecdhKey(this.#curve); return this.getPublicKey(encoding); }
	#need() {
		if (!this.#private) {
			throw coded(Error, "ERR_CRYPTO_ECDH_INVALID_KEY", "Failed to get ECDH key: none was generated or set");
		}
	}
	getPrivateKey(encoding) { this.#need(); return shown(Buffer.from(this.#private), encoding); }
	getPublicKey(encoding) { this.#need(); return shown(Buffer.from(this.#public), encoding); }
	setPrivateKey(key, encoding) { [this.#private, this.#public] = native.ecdhKey(this.#curve, bytes(key, "key", encoding)); }
	computeSecret(other, from, to) { this.#need(); return shown(native.ecdhSecret(this.#curve, this.#private, bytes(other, "otherPublicKey", from)), to); }
}

const rsa = (work) => (key, data) => {
	const { padding, oaepHash, oaepLabel } = key !== null && typeof key === "object" && !(key instanceof KeyObject) ? key : {};
	return work(key, bytes(data, "buffer"), padding, oaepHash, oaepLabel === undefined ? undefined : bytes(oaepLabel, "key.oaepLabel"));
};

const crypt = module.exports = {
	Hash, Hmac, KeyObject, Sign, Verify, Cipheriv, Decipheriv, ECDH,
	createHash, createHmac, hash,
	createSecretKey, createPublicKey, createPrivateKey,
	generateKeyPair, generateKeyPairSync: generated, generateKeySync,
	generateKey: (type, options, callback) => later(callback, () => generateKeySync(type, options)),
	createSign: (algorithm) => new Sign(algorithm),
	createVerify: (algorithm) => new Verify(algorithm),
	sign, verify,
	createCipheriv: (name, key, iv) => new Cipheriv(name, key, iv),
	createDecipheriv: (name, key, iv) => new Decipheriv(name, key, iv),
	getCipherInfo,
	publicEncrypt: rsa((key, data, ...rest) => native.rsaEncrypt(parsed(key), data, ...rest)),
	privateDecrypt: rsa((key, data, ...rest) => native.rsaDecrypt(privateHandle(key), data, ...rest)),
	diffieHellman: ({ privateKey, publicKey }) => native.agree(privateHandle(privateKey), parsed(publicKey)),
	createECDH: (curve) => new ECDH(curve),
	pbkdf2, pbkdf2Sync, scrypt, scryptSync, hkdfSync,
	hkdf: (digest, key, salt, info, length, callback) => later(callback, () => hkdfSync(digest, key, salt, info, length)),
	randomBytes, randomFill, randomFillSync, randomInt,
	pseudoRandomBytes: randomBytes,
	rng: randomBytes,
	randomUUID: () => crypto.randomUUID(),
	getRandomValues: (array) => crypto.getRandomValues(array),
	timingSafeEqual,
	getHashes: () => native.hashNames(),
	getCiphers: () => native.cipherNames(),
	getCurves: () => native.curveNames(),
	getFips: () => 0,
	webcrypto: crypto,
	subtle: crypto.subtle,
	constants: {
		RSA_PKCS1_PADDING: 1, RSA_NO_PADDING: 3, RSA_PKCS1_OAEP_PADDING: 4, RSA_PKCS1_PSS_PADDING: 6, RSA_PSS_SALTLEN_DIGEST: -1,
		RSA_PSS_SALTLEN_MAX_SIGN: -2, RSA_PSS_SALTLEN_AUTO: -2, defaultCoreCipherList: "", TLS1_VERSION: 769, TLS1_1_VERSION: 770,
		TLS1_2_VERSION: 771, TLS1_3_VERSION: 772, POINT_CONVERSION_COMPRESSED: 2, POINT_CONVERSION_UNCOMPRESSED: 4, POINT_CONVERSION_HYBRID: 6,
	},
};

Object.defineProperty(crypt.generateKeyPair, Symbol.for("nodejs.util.promisify.custom"), {
	value: (type, options) => new Promise((resolve, reject) => generateKeyPair(type, options, (err, publicKey, privateKey) => err ? reject(err) : resolve({ publicKey, privateKey }))),
});
