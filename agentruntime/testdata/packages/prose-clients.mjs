// Sends texts with the clients of language models' APIs and of the Model Context Protocol, each text as one request to the address
// given, and prints which of them were refused. The texts come as a JSON array on the standard input.
import Anthropic from "@anthropic-ai/sdk";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import OpenAI from "openai";

const base = process.argv[2];
let input = "";
for await (const part of process.stdin) input += part;
const texts = JSON.parse(input);

const openai = new OpenAI({ baseURL: `${base}/v1`, apiKey: "none", maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: base, apiKey: "none", maxRetries: 0 });
const mcp = new Client({ name: "test", version: "1.0.0" });
await mcp.connect(new StreamableHTTPClientTransport(new URL(`${base}/mcp`)));

const clients = {
	chat: (text) => openai.chat.completions.create({ model: "m", messages: [{ role: "system", content: "You are helpful." }, { role: "user", content: text }] }),
	responses: (text) => openai.responses.create({ model: "m", input: text }),
	messages: (text) => anthropic.messages.create({ model: "m", max_tokens: 100, system: "You are helpful.", messages: [{ role: "user", content: [{ type: "text", text }] }] }),
	tool: (text) => mcp.callTool({ name: "note", arguments: { text } }),
};
const names = Object.keys(clients);
const sent = Object.fromEntries(names.map((name) => [name, 0]));
const refused = [];
for (const [i, text] of texts.entries()) {
	const name = names[i % names.length];
	sent[name]++;
	try {
		await clients[name](text);
	} catch (error) {
		if ((error.status ?? error.code) !== 403) throw error;
		refused.push({ name, text });
	}
}
await mcp.close();
console.log(JSON.stringify({ sent, refused }));
