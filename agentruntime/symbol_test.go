package agentruntime

import (
	"context"
	"testing"
)

func TestAsyncIteration(t *testing.T) {
	a := newAgent(t, `
class Countdown {
	constructor(private from: number) {}
	async *[Symbol.asyncIterator]() { for (let n = this.from; n > 0; n--) yield n; }
}
export default { async fetch(): Promise<Response> {
	const seen: unknown[] = [];
	for await (const n of new Countdown(3)) seen.push(n);
	const stream = new ReadableStream({ start(c) { c.enqueue("a"); c.enqueue("b"); c.close(); } });
	for await (const chunk of stream) seen.push(chunk);
	return new Response(seen.join());
} }`, Config{})
	body, _, err, _ := answer(t, a.Fetch(context.Background(), &testHost{}, get("/")))
	if err != nil || body != "3,2,1,a,b" {
		t.Fatalf("got %q, %v", body, err)
	}
}
