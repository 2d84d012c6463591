import { McpServer, ResourceTemplate } from "@modelcontextprotocol/sdk/server/mcp.js";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import { z } from "zod";

function build(): McpServer {
	const server = new McpServer({ name: "gatehouse-test", version: "1.0.0" });
	server.registerTool("add", {
		description: "Adds two numbers.", inputSchema: { a: z.number(), b: z.number() }, outputSchema: { sum: z.number() },
	}, async ({ a, b }) => ({ content: [{ type: "text", text: String(a + b) }], structuredContent: { sum: a + b } }));
	server.registerTool("count", { description: "Counts, and tells how far it is.", inputSchema: { to: z.number() } }, async ({ to }, extra) => {
		for (let i = 1; i <= to; i++) {
			await extra.sendNotification({ method: "notifications/progress", params: { progressToken: extra._meta!.progressToken!, progress: i, total: to } });
			await scheduler.wait(1);
		}
		return { content: [{ type: "text", text: `counted to ${to}` }] };
	});
	server.registerTool("fail", { description: "Fails." }, async () => { throw new Error("as it should"); });
	server.registerResource("about", "about://gatehouse", { mimeType: "text/plain" }, async (uri) => ({ contents: [{ uri: uri.href, text: "A gatehouse guards a gate." }] }));
	server.registerResource("page", new ResourceTemplate("page://{name}", { list: undefined }), {}, async (uri, { name }) => ({ contents: [{ uri: uri.href, text: `page ${name}` }] }));
	server.registerPrompt("greet", { argsSchema: { who: z.string() } }, ({ who }) => ({ messages: [{ role: "user", content: { type: "text", text: `Greet ${who}.` } }] }));
	return server;
}

export default {
	// Each request has a server of its own: sessions would need an actor.
	async fetch(request: Request): Promise<Response> {
		const transport = new WebStandardStreamableHTTPServerTransport({ sessionIdGenerator: undefined });
		await build().connect(transport);
		return transport.handleRequest(request);
	},
};
