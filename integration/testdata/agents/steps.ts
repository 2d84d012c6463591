interface Env {
	STEP: string;
}

/** Does nothing by itself: before each step it asks the server at STEP. */
export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const ask = async (path: string, body?: BodyInit): Promise<string> => {
			const response = await fetch(env.STEP + path, body === undefined ? undefined : { method: "POST", body });
			return response.text();
		};
		const path = new URL(request.url).pathname;
		if (path === "/events") {
			const encoder = new TextEncoder();
			const events = new ReadableStream<Uint8Array>({
				async pull(controller) {
					const event = await ask("/event");
					if (event === "end") {
						controller.close();
						return;
					}
					controller.enqueue(encoder.encode(`data: ${event}\n\n`));
				},
			});
			return new Response(events, { headers: { "Content-Type": "text/event-stream" } });
		}
		if (path === "/writer") {
			const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
			const writer = writable.getWriter();
			const encoder = new TextEncoder();
			void (async () => {
				for (let event = await ask("/event"); event !== "end"; event = await ask("/event")) {
					await writer.write(encoder.encode(`data: ${event}\n\n`));
				}
				await writer.close();
			})();
			return new Response(readable, { headers: { "Content-Type": "text/event-stream" } });
		}
		if (path === "/breaks") {
			let sent = 0;
			const broken = new ReadableStream<Uint8Array>({
				pull(controller) {
					if (sent++ > 0) {
						throw new RangeError("the stream broke");
					}
					controller.enqueue(new TextEncoder().encode("a part"));
				},
			});
			return new Response(broken);
		}
		if (path === "/length") {
			return new Response(String((await request.text()).length));
		}
		if (path === "/upload") {
			const decoder = new TextDecoder();
			let seen = 0;
			for await (const chunk of request.body!) {
				seen += chunk.byteLength;
				await ask("/chunk", decoder.decode(chunk));
			}
			return new Response(`seen ${seen}`);
		}
		return new Response(await ask("/once"));
	},
};
