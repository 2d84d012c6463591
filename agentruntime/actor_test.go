package agentruntime

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// gatedBackend keeps acknowledgements back until they are let through, or fails them.
type gatedBackend struct {
	durable.Backend
	mu      sync.Mutex
	hold    bool
	fail    error
	batches []durable.Batch
	waiting []func()
}

func (g *gatedBackend) Commit(b durable.Batch, done func(error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batches = append(g.batches, b)
	if g.fail != nil {
		err := g.fail
		go done(err)
		return
	}
	if !g.hold {
		g.Backend.Commit(b, done)
		return
	}
	g.waiting = append(g.waiting, func() { g.Backend.Commit(b, done) })
}

func (g *gatedBackend) release() {
	g.mu.Lock()
	waiting := g.waiting
	g.waiting, g.hold = nil, false
	g.mu.Unlock()
	for _, f := range waiting {
		f()
	}
}

func (g *gatedBackend) commits() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.batches)
}

// stage is one actor on a store in memory.
type stage struct {
	t       testing.TB
	agent   *Agent
	store   *durable.Memory
	backend *gatedBackend
	host    *testHost
	actor   *Actor
	sockets Sockets
	id      durable.ID

	maxBatch int
}

func newStage(t testing.TB, source string) *stage {
	t.Helper()
	s := &stage{t: t, store: durable.NewMemory(), host: &testHost{}}
	s.agent = newAgent(t, source, Config{Limits: Limits{Wall: time.Minute}, Bindings: []Binding{{Name: "NS", Kind: BindingDurable, Class: "A"}, {Name: "OTHER", Kind: BindingDurable, Class: "A", Namespace: "elsewhere"}, {Name: "MODEL", Value: "small"}}})
	s.id = durable.NewNamespace("A").IDFromName("one")
	t.Cleanup(func() {
		if s.actor != nil {
			s.actor.Close(nil)
		}
		_ = s.store.Close()
	})
	return s
}

// activate makes the actor, anew if there was one.
func (s *stage) activate() *stage {
	s.t.Helper()
	if err := s.tryActivate(); err != nil {
		s.t.Fatal(err)
	}
	return s
}

func (s *stage) tryActivate() error {
	key := durable.Key{Namespace: "A", ID: s.id}
	fence, state, err := s.store.Acquire(context.Background(), key)
	if err != nil {
		return err
	}
	state.MaxBatch = s.maxBatch
	s.backend = &gatedBackend{Backend: durable.NewBackend(s.store, fence)}
	storage := durable.NewStorage(durable.StorageConfig{Backend: s.backend, Fence: fence, State: state, Name: "one"})
	s.actor, err = s.agent.Activate(context.Background(), ActorConfig{Class: "A", ID: s.id, Name: "one", Storage: storage, Host: s.host, Sockets: s.sockets})
	return err
}

// args serializes call arguments given as JavaScript.
func args(t testing.TB, list string) []byte {
	t.Helper()
	r := newRealm(&loop{})
	r.agent = &Agent{}
	v, err := r.rt.RunString("[" + list + "]")
	if err != nil {
		t.Fatal(err)
	}
	var values []goja.Value
	r.rt.ForOf(v, func(e goja.Value) bool { values = append(values, e); return true })
	data, err := r.serializeList(values)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// calling is the call of a method.
func calling(method string, args []byte) Call {
	return Call{Path: []string{method}, Args: Value{Data: args}}
}

// shown is a serialized value as a console shows it.
func shown(t testing.TB, data []byte) string {
	t.Helper()
	r := newRealm(&loop{})
	r.agent = &Agent{script: &Script{stacks: &sourceMap{}}}
	v, err := r.deserialize(data)
	if err != nil {
		t.Fatal(err)
	}
	return r.inspect(v)
}

// call runs a method and shows its result, or its error.
func (s *stage) call(method, list string) string {
	s.t.Helper()
	data, err := s.actor.Call(context.Background(), s.host, calling(method, args(s.t, list))).Result()
	if err != nil {
		return "error " + err.Error()
	}
	return shown(s.t, data.Data)
}

func TestActorClassForms(t *testing.T) {
	for _, c := range []struct{ name, src string }{
		{"extends DurableObject", `import {DurableObject} from "cloudflare:workers";
			export class A extends DurableObject { who() { return this.ctx.id.name + this.env.MODEL + (this.ctx.id.toString().length) }
				fetch(req) { return new Response(this.who()) } }`},
		{"the older constructor", `export class A { constructor(state, env) { this.state = state; this.e = env }
			who() { return this.state.id.name + this.e.MODEL + String(this.state.id).length }
			async fetch(req) { return new Response(this.who()) } }`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, c.src).activate()
			if got := s.call("who", ""); got != "'onesmall64'" {
				t.Fatal(got)
			}
			body, _, err, report := answer(t, s.actor.Fetch(t.Context(), s.host, get("/")))
			if err != nil || body != "onesmall64" || report.Outcome != OutcomeOK {
				t.Fatal(body, err, report)
			}
		})
	}
}

