/** A tail agent: it gets the records of another agent's requests after they ended, and logs one line a batch. */
export default {
	tail(events: TraceItem[]): void {
		const each = events.map((item) => {
			const event = item.event;
			const request = event !== null && "request" in event ? event.request : undefined;
			const response = event !== null && "response" in event ? event.response : undefined;
			// The query stays out of the log: it may hold what someone asked.
			const what = request === undefined ? "event" : `${request.method} ${new URL(request.url).pathname} ${response?.status ?? "-"}`;
			const thrown = item.exceptions.map((e) => `${e.name}: ${e.message}`);
			return [what, item.outcome, `${item.logs.length} logs`, ...thrown].join(" ");
		});
		console.log(`${events.length} from ${events[0]?.scriptName ?? "?"}: ${each.join("; ")}`);
	},
};
