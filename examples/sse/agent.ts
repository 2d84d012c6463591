const ticks = 5;
const interval = 200; // milliseconds

export default {
	fetch(): Response {
		const encoder = new TextEncoder();
		let sent = 0;
		const body = new ReadableStream<Uint8Array>({
			async pull(controller) {
				if (sent > 0) {
					await new Promise((resolve) => setTimeout(resolve, interval));
				}
				sent++;
				controller.enqueue(encoder.encode(`id: ${sent}\nevent: tick\ndata: {"tick":${sent}}\n\n`));
				if (sent === ticks) {
					controller.close();
				}
			},
		});
		return new Response(body, { headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-store" } });
	},
};
