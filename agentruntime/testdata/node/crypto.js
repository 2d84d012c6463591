import crypto, { createHash, createHmac, createSign, createVerify, createCipheriv, createDecipheriv, createPrivateKey, createPublicKey, createSecretKey, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

const rsaPEM = `-----BEGIN PRIVATE KEY-----
MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBAMoS7ZkYqufF3A9O
b8JYG329xwI88keoKs0TQ0eN6QcNhIUd1D1/OCzDKVlJPjigyBlalUAkLC2kGLzC
aCI07hC08B+YVX6m9Io+G01ss4xp8M2zoQe2WCRlYUfgQZl+innWXkBCzL1blULH
x5CAfeBZxzwdxNCnCYrYW23jYeu1AgMBAAECgYBlMueE1YK5wjA8BicYKDHUXhdt
OoKHemO9AlmeWyaJnq5wUAj7p1vFpxNtIK4lg/fSIrg+QB9T2Ct/VMj74JAcL87K
jNnfjem/FdEgyJ5uL/zfoDPnci8vsssz1/uHCkUgMnrOQrjxBDUK+NDOTgiSu+wX
1VSgkutmWLpHFFDRfQJBAO0erMcc5F7bStUJlqibNROFRQGEKqi89zxk1TQMQliE
Zrg4IDvXnx+/Ea9Q7GzdJFi+T6wD7d84vf4B4qOALXcCQQDaKeV6da4uSVWAy3an
JeYcd2iNRQ8cs6lBpG/XAt//w5W23OLfOSqUbWQhnUvUfR829vBhRsmHLZ3jin1e
cUszAkBAK7UGjcMgCKjPzrB/IMHUbpSmPGZvE/S023T3iPnLislhwY63ozrlFIhs
sbHKJG7ZtWdKXiXZ6zk/rLLxHJcxAkBq7E3EDxknJln5nb6xfSmimgNr+YTGlGdH
/MezoX0XZUxjKy8mKGZuCI8iymz337sEvVJi2sa6sejINH/tYalxAkEAxiRmCGxr
ajE+FIYQvPau/KeayMHZ2xcY+vzmGLjTaGPGXnBr0kZ8LC7tqAIG5MJXnCC1mzYZ
Bp7yM+gjYsPNMg==
-----END PRIVATE KEY-----
`;
const ecPEM = `-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIMjR8MLV86EDwBUC8UVO9zR8D+zFcFpsBtRdpj5LIYxPoAoGCCqGSM49
AwEHoUQDQgAEjYzmsEzWPxZCwtWdYqQV2fsCkNd6l3j7FSegpiPPVKOs/Iuv1z5P
dSSr/uDCo5mNlF4pEdnvrhazrgt+gwm31g==
-----END EC PRIVATE KEY-----
`;
const edPEM = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIGWkns6gwesrpJYLfbF2JWIhkFjkm1FJDZnRO++yJsu9
-----END PRIVATE KEY-----
`;
const key32 = Buffer.from("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "hex");
const iv16 = Buffer.from("0f0e0d0c0b0a09080706050403020100", "hex");
const iv12 = iv16.subarray(0, 12);
const text = "The quick brown fox jumps over the lazy dog. ".repeat(3);
const sealed = (name, iv, aad) => { const c = createCipheriv(name, key32.subarray(0, name.includes("128") ? 16 : 32), iv, name.startsWith("chacha") ? { authTagLength: 16 } : undefined); if (aad) c.setAAD(Buffer.from(aad)); const out = c.update(text, "utf8", "hex") + c.final("hex"); return [out, c.getAuthTag().toString("hex")]; };
const both = (name, iv) => { const key = key32.subarray(0, name.includes("128") ? 16 : name.includes("192") ? 24 : 32); const c = createCipheriv(name, key, iv); const out = c.update(text, "utf8", "base64") + c.final("base64"); const d = createDecipheriv(name, key, iv); return [out, d.update(out, "base64", "utf8") + d.final("utf8") === text]; };

export const cases = {
	"hashes": () => ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "SHA256", "RSA-SHA256", "sha512-256", "sha3-256"].map((h) => createHash(h).update("héllo").digest("hex")),
	"hash pieces": () => createHash("sha256").update("a").update(Buffer.from("b")).update(new Uint8Array([99])).update("64", "hex").digest("base64url"),
	"hash copy": () => { const h = createHash("sha256").update("a"); const c = h.copy(); return [h.update("b").digest("hex"), c.update("c").digest("hex")]; },
	"hash twice": () => { const h = createHash("md5"); h.digest(); h.digest(); },
	"hash unknown": () => createHash("nope") && 1,
	"hash of a number": () => createHash("md5").update(5),
	"hash stream": async () => { const h = createHash("sha1"); h.write("a"); h.end("b"); return new Promise((r) => h.on("data", (d) => r(d.toString("hex")))); },
	"hash setEncoding": async () => { const h = createHash("sha1"); h.setEncoding("hex"); h.end("ab"); return new Promise((r) => h.on("readable", () => { const d = h.read(); if (d) r(d); })); },
	"hash pipe": async () => { const { Readable } = await import("node:stream"); const h = createHash("sha1"); Readable.from([Buffer.from("ab")]).pipe(h); return new Promise((r) => h.on("data", (d) => r(d.toString("hex")))); },
	"hash once": () => crypto.hash ? crypto.hash("sha1", "abc") : createHash("sha1").update("abc").digest("hex"),
	"hmac": () => [createHmac("sha256", "k").update("d").digest("hex"), createHmac("sha1", Buffer.alloc(100, 1)).update("d").digest("base64"), createHmac("md5", createSecretKey(Buffer.from("k"))).update("x").digest("hex")],
	"hmac twice": () => { const h = createHmac("md5", "k"); h.digest(); return h.digest("hex"); },
	"random": () => [randomBytes(8).length, randomBytes(0).length, crypto.randomInt(5) < 5, crypto.randomInt(3, 4), crypto.randomUUID().length, crypto.randomFillSync(Buffer.alloc(4)).length, Buffer.isBuffer(randomBytes(1))],
	"random later": async () => [(await promisify(randomBytes)(5)).length, await promisify(crypto.randomInt)(7, 8), (await promisify(crypto.randomFill)(new Uint8Array(3))).length],
	"random part": () => { const b = Buffer.alloc(8); crypto.randomFillSync(b, 4); return [...b.subarray(0, 4)]; },
	"randomInt wrongly": () => crypto.randomInt(5, 5),
	"timingSafeEqual": () => [timingSafeEqual(Buffer.from("a"), Buffer.from("a")), timingSafeEqual(Buffer.from("a"), Buffer.from("b"))],
	"timingSafeEqual of two lengths": () => timingSafeEqual(Buffer.from("a"), Buffer.from("ab")),
	"pbkdf2": async () => [crypto.pbkdf2Sync("p", "s", 1000, 20, "sha256").toString("hex"), (await promisify(crypto.pbkdf2)("p", Buffer.from("s"), 1, 64, "sha512")).toString("hex")],
	"pbkdf2 unknown": () => crypto.pbkdf2Sync("p", "s", 1, 1, "nope"),
	"scrypt": async () => [crypto.scryptSync("p", "s", 32).toString("hex"), (await promisify(crypto.scrypt)("p", "s", 16, { N: 1024, r: 8, p: 2 })).toString("hex")],
	"scrypt too much": () => crypto.scryptSync("p", "s", 16, { N: 1 << 17, r: 64 }),
	"hkdf": async () => [Buffer.from(crypto.hkdfSync("sha256", "key", "salt", "info", 40)).toString("hex"), Buffer.from(await promisify(crypto.hkdf)("sha512", "key", "", "", 8)).toString("hex")],
	"hkdf too long": () => crypto.hkdfSync("sha256", "k", "", "", 255 * 32 + 1),
	"cbc, ctr, ecb": () => [both("aes-256-cbc", iv16), both("aes-128-cbc", iv16), both("aes-192-ctr", iv16), both("aes-256-ctr", iv16), both("aes-128-ecb", null)],
	"gcm": () => [sealed("aes-256-gcm", iv12), sealed("aes-128-gcm", iv12, "extra"), sealed("aes-256-gcm", iv16)],
	"chacha": () => sealed("chacha20-poly1305", iv12, "extra"),
	"gcm opened": () => { const [out, tag] = sealed("aes-256-gcm", iv12, "a"); const d = createDecipheriv("aes-256-gcm", key32, iv12); d.setAAD(Buffer.from("a")); d.setAuthTag(Buffer.from(tag, "hex")); return d.update(out, "hex", "utf8") + d.final("utf8") === text; },
	"gcm forged": () => { const [out] = sealed("aes-256-gcm", iv12); const d = createDecipheriv("aes-256-gcm", key32, iv12); d.setAuthTag(Buffer.alloc(16)); d.update(out, "hex"); try { d.final(); } catch (err) { return err.message; } },
	"no padding": () => { const c = createCipheriv("aes-256-cbc", key32, iv16); c.setAutoPadding(false); return c.update(Buffer.alloc(32)).toString("hex") + c.final("hex"); },
	"wrong final block": () => { const c = createCipheriv("aes-256-cbc", key32, iv16); c.setAutoPadding(false); c.update("a"); c.final(); },
	"bad decrypt": () => { const d = createDecipheriv("aes-256-cbc", key32, iv16); d.update(Buffer.alloc(16)); d.final(); },
	"cipher key length": () => createCipheriv("aes-256-cbc", Buffer.alloc(5), iv16),
	"cipher iv length": () => createCipheriv("aes-256-cbc", key32, iv12),
	"cipher unknown": () => createCipheriv("nope", key32, iv12),
	"cipher stream": async () => { const c = createCipheriv("aes-256-cbc", key32, iv16), out = []; c.on("data", (d) => out.push(d)); const p = new Promise((r) => c.on("end", r)); c.write("abc"); c.end("def"); await p; return Buffer.concat(out).toString("hex"); },
	"rsa sign": () => [createSign("SHA256").update("some ").update("data").sign(rsaPEM, "hex"), crypto.sign("sha512", Buffer.from("x"), rsaPEM).toString("base64")],
	"rsa verify": () => { const s = createSign("RSA-SHA256").update("d").sign(rsaPEM); const pub = createPublicKey(rsaPEM); return [createVerify("RSA-SHA256").update("d").verify(pub, s), createVerify("sha256").update("e").verify(pub, s), createVerify("sha256").update("d").verify(rsaPEM, s.toString("hex"), "hex"), crypto.verify("sha256", Buffer.from("d"), pub.export({ type: "spki", format: "pem" }), s)]; },
	"rsa pss": () => { const o = { key: rsaPEM, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }; const s = crypto.sign("sha256", Buffer.from("d"), o); return [s.length, crypto.verify("sha256", Buffer.from("d"), o, s), crypto.verify("sha256", Buffer.from("x"), o, s)]; },
	"ec sign": () => { const s = crypto.sign("sha256", Buffer.from("d"), ecPEM), j = crypto.sign("sha256", Buffer.from("d"), { key: ecPEM, dsaEncoding: "ieee-p1363" }); return [crypto.verify("sha256", Buffer.from("d"), ecPEM, s), j.length, crypto.verify("sha256", Buffer.from("d"), { key: createPublicKey(ecPEM), dsaEncoding: "ieee-p1363" }, j), crypto.verify("sha256", Buffer.from("d"), ecPEM, j)]; },
	"ed25519": () => { const s = crypto.sign(null, Buffer.from("d"), edPEM); return [s.toString("hex"), crypto.verify(null, Buffer.from("d"), createPublicKey(edPEM), s)]; },
	"keys": () => [rsaPEM, ecPEM, edPEM].map((pem) => { const k = createPrivateKey(pem), p = createPublicKey(k); return [k.type, k.asymmetricKeyType, k.asymmetricKeyDetails, p.type, p.export({ type: "spki", format: "pem" }), k.export({ type: "pkcs8", format: "der" }).toString("hex"), Object.entries(p.export({ format: "jwk" })).sort(), Object.entries(k.export({ format: "jwk" })).sort()]; }),
	"keys again": () => [rsaPEM, ecPEM, edPEM].map((pem) => { const k = createPrivateKey(pem); const j = createPrivateKey({ key: k.export({ format: "jwk" }), format: "jwk" }); const d = createPrivateKey({ key: k.export({ type: "pkcs8", format: "der" }), format: "der", type: "pkcs8" }); const p = createPublicKey({ key: createPublicKey(k).export({ format: "jwk" }), format: "jwk" }); return [k.equals(j), k.equals(d), p.equals(createPublicKey(pem)), k.equals(p)]; }),
	"pkcs1 and sec1": () => [createPrivateKey(rsaPEM).export({ type: "pkcs1", format: "pem" }), createPrivateKey(ecPEM).export({ type: "sec1", format: "pem" })],
	"secret keys": () => { const k = createSecretKey(Buffer.from("abc")); return [k.type, k.symmetricKeySize, k.export().toString(), k.export({ format: "jwk" }), k.equals(createSecretKey("abc", "utf8"))]; },
	"not a key": () => createPrivateKey("nonsense"),
	"public of a secret": () => createPublicKey(createSecretKey("a", "utf8")),
	"generate": () => ["rsa", "ec", "ed25519", "x25519"].map((t) => { const { publicKey, privateKey } = crypto.generateKeyPairSync(t, { modulusLength: 1024, namedCurve: "P-256" }); return [publicKey.type, privateKey.type, publicKey.asymmetricKeyType, createPublicKey(privateKey).equals(publicKey)]; }),
	"generate encoded": async () => { const { publicKey, privateKey } = await promisify(crypto.generateKeyPair)("ec", { namedCurve: "prime256v1", publicKeyEncoding: { type: "spki", format: "pem" }, privateKeyEncoding: { type: "pkcs8", format: "pem" } }); return [publicKey.split("\n")[0], privateKey.split("\n")[0]]; },
	"generate secret": () => [crypto.generateKeySync("hmac", { length: 64 }).symmetricKeySize, crypto.generateKeySync("aes", { length: 128 }).symmetricKeySize],
	"rsa encrypt": () => { const pub = createPublicKey(rsaPEM); return [crypto.privateDecrypt(rsaPEM, crypto.publicEncrypt(pub, Buffer.from("m"))).toString(), crypto.privateDecrypt({ key: rsaPEM, oaepHash: "sha256" }, crypto.publicEncrypt({ key: pub, oaepHash: "sha256" }, Buffer.from("n"))).toString()]; },
	"ecdh": () => { const a = crypto.createECDH("prime256v1"), b = crypto.createECDH("prime256v1"); a.generateKeys(); b.setPrivateKey("01".repeat(32), "hex"); return [a.computeSecret(b.getPublicKey()).equals(b.computeSecret(a.getPublicKey())), b.getPublicKey("hex")]; },
	"diffieHellman": () => { const a = crypto.generateKeyPairSync("x25519"), b = crypto.generateKeyPairSync("x25519"); return crypto.diffieHellman({ privateKey: a.privateKey, publicKey: b.publicKey }).equals(crypto.diffieHellman({ privateKey: b.privateKey, publicKey: a.publicKey })); },
	"lists": () => [crypto.getHashes().includes("sha256") || crypto.getHashes().includes("RSA-SHA256"), crypto.getCiphers().includes("aes-256-gcm"), crypto.getCurves().includes("prime256v1"), crypto.getCipherInfo("aes-256-cbc").ivLength, crypto.getCipherInfo("nope")],
	"web": async () => [crypto.webcrypto === globalThis.crypto || typeof crypto.webcrypto.subtle, Buffer.from(await crypto.subtle.digest("SHA-1", Buffer.from("a"))).toString("hex"), crypto.getRandomValues(new Uint8Array(2)).length],
};
