import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

export default {
	async fetch(request: Request, env: { BASE: string }): Promise<Response> {
		const model = createOpenAICompatible({ name: "local", apiKey: "of the test", baseURL: `${env.BASE}/v1` })("local");
		switch (new URL(request.url).pathname) {
		case "/whole":
			return new Response((await generateText({ model, prompt: "Greet me." })).text);
		case "/stream":
			return streamText({ model, prompt: "Greet me." }).toTextStreamResponse();
		case "/ui":
			return streamText({ model, prompt: "Greet me." }).toUIMessageStreamResponse();
		}
		const result = await generateText({
			model,
			prompt: "What are 19 and 23?",
			stopWhen: stepCountIs(3),
			tools: { add: tool({ description: "adds", inputSchema: z.object({ a: z.number(), b: z.number() }), execute: async ({ a, b }) => a + b }) },
		});
		return Response.json({ text: result.text, steps: result.steps.length });
	},
};
