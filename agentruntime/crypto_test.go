package agentruntime

import "testing"

func TestSubtleCrypto(t *testing.T) {
	const helpers = `
const s = crypto.subtle, enc = x => new TextEncoder().encode(x), dec = b => new TextDecoder().decode(b);
const hex = b => Array.from(new Uint8Array(b), x => x.toString(16).padStart(2, '0')).join('');
const unhex = h => new Uint8Array((h.match(/../g) || []).map(x => parseInt(x, 16)));
const name = p => p.then(() => 'no error', e => e.name);
const use = { 'RSA-OAEP': ['encrypt', 'decrypt', 'wrapKey', 'unwrapKey'], ECDH: ['deriveBits', 'deriveKey'], X25519: ['deriveBits', 'deriveKey'] };
const pairs = [
	{name: 'RSASSA-PKCS1-v1_5', modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256'},
	{name: 'RSA-PSS', modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-1', saltLength: 0},
	{name: 'RSA-PSS', modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256', saltLength: 32},
	{name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256'}, {name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-1'}, {name: 'ECDSA', namedCurve: 'P-521', hash: 'SHA-512'},
	{name: 'Ed25519'}, {name: 'NODE-ED25519', namedCurve: 'NODE-ED25519'},
];
`
	cases := []webCase{
		{"key", `const k = await s.generateKey({name: 'aes-gcm', length: 256}, true, ['decrypt', 'encrypt']); return [k instanceof CryptoKey, k.type, k.extractable, JSON.stringify(k.algorithm), k.usages, k.usages === k.usages, k.algorithm === k.algorithm]`, `true,secret,true,{"name":"AES-GCM","length":256},encrypt,decrypt,true,true`},
		{"HMAC, RFC 4231", `const k = await s.importKey('raw', enc('Jefe'), {name: 'HMAC', hash: 'SHA-256'}, false, ['sign', 'verify']); const m = await s.sign('HMAC', k, enc('what do ya want for nothing?')); return [hex(m), await s.verify('HMAC', k, m, enc('what do ya want for nothing?')), await s.verify('HMAC', k, m, enc('x'))]`, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843,true,false"},
		{"AES-GCM, test case 4 of the GCM paper", `const k = await s.importKey('raw', unhex('feffe9928665731c6d6a8f9467308308'), 'AES-GCM', false, ['encrypt', 'decrypt']);
			const p = {name: 'AES-GCM', iv: unhex('cafebabefacedbaddecaf888'), additionalData: unhex('feedfacedeadbeeffeedfacedeadbeefabaddad2')};
			const d = unhex('d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39');
			const c = await s.encrypt(p, k, d), short = await s.encrypt({...p, tagLength: 32}, k, d), long = {...p, iv: new Uint8Array(100)};
			const bad = new Uint8Array(short.slice(0)); bad[0] ^= 1;
			return [hex(c).slice(-32), hex(await s.decrypt(p, k, c)) === hex(d), short.byteLength - c.byteLength, hex(await s.decrypt({...p, tagLength: 32}, k, short)) === hex(d),
				await name(s.decrypt({...p, tagLength: 32}, k, bad)), dec(await s.decrypt(long, k, await s.encrypt(long, k, enc('hi')))), await name(s.encrypt({...p, tagLength: 99}, k, d))]`,
			"5bc94fbc3221a5db94fae95ae7121a47,true,-12,true,OperationError,hi,OperationError"},
		{"AES-CBC", `const k = await s.importKey('raw', unhex('00'.repeat(16)), 'AES-CBC', false, ['encrypt', 'decrypt']); const p = {name: 'AES-CBC', iv: new Uint8Array(16)}; const c = await s.encrypt(p, k, enc('sixteen bytes ok')); return [c.byteLength, dec(await s.decrypt(p, k, c)), await name(s.decrypt(p, k, c.slice(0, 17))), await name(s.decrypt({...p, iv: new Uint8Array(3)}, k, c))]`, "32,sixteen bytes ok,OperationError,OperationError"},
		{"AES-CTR wraps its counter", `const k = await s.importKey('raw', unhex('00'.repeat(16)), 'AES-CTR', false, ['encrypt', 'decrypt']);
			const at = n => { const c = new Uint8Array(16); c[15] = n; return c };
			const z = new Uint8Array(64), whole = hex(await s.encrypt({name: 'AES-CTR', counter: at(254), length: 8}, k, z));
			const one = async n => hex(await s.encrypt({name: 'AES-CTR', counter: at(n), length: 8}, k, new Uint8Array(16)));
			return [whole === await one(254) + await one(255) + await one(0) + await one(1), await name(s.encrypt({name: 'AES-CTR', counter: at(0), length: 1}, k, new Uint8Array(33))), await name(s.encrypt({name: 'AES-CTR', counter: at(0), length: 0}, k, z))]`, "true,OperationError,OperationError"},
		{"AES-KW, RFC 3394, 4.1", `const k = await s.importKey('raw', unhex('000102030405060708090A0B0C0D0E0F'), 'AES-KW', false, ['wrapKey', 'unwrapKey']); const d = await s.importKey('raw', unhex('00112233445566778899AABBCCDDEEFF'), 'AES-CBC', true, ['encrypt']); const w = await s.wrapKey('raw', d, k, 'AES-KW');
			const back = await s.unwrapKey('raw', w, k, 'AES-KW', 'AES-CBC', true, ['encrypt']); const bad = new Uint8Array(w.slice(0)); bad[3] ^= 1; return [hex(w), hex(await s.exportKey('raw', back)), await name(s.unwrapKey('raw', bad, k, 'AES-KW', 'AES-CBC', true, ['encrypt']))]`,
			"1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5,00112233445566778899aabbccddeeff,OperationError"},
		{"HKDF, RFC 5869, A.1", `const k = await s.importKey('raw', unhex('0b'.repeat(22)), 'HKDF', false, ['deriveBits', 'deriveKey']); const p = {name: 'HKDF', hash: 'SHA-256', salt: unhex('000102030405060708090a0b0c'), info: unhex('f0f1f2f3f4f5f6f7f8f9')};
			return [hex(await s.deriveBits(p, k, 336)), (await s.deriveBits(p, k, 0)).byteLength, await name(s.deriveBits(p, k, 7)), await name(s.deriveBits(p, k)), await name(s.deriveBits(p, k, 8 * 255 * 33)), (await s.deriveKey(p, k, {name: 'HMAC', hash: 'SHA-512'}, true, ['sign'])).algorithm.length]`,
			"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865,0,OperationError,OperationError,OperationError,1024"},
		{"PBKDF2, RFC 6070", `const k = await s.importKey('raw', enc('password'), 'PBKDF2', false, ['deriveBits']); const p = {name: 'PBKDF2', hash: 'SHA-1', salt: enc('salt'), iterations: 4096}; return [hex(await s.deriveBits(p, k, 160)), await name(s.deriveBits({...p, iterations: 100001}, k, 160)), await name(s.deriveBits({...p, iterations: 0}, k, 160))]`, "4b007901b765489abead49d926f721d065a429c1,NotSupportedError,OperationError"},
		{"sign and verify", `const out = []; for (const a of pairs) { const {publicKey, privateKey} = await s.generateKey(a, false, ['sign', 'verify']); const sig = await s.sign(a, privateKey, enc('m')); const bad = new Uint8Array(sig.slice(0)); bad[5] ^= 1; out.push(await s.verify(a, publicKey, sig, enc('m')) && !await s.verify(a, publicKey, bad, enc('m')) && !await s.verify(a, publicKey, sig, enc('n')) && publicKey.extractable && !privateKey.extractable) } return out`, "true,true,true,true,true,true,true,true"},
		{"keys come back from every format", `const out = []; for (const a of [...pairs, {...pairs[0], name: 'RSA-OAEP'}, {name: 'ECDH', namedCurve: 'P-384'}, {name: 'X25519'}]) { const p = await s.generateKey(a, true, use[a.name] || ['sign', 'verify']);
			for (const [k, formats] of [[p.publicKey, ['spki', 'jwk', 'raw']], [p.privateKey, ['pkcs8', 'jwk']]]) for (const f of formats) { if (f === 'raw' && a.name.startsWith('RSA')) continue; const d = await s.exportKey(f, k); const k2 = await s.importKey(f, d, a, true, k.usages); const e = await s.exportKey(f, k2);
				if ((f === 'jwk' ? JSON.stringify(d) : hex(d)) !== (f === 'jwk' ? JSON.stringify(e) : hex(e)) || k2.type !== k.type) out.push(a.name + f) } } return out.join() || 'all'`, "all"},
		{"RSA-OAEP", `const {publicKey, privateKey} = await s.generateKey({...pairs[0], name: 'RSA-OAEP'}, false, ['encrypt', 'decrypt']); const c = await s.encrypt({name: 'RSA-OAEP', label: enc('l')}, publicKey, enc('hello')); return [dec(await s.decrypt({name: 'RSA-OAEP', label: enc('l')}, privateKey, c)), await name(s.decrypt('RSA-OAEP', privateKey, c)), await name(s.encrypt('RSA-OAEP', publicKey, new Uint8Array(200)))]`, "hello,OperationError,OperationError"},
		{"key agreement", `const out = []; for (const a of [{name: 'ECDH', namedCurve: 'P-256'}, {name: 'ECDH', namedCurve: 'P-521'}, {name: 'X25519'}]) { const x = await s.generateKey(a, false, ['deriveBits', 'deriveKey']), y = await s.generateKey(a, false, ['deriveBits']); const p = await s.deriveBits({name: a.name, public: y.publicKey}, x.privateKey, null), q = await s.deriveBits({name: a.name, public: x.publicKey}, y.privateKey); const short = await s.deriveBits({name: a.name, public: x.publicKey}, y.privateKey, 12); out.push(hex(p) === hex(q), p.byteLength, hex(p).slice(0, 3) + '0' === hex(short), await name(s.deriveBits({name: a.name, public: x.privateKey}, y.privateKey)), (await s.deriveKey({name: a.name, public: y.publicKey}, x.privateKey, {name: 'AES-GCM', length: 128}, false, ['encrypt'])).algorithm.length) } return out`, "true,32,true,InvalidAccessError,128,true,66,true,InvalidAccessError,128,true,32,true,InvalidAccessError,128"},
		{"wrap as JWK", `const w = await s.generateKey({name: 'AES-GCM', length: 128}, false, ['wrapKey', 'unwrapKey']), {privateKey} = await s.generateKey({name: 'ECDSA', namedCurve: 'P-256'}, true, ['sign']); const p = {name: 'AES-GCM', iv: new Uint8Array(12)}; const b = await s.wrapKey('jwk', privateKey, w, p); const k = await s.unwrapKey('jwk', b, w, p, {name: 'ECDSA', namedCurve: 'P-256'}, false, ['sign']); return [k.type, k.extractable, k.usages]`, "private,false,sign"},
		{"JWK of a secret", `const k = await s.importKey('jwk', {kty: 'oct', k: 'AAECAwQFBgcICQoLDA0ODw', alg: 'A128GCM', ext: true, key_ops: ['encrypt']}, 'AES-GCM', true, ['encrypt']); return JSON.stringify(await s.exportKey('jwk', k))`, `{"alg":"A128GCM","ext":true,"k":"AAECAwQFBgcICQoLDA0ODw","key_ops":["encrypt"],"kty":"oct"}`},
		{"errors", `const k = await s.generateKey({name: 'AES-GCM', length: 128}, false, ['encrypt']), p = {name: 'AES-GCM', iv: new Uint8Array(12)}, d = new Uint8Array(1); return [
			await name(s.generateKey('AES-XYZ', true, ['encrypt'])), await name(s.generateKey({}, true, ['encrypt'])), await name(s.generateKey('AES-GCM', true, ['encrypt'])), await name(s.generateKey({name: 'AES-GCM', length: 5}, true, ['encrypt'])),
			await name(s.generateKey({name: 'AES-GCM', length: 128}, true, [])), await name(s.generateKey({name: 'AES-GCM', length: 128}, true, ['sign'])), await name(s.generateKey({name: 'AES-GCM', length: 128}, true, ['fly'])), await name(s.generateKey({name: 'AES-GCM', length: 70000}, true, ['encrypt'])),
			await name(s.generateKey({name: 'ECDSA', namedCurve: 'P-1'}, true, ['sign'])), await name(s.generateKey({name: 'HMAC', hash: 'MD5'}, true, ['sign'])), await name(s.generateKey({name: 'HMAC', hash: 'SHA-1', length: 0}, true, ['sign'])), await name(s.generateKey({...pairs[0], publicExponent: new Uint8Array([3])}, true, ['sign'])),
			await name(s.decrypt(p, k, d)), await name(s.encrypt({...p, name: 'AES-CBC', iv: new Uint8Array(16)}, k, d)), await name(s.encrypt(p, {}, d)), await name(s.encrypt(p, k, 'x')), await name(s.exportKey('raw', k)), await name(s.exportKey('wav', k)),
			await name(s.importKey('raw', new Uint8Array(5), 'AES-GCM', true, ['encrypt'])), await name(s.importKey('jwk', d, 'AES-GCM', true, ['encrypt'])), await name(s.importKey('raw', {kty: 'oct'}, 'AES-GCM', true, ['encrypt'])), await name(s.importKey('spki', d, {name: 'ECDSA', namedCurve: 'P-256'}, true, [])),
			await name(s.importKey('raw', d, 'HKDF', true, ['deriveBits'])), await name(s.exportKey('raw', await s.importKey('raw', d, 'HKDF', false, ['deriveBits']))), await name(SubtleCrypto.prototype.digest.call({}, 'SHA-1', d)) ].join(' ')`,
			"NotSupportedError TypeError TypeError OperationError SyntaxError SyntaxError TypeError TypeError NotSupportedError NotSupportedError OperationError OperationError InvalidAccessError InvalidAccessError TypeError TypeError InvalidAccessError TypeError DataError TypeError TypeError DataError SyntaxError NotSupportedError TypeError"},
		{"what is given is copied at once", `const k = await s.importKey('raw', new Uint8Array(16), {name: 'HMAC', hash: 'SHA-1'}, false, ['sign']); const d = enc('abc'); const a = s.sign('HMAC', k, d); d[0] = 0; return hex(await a) === hex(await s.sign('HMAC', k, enc('abc')))`, "true"},
		{"what the algorithm's getters change is what counts", `const k = await s.importKey('raw', new Uint8Array(16), {name: 'HMAC', hash: 'SHA-1'}, false, ['sign']); const d = enc('xbc'); const m = await s.sign({get name(){ d[0] = 97; return 'HMAC' }}, k, d); return hex(m) === hex(await s.sign('HMAC', k, enc('abc')))`, "true"},
		{"Ed25519 with a key of small order", `const k = await s.importKey('raw', unhex('01' + '00'.repeat(31)), 'Ed25519', true, ['verify']); return s.verify('Ed25519', k, unhex('01' + '00'.repeat(63)), enc('any'))`, "false"},
		{"illegal constructors", `const f = g => { try { g(); return 'made' } catch (e) { return e.name } }; return [f(() => new CryptoKey()), f(() => new SubtleCrypto()), f(() => new Crypto())]`, "TypeError,TypeError,TypeError"},
		{"DigestStream", `const d = new crypto.DigestStream('SHA-256'); await new Response('abc').body.pipeTo(d); return [hex(await d.digest).slice(0, 16), d.bytesWritten, typeof d.bytesWritten, d instanceof WritableStream, typeof DigestStream]`, "ba7816bf8f01cfea,3,bigint,true,undefined"},
		{"DigestStream, aborted", `const d = new crypto.DigestStream({name: 'md5'}); const w = d.getWriter(); await w.write(enc('a')); await w.abort(new Error('no')); return d.digest.catch(e => e.message)`, "no"},
	}
	for i := range cases {
		cases[i].src = helpers + cases[i].src
	}
	runWebCases(t, cases)
}
