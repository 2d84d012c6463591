import Anthropic from "@anthropic-ai/sdk";

export default {
	async fetch(request: Request, env: { BASE: string }): Promise<Response> {
		const client = new Anthropic({ apiKey: "of the test", baseURL: env.BASE, maxRetries: 1 });
		const ask = { model: "local", max_tokens: 64, messages: [{ role: "user" as const, content: "Greet me." }] };
		switch (new URL(request.url).pathname) {
		case "/whole": {
			const answer = await client.messages.create(ask);
			return Response.json({ text: answer.content.map((part) => part.type === "text" ? part.text : "").join(""), used: answer.usage.output_tokens });
		}
		case "/stream": {
			const parts: string[] = [];
			const stream = client.messages.stream(ask).on("text", (text) => parts.push(text));
			const final = await stream.finalMessage();
			return Response.json({ parts, stop: final.stop_reason });
		}
		}
		try {
			await client.messages.create({ ...ask, model: "overloaded" });
		} catch (err) {
			return Response.json({ known: err instanceof Anthropic.APIError, status: (err as InstanceType<typeof Anthropic.APIError>).status });
		}
		return new Response(null, { status: 500 });
	},
};
