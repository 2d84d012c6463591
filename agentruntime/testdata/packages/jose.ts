import * as jose from "jose";

// Each case makes something with one key and takes it apart with the other, or fails where it must.
const cases: Record<string, () => Promise<unknown>> = {
	async symmetric() {
		const key = crypto.getRandomValues(new Uint8Array(32));
		const jwt = await new jose.SignJWT({ role: "agent" }).setProtectedHeader({ alg: "HS256" }).setIssuer("me").setExpirationTime("1h").sign(key);
		return (await jose.jwtVerify(jwt, key, { issuer: "me" })).payload.role;
	},
	async expired() {
		const key = new Uint8Array(32);
		const jwt = await new jose.SignJWT({}).setProtectedHeader({ alg: "HS256" }).setExpirationTime(1).sign(key);
		return jose.jwtVerify(jwt, key).catch((err) => err.code);
	},
	async forged() {
		const jwt = await new jose.SignJWT({}).setProtectedHeader({ alg: "HS256" }).sign(new Uint8Array(32));
		return jose.jwtVerify(jwt, new Uint8Array(32).fill(1)).catch((err) => err.code);
	},
	async asymmetric() {
		const out = [];
		for (const alg of ["ES256", "ES384", "RS256", "PS256", "EdDSA"]) {
			const { publicKey, privateKey } = await jose.generateKeyPair(alg, { extractable: true });
			const jws = await new jose.CompactSign(new TextEncoder().encode(alg)).setProtectedHeader({ alg }).sign(privateKey);
			out.push(new TextDecoder().decode((await jose.compactVerify(jws, publicKey)).payload));
		}
		return out;
	},
	async keys() {
		const { publicKey, privateKey } = await jose.generateKeyPair("ES256", { extractable: true });
		const jwk = await jose.exportJWK(publicKey);
		const set = jose.createLocalJWKSet({ keys: [{ ...jwk, kid: "k", alg: "ES256" }] });
		const jwt = await new jose.SignJWT({ n: 1 }).setProtectedHeader({ alg: "ES256", kid: "k" }).sign(privateKey);
		const again = await jose.importSPKI(await jose.exportSPKI(publicKey), "ES256");
		return [(await jose.jwtVerify(jwt, set)).payload.n, (await jose.jwtVerify(jwt, again)).payload.n, (await jose.calculateJwkThumbprint(jwk)).length];
	},
	async encrypted() {
		const out = [];
		for (const [alg, enc] of [["dir", "A256GCM"], ["A256KW", "A128CBC-HS256"], ["PBES2-HS256+A128KW", "A256GCM"]]) {
			const key = alg.startsWith("PBES2") ? new TextEncoder().encode("a password") : crypto.getRandomValues(new Uint8Array(32));
			const jwe = await new jose.CompactEncrypt(new TextEncoder().encode(alg)).setProtectedHeader({ alg, enc }).encrypt(key);
			out.push(new TextDecoder().decode((await jose.compactDecrypt(jwe, key, { keyManagementAlgorithms: [alg], maxPBES2Count: 10000 })).plaintext));
		}
		return out;
	},
	async remote() {
		const set = jose.createRemoteJWKSet(new URL(base + "/jwks"));
		const key = await jose.importJWK(JSON.parse(await (await fetch(base + "/private")).text()), "ES256") as CryptoKey;
		const jwt = await new jose.SignJWT({ from: "afar" }).setProtectedHeader({ alg: "ES256", kid: "remote" }).sign(key);
		return (await jose.jwtVerify(jwt, set)).payload.from;
	},
};

let base = "";

export default {
	async fetch(request: Request, env: { BASE: string }): Promise<Response> {
		base = env.BASE;
		return Response.json(await cases[new URL(request.url).pathname.slice(1)]());
	},
};
