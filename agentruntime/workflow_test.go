package agentruntime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// works is an agent with a workflow, its instances in a directory over a store in memory.
type works struct {
	t         *testing.T
	agent     *Agent
	store     *durable.Memory
	directory *durable.Directory
	host      *testHost
}

type worksClass struct{ w *works }

type worksActor struct {
	*Actor
	w *works
}

func (a worksActor) Alarm(ctx context.Context) error {
	_, err := a.Actor.Alarm(ctx, a.w.host)
	return err
}

func (c *worksClass) Activate(ctx context.Context, a durable.Activation) (durable.Instance, error) {
	x, err := c.w.agent.Activate(ctx, ActorConfig{Class: "W", ID: a.Key.ID, Name: a.Name, Storage: durable.NewStorage(a.StorageConfig()), Host: c.w.host})
	if err != nil {
		return nil, err
	}
	return &worksActor{x, c.w}, nil
}

const worksHead = `import { WorkflowEntrypoint } from "cloudflare:workers";
import { NonRetryableError } from "cloudflare:workflows";
const text = v => JSON.stringify(v);
async function when(i, ...statuses) {
	for (let pause = 100;; pause = Math.min(pause * 1.1, 60_000)) {
		const s = await i.status();
		if (statuses.includes(s.status)) return s;
		await new Promise(done => setTimeout(done, pause));
	}
}
// calls gives the times, in seconds after the first, of the calls under a name. They outlive an actor that leaves memory.
async function calls(name) { return (await fetch("https://calls.example/" + name)).json(); }
`

// newWorks has a class W with the body of run given, and a handler with the body given.
func newWorks(t *testing.T, run, fetch string) *works {
	t.Helper()
	w := &works{host: &testHost{}}
	w.agent = newAgent(t, worksHead+"export class W extends WorkflowEntrypoint { async run(event, step) { const env = this.env, ctx = this.ctx;"+run+
		"} }\nexport default { async fetch(request, env) { const WF = env.WF; const out = await (async () => {"+fetch+"})(); return new Response(typeof out === 'string' ? out : text(out)); } };",
		Config{Limits: Limits{Wall: 100 * 24 * time.Hour, Subrequests: 1 << 30}, Bindings: []Binding{{Name: "WF", Kind: BindingWorkflow, Class: "W"}}})
	called := map[string][]time.Time{}
	w.host.fetch = func(_ context.Context, _ Target, req *Request) (*Response, error) {
		called[req.URL] = append(called[req.URL], time.Now())
		var times []string
		for _, at := range called[req.URL] {
			times = append(times, fmt.Sprint(int(at.Sub(called[req.URL][0]).Round(time.Second).Seconds())))
		}
		return &Response{Status: 200, Body: io.NopCloser(strings.NewReader("[" + strings.Join(times, ",") + "]"))}, nil
	}
	w.host.call = func(ctx context.Context, target Target, call Call) (Value, error) {
		id, err := durable.NewNamespace("W").IDFromString(target.Actor)
		if err != nil {
			return Value{}, err
		}
		h, err := w.directory.Acquire(ctx, durable.Key{Namespace: "W", ID: id}, target.Name)
		if err != nil {
			return Value{}, err
		}
		defer h.Release()
		inv := h.Instance().(*worksActor).Call(ctx, w.host, call)
		v, err := inv.Result()
		inv.Wait()
		return v, err
	}
	return w
}

// open is called in a bubble.
func (w *works) open(t *testing.T) {
	w.t, w.store = t, durable.NewMemory()
	w.directory = durable.NewDirectory(durable.Config{Store: w.store})
	w.directory.Register("W", &worksClass{w})
	w.directory.Start()
}

func (w *works) close() {
	w.t.Helper()
	if err := w.directory.Close(context.Background()); err != nil {
		w.t.Error(err)
	}
	_ = w.store.Close()
}

// crash drops an instance as it is.
func (w *works) crash(id string) {
	w.directory.Reset(durable.Key{Namespace: "W", ID: durable.NewNamespace("W").IDFromName(id)}, errors.New("a crash"))
}

func (w *works) ask(path string) string {
	w.t.Helper()
	body, _, err, _ := answer(w.t, w.agent.Fetch(context.Background(), w.host, get(path)))
	if err != nil {
		w.t.Fatalf("%s: %v", path, err)
	}
	return body
}

