package agentruntime

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const stepSource = `import { DurableObject } from "cloudflare:workers";
export class A extends DurableObject {
	begin(mode) { this.ctx.storage.kv.put("mode", mode); this.ctx.storage.setAlarm(Date.now()); }
	mode(m) { this.ctx.storage.kv.put("mode", m); }
	keys() { return [...this.ctx.storage.kv.list()].map(e => e[0]); }
	async outside() { await this.ctx.step("x", async () => 1); }
	async alarm() {
		const mode = this.ctx.storage.kv.get("mode");
		const a = await this.ctx.step("a", async () => { console.log("run a"); return new Map([[1, mode]]); });
		console.log("a gave " + a.get(1));
		if (mode === "hang") await new Promise(() => {});
		if (mode === "throw") throw new Error("no");
		if (mode === "twice") await this.ctx.step("a", async () => 2);
		if (mode === "function") await this.ctx.step("f", async () => () => 1);
		if (mode === "failing") await this.ctx.step("g", async () => { throw new RangeError("not this time"); });
		const b = await this.ctx.step("b", () => { console.log("run b"); return 2; });
		console.log("b gave " + b);
	}
}`

func TestStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, stepSource).activate()
		said := func(want ...string) {
			t.Helper()
			got := s.host.logs()
			s.host.mu.Lock()
			s.host.events = nil
			s.host.mu.Unlock()
			for i := range want {
				want[i] = "log: " + want[i]
			}
			if !slices.Equal(got, want) {
				t.Errorf("it said %q, want %q", got, want)
			}
		}
		alarm := func() (Report, error) { return s.actor.Alarm(context.Background(), s.host) }

		// A crash after the first step: it is not run again, and the second is.
		s.call("begin", "'hang'")
		go func() { _, _ = alarm() }()
		synctest.Wait()
		said("run a", "a gave hang")
		if got := s.call("keys", ""); got != "[ 'mode' ]" {
			t.Errorf("list() sees %s", got)
		}
		s.actor.Close(nil)
		s.activate()
		s.call("mode", "'go on'")
		if _, err := alarm(); err != nil {
			t.Fatal(err)
		}
		said("a gave hang", "run b", "b gave 2")

		// The next alarm begins with an empty journal, and keeps it when it fails.
		<-time.After(time.Second)
		s.call("begin", "'throw'")
		_, _ = alarm()
		said("run a", "a gave throw")
		s.call("mode", "'go on'")
		<-time.After(10 * time.Second)
		if _, err := alarm(); err != nil {
			t.Fatal(err)
		}
		said("a gave throw", "run b", "b gave 2")

		for mode, want := range map[string]string{
			"twice":    `ctx.step("a"): another step of this alarm has the name`,
			"function": `ctx.step("f"): what it gave cannot be stored: `,
			"failing":  "not this time",
		} {
			<-time.After(time.Hour)
			s.call("begin", "'"+mode+"'")
			_, _ = alarm()
			if e := s.host.exceptions(); len(e) == 0 || !strings.HasPrefix(e[len(e)-1].Message, want) {
				t.Errorf("%s: %+v, want %s", mode, e, want)
			}
		}
		if got := s.call("outside", ""); !strings.Contains(got, `ctx.step("x"): steps are taken in alarm()`) {
			t.Errorf("outside of an alarm: %s", got)
		}
	})
}
