// The official client of the Model Context Protocol, run in Node.js against the server at the address given. It prints what
// it got as JSON.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const client = new Client({ name: "test", version: "1.0.0" });
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
const progress = [];
const result = {
	server: client.getServerVersion().name,
	tools: (await client.listTools()).tools.map((tool) => tool.name),
	add: await client.callTool({ name: "add", arguments: { a: 19, b: 23 } }),
	bad: (await client.callTool({ name: "add", arguments: { a: "x" } })).isError,
	fail: (await client.callTool({ name: "fail" })).content[0].text,
	count: (await client.callTool({ name: "count", arguments: { to: 3 } }, undefined, { onprogress: (p) => progress.push(`${p.progress}/${p.total}`) })).content[0].text,
	progress,
	resources: (await client.listResources()).resources.map((resource) => resource.uri),
	resource: (await client.readResource({ uri: "about://gatehouse" })).contents[0].text,
	template: (await client.readResource({ uri: "page://one" })).contents[0].text,
	prompts: (await client.listPrompts()).prompts.map((prompt) => prompt.name),
	prompt: (await client.getPrompt({ name: "greet", arguments: { who: "Ada" } })).messages[0].content.text,
};
await client.close();
console.log(JSON.stringify(result));