func TestWorkflow(t *testing.T) {
	for _, c := range []struct{ name, run, fetch, want string }{
		{"steps and what they give", `
			const a = await step.do("a", async () => ({ n: event.payload.n + 1, at: new Date(5) }));
			await step.sleep("nap", "2 hours");
			const b = await step.do("b", async ({ attempt }) => a.n * 10 + attempt);
			return { a: a.n, date: a.at instanceof Date, b, id: event.instanceId, time: event.timestamp instanceof Date }`,
			`const i = await WF.create({ id: "one", params: { n: 1 } }); return await when(i, "complete")`,
			`{"status":"complete","output":{"a":2,"date":true,"b":21,"id":"one","time":true}}`},
		{"an id of its own, no params and no output", `return event.payload`,
			`const i = await WF.create(); await when(i, "complete"); return [/^[0-9a-f-]{36}$/.test(i.id), await (await WF.get(i.id)).status()]`,
			`[true,{"status":"complete"}]`},
		{"steps of one name are told apart", `
			const all = []; for (let n = 0; n < 3; n++) { all.push(await step.do("s", async () => n)); await step.sleep("z", 1000); } return all`,
			`return (await when(await WF.create(), "complete")).output`, `[0,1,2]`},
		{"steps side by side, and a sleep beside a long one", `
			const order = [];
			const [a] = await Promise.all([
				step.do("long", async () => { await new Promise(done => setTimeout(done, 300_000)); return Date.now(); }),
				(async () => { await step.sleep("short", "10 seconds"); order.push(await step.do("after", async () => Date.now())); })(),
			]);
			return a - order[0]`,
			`return (await when(await WF.create(), "complete")).output`, `290000`},
		{"a run is gone through again, finished steps are not", `
			const runs = await calls("run");
			const as = await step.do("a", () => calls("a"));
			await step.sleep("s", "1 hour");
			return [runs.length, as.length]`,
			`return (await when(await WF.create(), "complete")).output`, `[2,1]`},
		{"retries, exponential by default", `
			return await step.do("r", async ({ attempt }) => {
				const times = await calls("r");
				if (attempt < 4) throw new Error("no");
				return times;
			})`,
			`return (await when(await WF.create(), "complete")).output`, `[0,10,30,70]`},
		{"linear retries", `
			return await step.do("r", { retries: { limit: 3, delay: "1 minute", backoff: "linear" } }, async ({ attempt }) => {
				const times = await calls("r");
				if (attempt < 4) throw new Error("no");
				return times;
			})`,
			`return (await when(await WF.create(), "complete")).output`, `[0,60,180,360]`},
		{"retries come to their end", `
			try { await step.do("r", { retries: { limit: 2, delay: 1000, backoff: "constant" } }, async ({ attempt }) => { throw new RangeError("try " + attempt); }); }
			catch (e) { await step.sleep("s", 1000); return [e.name, e.message, e instanceof Error] }`,
			`return (await when(await WF.create(), "complete")).output`, `["RangeError","try 3",true]`},
		{"an error that nobody catches", `await step.do("r", async () => { throw new NonRetryableError("never") })`,
			`return await when(await WF.create(), "errored")`, `{"status":"errored","error":{"name":"NonRetryableError","message":"never"}}`},
		{"a timeout", `await step.do("r", { timeout: "1 minute", retries: { limit: 1, delay: 0 } }, () => new Promise(() => {}))`,
			`const t = Date.now(); const s = await when(await WF.create(), "errored"); return [s.error.message, Math.round((Date.now() - t) / 60000)]`, `["step \"r\" took longer than 60000 ms",2]`},
		{"a result that can't be stored", `await step.do("fn", async () => () => 1)`,
			`return (await when(await WF.create(), "errored")).error.message.replace(/stored: .*/, "stored")`, `step "fn": its result cannot be stored`},
		{"an output that can't be stored", `return () => 1`,
			`return (await when(await WF.create(), "errored")).error.message.replace(/stored: .*/, "stored")`, `what run() gave cannot be stored`},
		{"sleepUntil", `const t = Date.now(); await step.sleepUntil("u", new Date(t + 5000)); await step.sleepUntil("past", 0); return (await step.do("x", async () => 1))`,
			`const t = Date.now(); await when(await WF.create(), "complete"); return Math.round((Date.now() - t) / 1000)`, `5`},
		{"an event that came before, and one that comes later", `
			const a = await step.waitForEvent("a", { type: "go" });
			const b = await step.waitForEvent("b", { type: "go", timeout: "3 days" });
			return [a.payload, b.payload, a.type, a.timestamp instanceof Date]`,
			`const i = await WF.create(); await i.sendEvent({ type: "go", payload: 1 }); await i.sendEvent({ type: "other" });
			await new Promise(done => setTimeout(done, 60_000));
			const s = (await i.status()).status; await i.sendEvent({ type: "go", payload: 2 });
			return [s, (await when(i, "complete")).output]`, `["waiting",[1,2,"go",true]]`},
		{"no event", `try { await step.waitForEvent("a", { type: "go" }) } catch (e) { return e.message }`,
			`const t = Date.now(); const s = await when(await WF.create(), "complete"); return [s.output, Math.round((Date.now() - t) / 3600000)]`,
			`["step \"a\": no event go came within 86400000 ms",24]`},
		{"pause and resume", `
			await step.do("a", async () => { await new Promise(done => setTimeout(done, 10_000)); });
			return await step.do("b", async () => Date.now())`,
			`const i = await WF.create(); await new Promise(done => setTimeout(done, 1000));
			await i.pause(); const during = (await i.status()).status; const t = Date.now();
			await new Promise(done => setTimeout(done, 3600_000));
			const later = (await i.status()).status; await i.resume();
			const s = await when(i, "complete");
			return [during, later, s.output - t >= 3600_000]`, `["waitingForPause","paused",true]`},
		{"resumed before the step ended", `
			await step.do("a", async () => { await new Promise(done => setTimeout(done, 10_000)); });
			return (await calls("run")).length`,
			`const i = await WF.create(); await new Promise(done => setTimeout(done, 1000));
			await i.pause(); await i.resume(); return (await when(i, "complete")).output`, `1`},
		{"terminate", `await step.do("a", async () => { await new Promise(done => setTimeout(done, 10_000));  }); await step.do("b", () => calls("b"))`,
			`const i = await WF.create(); await new Promise(done => setTimeout(done, 1000)); await i.terminate();
			await new Promise(done => setTimeout(done, 60_000)); const s = await i.status();
			const errors = []; for (const m of ["pause", "resume", "terminate"]) try { await i[m]() } catch (e) { errors.push(e.message) }
			return [s, errors, await calls("b")]`, `[{"status":"terminated"},["pause(): the instance ID is terminated","resume(): the instance ID is terminated","terminate(): the instance ID is terminated"],[0]]`},
		{"restart", `
			const n = (await step.do("a", () => calls("a"))).length;
			await step.sleep("s", "1 hour");
			return [event.payload, n]`,
			`const i = await WF.create({ params: "p" }); await when(i, "waiting"); await i.restart(); await when(i, "queued", "running", "waiting");
			const first = (await when(i, "complete")).output; await i.restart(); return [first, (await when(i, "complete")).output]`, `[["p",2],["p",3]]`},
		{"a batch leaves out what is there", ``,
			`await WF.create({ id: "b" }); return (await WF.createBatch([{ id: "a" }, { id: "b" }, { id: "c" }])).map(i => i.id)`, `["a","c"]`},
		{"what is refused", ``,
			`const out = []; const no = async f => { try { await f(); out.push("taken") } catch (e) { out.push(e.name + ": " + e.message) } };
			await WF.create({ id: "a" });
			await no(() => WF.create({ id: "a" })); await no(() => WF.get("b")); await no(() => WF.create({ id: "-x" })); await no(() => WF.create({ id: "x", locationHint: 1 }));
			await no(() => WF.create({ id: "x", retention: { successRetention: "soon" } })); await no(() => WF.createBatch([]));
			await no(async () => (await WF.get("a")).sendEvent({}));
			return out.join("\n")`,
			`Error: WF: there is an instance a already
Error: WF: there is no instance b
TypeError: WF: the id of an instance is -x: give 1 to 100 letters, digits, "_" and "-", and no "-" at the beginning
TypeError: WF: the option locationHint is not part of this version
TypeError: retention.successRetention is soon: give milliseconds, or a text such as "5 minutes"
RangeError: WF: createBatch() was given 0 instances, and takes from 1 to 100
TypeError: the type of an event is undefined: give 1 to 100 letters, digits, "_" and "-"`},
		{"options of steps that are refused", `
			const out = []; const no = async p => { try { await p; out.push("taken") } catch (e) { out.push(e.name + ": " + e.message) } };
			await no(step.do("a", { timeout: "1 hour" }, async () => 1)); await no(step.do("a", { rollback: 1 }, async () => 1)); await no(step.do("", async () => 1));
			await no(step.do("a", { retries: { limit: -1 } }, async () => 1)); await no(step.do("a")); await no(step.sleep("a", "soon"));
			return out.join("\n")`, `return (await when(await WF.create(), "complete")).output`,
			`RangeError: step "a": the timeout is 3600000 ms, the limit is 840000 ms
TypeError: step "a": the option rollback is not part of this version
TypeError: step.do: a step's name is a text of 1 to 256 characters
TypeError: step "a": retries.limit is -1: give a whole number, or Infinity
TypeError: step "a": the callback is not a function
TypeError: step "a": the time is soon: give milliseconds, or a text such as "5 minutes"`},
		{"what is over is cleared in the end", ``,
			`const i = await WF.create({ id: "a", retention: { successRetention: "1 day" } }); await when(i, "complete");
			await new Promise(done => setTimeout(done, 23 * 3600_000)); const still = (await i.status()).status;
			await new Promise(done => setTimeout(done, 2 * 3600_000));
			try { await i.status() } catch (e) { return [still, e.message, (await WF.create({ id: "a" })).id] }`, `["complete","WF: there is no instance a","a"]`},
		{"more steps than one alarm has time for", `
			const began = [];
			for (let n = 0; n < 5; n++) await step.do("long", async () => { await new Promise(done => setTimeout(done, 300_000)); });
			return "done"`, `return (await when(await WF.create(), "complete")).output`, `done`},
		{"too many events", `await step.sleep("s", "1 day"); const all = []; for (let n = 0; n < 3; n++) all.push((await step.waitForEvent("e", { type: "a" })).payload); return all`,
			`const i = await WF.create({ id: "a" }); for (let n = 0; n < 1024; n++) await i.sendEvent({ type: n % 2 ? "a" : "b", payload: n });
			try { await i.sendEvent({ type: "a" }) } catch (e) { return [e.message, (await when(i, "complete")).output] }`,
			`["sendEvent(): 1024 events wait for the instance a already",[1,3,5]]`},
		{"ctx and env of the class", `return [typeof ctx.waitUntil, typeof ctx.storage, typeof env.WF.create]`,
			`return (await when(await WF.create(), "complete")).output`, `["function","undefined","function"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorks(t, c.run, c.fetch)
			synctest.Test(t, func(t *testing.T) {
				w.open(t)
				defer w.close()
				got := w.ask("/")
				if i := strings.Index(got, "instance "); i > 0 && strings.Contains(c.want, "instance ID") {
					got = strings.ReplaceAll(got, got[i+len("instance "):i+len("instance ")+36], "ID")
				}
				if got != c.want {
					t.Errorf("got  %s\nwant %s\n%v", got, c.want, w.host.exceptions())
				}
			})
		})
	}
}

// TestWorkflowResumes drops the actor again and again while a workflow runs.
func TestWorkflowResumes(t *testing.T) {
	w := newWorks(t, `
			let sum = 0;
			for (let n = 1; n <= 20; n++) {
				sum += await step.do("add", async () => { await new Promise(done => setTimeout(done, 700)); return n; });
				if (n % 3 === 0) await step.sleep("nap", 400);
			}
			return sum`,
		`const path = new URL(request.url).pathname;
			if (path === "/start") { await WF.create({ id: "one" }); return "ok" }
			return await (await WF.get("one")).status()`)
	synctest.Test(t, func(t *testing.T) {
		w.open(t)
		defer w.close()
		w.ask("/start")
		for n := range 30 {
			<-time.After(time.Duration(300+137*n%900) * time.Millisecond)
			w.crash("one")
		}
		got := ""
		for range 200 {
			<-time.After(10 * time.Second)
			if got = w.ask("/status"); strings.Contains(got, "complete") {
				break
			}
		}
		if want := fmt.Sprintf(`{"status":"complete","output":%d}`, 210); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestWorkflowThatNeverComesFurther drops the actor in the same step each time.
func TestWorkflowThatNeverComesFurther(t *testing.T) {
	w := newWorks(t, `
		await step.do("good", async () => 1);
		await step.do("bad", () => new Promise(() => {}));`,
		`const path = new URL(request.url).pathname;
		if (path === "/start") { await WF.create({ id: "one" }); return "ok" }
		return await (await WF.get("one")).status()`)
	synctest.Test(t, func(t *testing.T) {
		w.open(t)
		defer w.close()
		w.ask("/start")
		got := ""
		for range 120 {
			<-time.After(6 * time.Minute)
			w.crash("one")
			if got = w.ask("/status"); strings.Contains(got, "errored") {
				break
			}
		}
		if !strings.Contains(got, "run() was begun 100 times since it finished a step") {
			t.Errorf("got %s", got)
		}
	})
}