const storageSource = `import {DurableObject} from "cloudflare:workers";
export class A extends DurableObject {
	n = 0;
	async run(code, ...args) { return await new (Object.getPrototypeOf(async function(){}).constructor)("s", "ctx", "args", "self", code)(this.ctx.storage, this.ctx, args, this) }
	up() { return ++this.n }
	async inc() { const n = (await this.ctx.storage.get("n")) ?? 0; await this.ctx.storage.put("n", n + 1); return n + 1 }
	alarm(info) { return this.ctx.storage.put("alarm", info) }
}`

func TestActorStorage(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"missing key", `return await s.get("x")`, "undefined"},
		{"put and get", `s.put("x", {a: [1, new Date(0)]}); return await s.get("x")`, "{ a: [ 1, 1970-01-01T00:00:00.000Z ] }"},
		{"a copy is stored", `const o = {a: 1}; await s.put("x", o); o.a = 2; return (await s.get("x")).a`, "1"},
		{"put of an object", `await s.put({a: 1, b: 2}); return await s.get(["b", "a", "c"])`, "Map(2) { 'b' => 2, 'a' => 1 }"},
		{"delete one", `await s.put("a", 1); return [await s.delete("a"), await s.delete("a")]`, "[ true, false ]"},
		{"delete several", `await s.put({a: 1, b: 2}); return await s.delete(["a", "b", "c"])`, "2"},
		{"list", `await s.put({a: 1, b: 2, c: 3, d: 4}); return [...(await s.list()).keys()].join("")`, "'abcd'"},
		{"list with bounds", `await s.put({a: 1, b: 2, c: 3, d: 4}); return [...(await s.list({start: "b", end: "d"})).keys()].join("")`, "'bc'"},
		{"list after a key, reversed", `await s.put({a: 1, b: 2, c: 3, d: 4}); return [...(await s.list({startAfter: "a", reverse: true, limit: 2})).keys()].join("")`, "'dc'"},
		{"list with a prefix", `await s.put({ax: 1, ay: 2, b: 3}); return [...(await s.list({prefix: "a"})).values()].join("")`, "'12'"},
		{"start and startAfter", `try { await s.list({start: "a", startAfter: "b"}) } catch (e) { return e.name }`, "'TypeError'"},
		{"options are accepted", `await s.put("x", 1, {allowConcurrency: true, allowUnconfirmed: true, noCache: true}); return await s.get("x", {noCache: true})`, "1"},
		{"129 keys", `try { await s.get(Array.from({length: 129}, (_, i) => "k" + i)) } catch (e) { return e.message }`, "'get() was given 129 keys, the limit is 128'"},
		{"a long key", `try { await s.put("x".repeat(3000), 1) } catch (e) { return e.message }`, "'the key has 3000 bytes, the limit is 2048'"},
		{"a large value", `try { await s.put("x", new Uint8Array(2 * 1024 * 1024)) } catch (e) { return e.name + ": " + e.message }`, "'RangeError: the value has 2097166 bytes, the limit is 2097152'"},
		{"a large value among others", `try { await s.put({a: 1, x: new Uint8Array(2 * 1024 * 1024)}) } catch (e) { return [e.name, await s.get("a")] }`, "[ 'RangeError', undefined ]"},
		{"a large value, synchronously", `try { s.kv.put("x", "x".repeat(2 * 1024 * 1024)) } catch (e) { return e.name }`, "'RangeError'"},
		{"129 entries", `try { await s.put(Object.fromEntries(Array.from({length: 129}, (_, i) => ["k" + i, 1]))) } catch (e) { return e.message }`, "'put() was given 129 keys, the limit is 128'"},
		{"129 deletions", `try { await s.delete(Array.from({length: 129}, (_, i) => "k" + i)) } catch (e) { return e.message }`, "'delete() was given 129 keys, the limit is 128'"},
		{"a function", `try { await s.put("x", () => 1) } catch (e) { return e.name }`, "'DataCloneError'"},
		{"undefined", `try { await s.put("x", undefined) } catch (e) { return e.name }`, "'TypeError'"},
		{"deleteAll", `await s.put("a", 1); await s.deleteAll(); return (await s.list()).size`, "0"},
		{"sync", `s.put("a", 1); await s.sync(); return "done"`, "'done'"},
		{"synchronous kv", `s.kv.put("a", 1); s.kv.put("b", 2); return [s.kv.get("a"), s.kv.get("z"), s.kv.delete("a"), [...s.kv.list()].join()]`, "[ 1, undefined, true, 'b,2' ]"},
		{"compare and set", `const k = s.kv; return [k.compareAndSet("a", undefined, {n: 1}), k.compareAndSet("a", undefined, 2), k.compareAndSet("a", {n: 2}, 3), k.compareAndSet("a", {n: 1}, new Map([[1, 2]])),
			k.compareAndSet("a", new Map([[1, 2]]), undefined), k.get("a"), k.compareAndSet("a", 1, undefined), k.compareAndSet("a", undefined, undefined)]`, "[ true, false, false, true, true, undefined, false, true ]"},
		{"compare and set, misused", `try { s.kv.compareAndSet("a", 1) } catch (e) { return e.name }`, "'TypeError'"},
		{"alarm", `const at = Date.now() + 60000; await s.setAlarm(new Date(at)); const g = await s.getAlarm(); await s.deleteAlarm(); return [g === at, await s.getAlarm()]`, "[ true, null ]"},
		{"transaction", `await s.transaction(async txn => { await txn.put("a", 1); await txn.put("b", 2) }); return (await s.list()).size`, "2"},
		{"transaction's result", `return await s.transaction(async txn => 7)`, "7"},
		{"transaction that throws", `try { await s.transaction(async txn => { txn.put("a", 1); throw new Error("no") }) } catch (e) { return [e.message, await s.get("a")] }`, "[ 'no', undefined ]"},
		{"rollback", `await s.transaction(async txn => { await txn.put("a", 1); txn.rollback() }); return await s.get("a")`, "undefined"},
		{"use after rollback", `return await s.transaction(async txn => { txn.rollback(); try { await txn.put("a", 1) } catch (e) { return "refused" } })`, "'refused'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, storageSource).activate()
			if got := s.call("run", "`"+c.code+"`"); got != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestActorStateSurvivesActivation(t *testing.T) {
	s := newStage(t, storageSource).activate()
	s.call("inc", "")
	if got := s.call("up", "") + s.call("up", ""); got != "12" {
		t.Fatal("fields are not kept:", got)
	}
	s.actor.Close(nil)
	s.activate()
	if got := s.call("inc", "") + s.call("up", ""); got != "21" {
		t.Fatal(got)
	}
}

func TestActorCallsOnlyPublicMethods(t *testing.T) {
	s := newStage(t, `import {DurableObject} from "cloudflare:workers";
		export class A extends DurableObject { own = () => 1; #p() { return 1 } pub() { return this.#p() } alarm() {} fetch() {} }`).activate()
	if got := s.call("pub", ""); got != "1" {
		t.Fatal(got)
	}
	for _, name := range []string{"constructor", "fetch", "alarm", "own", "#p", "nothere", "toString", "then", "__proto__", "hasOwnProperty"} {
		if got := s.call(name, ""); !strings.Contains(got, "does not implement") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestActorOneTurnIsOneCommit(t *testing.T) {
	s := newStage(t, storageSource).activate()
	s.call("run", "`s.put('a', 1); await s.put('b', 2); await s.get('a'); await s.put('c', 3)`")
	if n := s.backend.commits(); n != 1 {
		t.Fatalf("%d batches", n)
	}
}

func TestActorNothingLeavesBeforeItIsDurable(t *testing.T) {
	const source = `import {DurableObject} from "cloudflare:workers";
		export class A extends DurableObject {
			stream() { const s = this.ctx.storage; return new Response(new ReadableStream({ async pull(c) { await scheduler.wait(1); s.put("a", 3); c.enqueue(new Uint8Array([1])); c.close() } })) }
			put() { this.ctx.storage.put("a", 1); return "x" }
			async fetch(req) { if (req.url.endsWith("stream")) return this.stream(); this.ctx.storage.put("a", 2); if (req.url.endsWith("out")) await fetch("https://x.example/"); return new Response("x") } }`

	for _, c := range []struct {
		name string
		do   func(s *stage)
	}{
		{"a result", func(s *stage) { s.call("put", "") }},
		{"a response", func(s *stage) { answer(t, s.actor.Fetch(context.Background(), s.host, get("/"))) }},
		{"a chunk of a body", func(s *stage) { answer(t, s.actor.Fetch(context.Background(), s.host, get("/stream"))) }},
		{"a request", func(s *stage) { answer(t, s.actor.Fetch(context.Background(), s.host, get("/out"))) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, source).activate()
				left := false
				s.host.fetch = func(context.Context, Target, *Request) (*Response, error) {
					left = true
					return &Response{Status: 200}, nil
				}
				s.backend.hold = true
				done := make(chan struct{})
				go func() { c.do(s); left = true; close(done) }()
				<-time.After(time.Second)
				synctest.Wait()
				if s.backend.commits() != 1 {
					t.Fatal("nothing was written")
				}
				if left {
					t.Fatal("it left before the write was durable")
				}
				s.backend.release()
				<-done
			})
		})
	}
}

