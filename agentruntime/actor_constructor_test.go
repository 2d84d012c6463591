package agentruntime

import "testing"

// TestActorConstructorsPromiseJobs awaits something that is settled already before anything else: the promise job that
// goes on from there must run with no event to run it.
func TestActorConstructorsPromiseJobs(t *testing.T) {
	s := newStage(t, `export class A {
		constructor(ctx) { ctx.blockConcurrencyWhile(async () => { await ctx.storage.get("k"); await scheduler.wait(1); await ctx.storage.put("k", 1); this.ready = true }) }
		get() { return this.ready }
	}`)
	s.activate() // fails after 30 s, the limit of a critical section, if the jobs do not run
	if got := s.call("get", ""); got != "true" {
		t.Fatal(got)
	}
}
