// An OAuth server for tests: oidc-provider with one client, whose refresh tokens are good once, and whose access tokens live for the
// seconds that the first argument says. It prints its port and a first refresh token, and another one for each line it reads.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

const life = Number(process.argv[2]);
const http = createServer((request, response) => provider.callback()(request, response));
await new Promise((done) => http.listen(0, "127.0.0.1", done));
const { port } = http.address();

const provider = new Provider(`http://127.0.0.1:${port}`, {
	clients: [{
		client_id: "abc", client_secret: process.env.CLIENT_SECRET, redirect_uris: ["https://app.example.com/back"],
		grant_types: ["authorization_code", "refresh_token", "client_credentials"],
	}],
	scopes: ["openid", "offline_access", "read"],
	features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
	rotateRefreshToken: true,
	ttl: { AccessToken: life, ClientCredentials: life, RefreshToken: 86400, Grant: 86400 },
	findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});
provider.on("server_error", (_, err) => console.error(err));

// What a person's consent in a browser would lead to.
async function login() {
	const grant = new provider.Grant({ accountId: "somebody", clientId: "abc" });
	grant.addOIDCScope("offline_access read");
	const token = new provider.RefreshToken({
		accountId: "somebody", client: await provider.Client.find("abc"), grantId: await grant.save(), scope: "offline_access read", gty: "authorization_code",
	});
	return token.save();
}

console.log(port, await login());
createInterface({ input: process.stdin }).on("line", async () => console.log(await login())).on("close", () => process.exit());