func TestActorFailedCommitResets(t *testing.T) {
	s := newStage(t, storageSource).activate()
	s.backend.fail = errors.New("disk full")
	_, err := s.actor.Call(t.Context(), s.host, calling("inc", args(t, ""))).Result()
	var remote *RemoteError
	if !errors.As(err, &remote) || !remote.Reset {
		t.Fatalf("got %v", err)
	}
	if s.actor.Broken() == nil {
		t.Fatal("the actor is not broken")
	}
	if _, err := s.actor.Call(t.Context(), s.host, calling("up", args(t, ""))).Result(); err == nil {
		t.Fatal("a broken actor answered")
	}
	s.activate()
	if got := s.call("inc", ""); got != "1" {
		t.Fatal(got)
	}
}

func TestActorConcurrentIncrements(t *testing.T) {
	s := newStage(t, storageSource).activate()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				if _, err := s.actor.Call(context.Background(), s.host, calling("inc", args(t, ""))).Result(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := s.call("inc", ""); got != "201" {
		t.Fatal(got)
	}
}

func TestActorBlockConcurrencyWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, `import {DurableObject} from "cloudflare:workers";
		export class A extends DurableObject {
			log = [];
			constructor(ctx, env) { super(ctx, env); ctx.blockConcurrencyWhile(async () => { await scheduler.wait(50); this.log.push("ready") }) }
			async block() { await this.ctx.blockConcurrencyWhile(async () => { this.log.push("in"); await scheduler.wait(20); await new Promise(r => setTimeout(r, 20)); this.log.push("out") }); this.log.push("after") }
			async nest() { await this.ctx.blockConcurrencyWhile(async () => { this.log.push("1"); await this.ctx.blockConcurrencyWhile(async () => { await scheduler.wait(5); this.log.push("2") }); this.log.push("3") }) }
			both() { return Promise.all(["a", "b"].map(x => this.ctx.blockConcurrencyWhile(async () => { this.log.push(x); await scheduler.wait(5); this.log.push(x) }))) }
			mark(m) { this.log.push(m) }
			get() { const l = this.log; this.log = []; return l.join() }
			bad() { return this.ctx.blockConcurrencyWhile(async () => { throw new Error("half made") }) }
			late() { return this.ctx.blockConcurrencyWhile(() => new Promise(() => {})) }
		}`).activate()
		if got := s.call("get", ""); got != "'ready'" {
			t.Fatal(got)
		}
		var wg sync.WaitGroup
		wg.Go(func() { s.call("block", "") })
		synctest.Wait()
		wg.Go(func() { s.call("mark", "'other'") })
		wg.Wait()
		if got := s.call("get", ""); got != "'in,out,after,other'" && got != "'in,out,other,after'" {
			t.Fatal(got)
		}
		s.call("nest", "")
		if got := s.call("get", ""); got != "'1,2,3'" {
			t.Fatal(got)
		}
		s.call("both", "")
		if got := s.call("get", ""); got != "'a,a,b,b'" {
			t.Fatal(got)
		}
		if got := s.call("bad", ""); !strings.Contains(got, "half made") || s.actor.Broken() == nil {
			t.Fatal(got)
		}
		s.activate()
		if got := s.call("late", ""); !strings.Contains(got, "waited for too long") {
			t.Fatal(got)
		}
	})
}

