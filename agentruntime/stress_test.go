package agentruntime

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestManyAtOnce runs what waits, streams, calls and computes side by side, so that the race detector sees it.
func TestManyAtOnce(t *testing.T) {
	s := newStage(t, strings.Replace(stubSource, "CODE", `async (ns, s, env) => {
		const timer = new Promise(r => setTimeout(r, 1));
		const up = s.up();
		const sub = s.fetch("https://do/x", {method: "POST", body: "b"}).then(r => r.text());
		ctx.waitUntil(scheduler.wait(1).then(() => console.log("after")));
		await timer;
		const all = await Promise.all([up, sub, new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array([104, 105])); c.close() } })).text()]);
		return typeof all[0] + all[1] + all[2] }`, 1)).activate()
	s.dispatch()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 10 {
				body, _, err, report := answer(t, s.agent.Fetch(context.Background(), s.host, get("/")))
				if err != nil || body != "numberPOST /x bhi" || report.Outcome != OutcomeOK {
					t.Error(body, err, report)
				}
			}
		})
	}
	wg.Wait()
	if got := s.call("up", ""); got != fmt.Sprint(161) {
		t.Fatal(got)
	}
	if n := len(s.host.logs()); n != 160 {
		t.Fatal(n, "lines logged after the answer")
	}
}

// TestActorEndsUnderLoad ends an actor while events run in it: each of them is answered.
func TestActorEndsUnderLoad(t *testing.T) {
	for range 20 {
		s := newStage(t, storageSource).activate()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					if _, err := s.actor.Call(context.Background(), s.host, calling("inc", args(t, ""))).Result(); err != nil {
						return
					}
				}
			})
		}
		for s.backend.commits() < 20 {
			s.call("up", "")
		}
		s.actor.Close(ErrClosed)
		wg.Wait()
	}
}
