/** A step as those who watch are told of it. */
interface Step {
	number: number;
	step: string;
	at: number;
	error?: string;
}

/** How many events a slow reader may be behind before its stream is ended. It can come back for the newest. */
const longestBacklog = 100;

/** The open event streams of one actor. */
export class Watchers {
	private readonly streams = new Set<ReadableStreamDefaultController<Uint8Array>>();
	private readonly encoder = new TextEncoder();

	/** Answers with a stream of server-sent events: the step the actor is at, then each as it comes. */
	open(now: Step | undefined): Response {
		let own: ReadableStreamDefaultController<Uint8Array>;
		const body = new ReadableStream<Uint8Array>(
			{
				start: (controller) => {
					own = controller;
					this.streams.add(controller);
					controller.enqueue(now === undefined ? this.encoder.encode(": nothing was asked yet\n\n") : this.encode(now));
				},
				cancel: () => {
					this.streams.delete(own);
				},
			},
			{ highWaterMark: longestBacklog },
		);
		return new Response(body, { headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-store" } });
	}

	/** Tells every open stream of a step. */
	tell(step: Step): void {
		const event = this.encode(step);
		for (const controller of this.streams) {
			if ((controller.desiredSize ?? 0) <= 0) {
				this.streams.delete(controller);
				controller.close();
				continue;
			}
			controller.enqueue(event);
		}
	}

	private encode({ number, step, error }: Step): Uint8Array {
		return this.encoder.encode(`id: ${number}-${step}\nevent: step\ndata: ${JSON.stringify({ turn: number, step, error })}\n\n`);
	}
}
