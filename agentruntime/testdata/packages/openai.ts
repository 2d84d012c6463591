import OpenAI from "openai";

export default {
	async fetch(request: Request, env: { BASE: string }): Promise<Response> {
		const client = new OpenAI({ apiKey: "of the test", baseURL: `${env.BASE}/v1`, maxRetries: 1 });
		const ask = { model: "local", messages: [{ role: "user" as const, content: "Greet me." }] };
		switch (new URL(request.url).pathname) {
		case "/whole": {
			const answer = await client.chat.completions.create(ask);
			return Response.json({ text: answer.choices[0].message.content, used: answer.usage?.total_tokens });
		}
		case "/stream": {
			const { readable, writable } = new TransformStream();
			(async () => {
				const writer = writable.getWriter();
				for await (const part of await client.chat.completions.create({ ...ask, stream: true })) {
					await writer.write(new TextEncoder().encode(part.choices[0]?.delta?.content ?? ""));
				}
				await writer.close();
			})();
			return new Response(readable);
		}
		case "/tool": {
			const runner = client.chat.completions.runTools({
				...ask,
				tools: [{
					type: "function",
					function: {
						name: "add", description: "adds", parse: JSON.parse, parameters: { type: "object", properties: { a: { type: "number" }, b: { type: "number" } } },
						function: ({ a, b }: { a: number; b: number }) => String(a + b),
					},
				}],
			});
			return new Response(await runner.finalContent());
		}
		}
		try {
			await client.models.retrieve("missing");
		} catch (err) {
			return Response.json({ known: err instanceof OpenAI.NotFoundError, status: (err as InstanceType<typeof OpenAI.APIError>).status });
		}
		return new Response(null, { status: 500 });
	},
};