func TestActorConstructorThrows(t *testing.T) {
	s := newStage(t, `export class A { constructor() { throw new RangeError("no") } }`)
	err := s.tryActivate()
	s.actor = nil
	if err == nil || !strings.Contains(err.Error(), "RangeError: no") {
		t.Fatal(err)
	}
}

func TestActorCPULimitResets(t *testing.T) {
	s := newStage(t, `export class A { spin() { for (;;) {} } ok() { return 1 } }`).activate()
	s.agent.limits.CPU = 20 * time.Millisecond
	inv := s.actor.Call(t.Context(), s.host, calling("spin", args(t, "")))
	if _, err := inv.Result(); !errors.Is(err, ErrExceededCPU) {
		t.Fatal(err)
	}
	if r := inv.Wait(); r.Outcome != OutcomeExceededCPU || s.actor.Broken() == nil {
		t.Fatal(r)
	}
	s.activate()
	if got := s.call("ok", ""); got != "1" {
		t.Fatal(got)
	}
}

func TestActorAlarm(t *testing.T) {
	s := newStage(t, `export class A { constructor(s) { this.s = s }
		async set(at) { await this.s.storage.setAlarm(at) }
		async alarm(info) { if (await this.s.storage.get("fail")) throw new Error("later"); this.seen = JSON.stringify([info.retryCount, info.isRetry, await this.s.storage.getAlarm()]); await this.s.storage.put("ran", 1) }
		fail(v) { this.s.storage.put("fail", v) }
		look() { return [this.seen, this.s.storage.kv.get("ran")] }
		alarmAt() { return this.s.storage.getAlarm().then(v => v !== null) } }`).activate()
	if report, err := s.actor.Alarm(t.Context(), s.host); err != nil || report.Outcome != "" {
		t.Fatal("an alarm ran that nobody set", report, err)
	}
	s.call("set", "0")
	if report, err := s.actor.Alarm(t.Context(), s.host); err != nil || report.Outcome != OutcomeOK {
		t.Fatal(report, err)
	}
	if got := s.call("look", ""); got != "[ '[0,false,null]', 1 ]" {
		t.Fatal(got)
	}
	if got := s.call("alarmAt", ""); got != "false" {
		t.Fatal("the alarm is still set")
	}
	s.call("fail", "true")
	s.call("set", "0")
	if report, err := s.actor.Alarm(t.Context(), s.host); err != nil || report.Outcome != OutcomeException {
		t.Fatal(report, err)
	}
	if got := s.call("alarmAt", ""); got != "true" {
		t.Fatal("no retry is set")
	}
}

func TestActorEventsKeepTheirHost(t *testing.T) {
	s := newStage(t, `export class A { async say(ms, text) { await scheduler.wait(ms); console.log(text); await null; setTimeout(() => console.log(text + "!"), 1); await scheduler.wait(20) } }`).activate()
	one, two := &testHost{}, &testHost{}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = s.actor.Call(context.Background(), one, calling("say", args(t, "5, 'one'"))).Result() })
	wg.Go(func() { _, _ = s.actor.Call(context.Background(), two, calling("say", args(t, "1, 'two'"))).Result() })
	wg.Wait()
	if got := strings.Join(one.logs(), "|"); got != "log: one|log: one!" {
		t.Error(got)
	}
	if got := strings.Join(two.logs(), "|"); got != "log: two|log: two!" {
		t.Error(got)
	}
}
