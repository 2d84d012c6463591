// Has the reference package verify the request that is read as JSON: url, method, headers and the key as a JWK.
import { verify } from "web-bot-auth";
import { verifierFromJWK } from "web-bot-auth/crypto";

let text = "";
for await (const chunk of process.stdin) text += chunk;
const { url, method, headers, key } = JSON.parse(text);
await verify(new Request(url, { method, headers }), await verifierFromJWK(key));
