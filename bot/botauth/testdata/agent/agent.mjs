// An agent that the reference package signs for: node agent.mjs PORT COUNT URL...
// It serves its key directory at 127.0.0.1:PORT until its input ends, and prints for each URL, COUNT times, a line with the
// header fields of a signed request for it.
import { createServer } from "node:http";
import { directoryResponseHeaders, HTTP_MESSAGE_SIGNATURES_DIRECTORY, MediaType, signatureHeaders } from "web-bot-auth";
import { signerFromJWK } from "web-bot-auth/crypto";

const [port, count, ...urls] = process.argv.slice(2);
const origin = `http://127.0.0.1:${port}`;
const { privateKey, publicKey } = await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"]);
const signer = await signerFromJWK(await crypto.subtle.exportKey("jwk", privateKey));
const { kty, crv, x } = await crypto.subtle.exportKey("jwk", publicKey);
const times = () => ({ created: new Date(), expires: new Date(Date.now() + 300_000) });

const server = createServer(async (req, res) => {
	if (req.url !== HTTP_MESSAGE_SIGNATURES_DIRECTORY) return res.writeHead(404).end();
	const body = JSON.stringify({ keys: [{ kty, crv, x, kid: signer.keyid, use: "sig" }] });
	const headers = { "content-type": MediaType.HTTP_MESSAGE_SIGNATURES_DIRECTORY };
	const request = new Request(origin + req.url);
	const response = new Response(body, { headers });
	const signed = await directoryResponseHeaders({ request, response }, [signer], times());
	res.writeHead(200, { ...headers, ...signed }).end(body);
});
server.listen(Number(port), "127.0.0.1", async () => {
	for (const url of urls) {
		for (let i = 0; i < Number(count); i++) {
			const request = new Request(url, { headers: { "Signature-Agent": JSON.stringify(origin) } });
			const signed = await signatureHeaders(request, signer, times());
			console.log(JSON.stringify({ "Signature-Agent": JSON.stringify(origin), ...signed }));
		}
	}
});
process.stdin.resume().on("end", () => process.exit());
