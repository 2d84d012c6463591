package agentruntime

import (
	"context"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// cpuOf reports the CPU time of the process per iteration, which a busy machine changes less than the time that passed.
func cpuOf(b *testing.B, run func()) {
	usage := func() time.Duration {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := usage()
	run()
	b.ReportMetric(float64((usage()-before).Nanoseconds())/1000/float64(b.N), "cpu-us/op")
}

func BenchmarkFetchHello(b *testing.B) {
	a := newAgent(b, `export default { fetch() { return new Response("hello") } }`, Config{})
	host := &testHost{}
	ctx := context.Background()
	req := get("/")
	b.ReportAllocs()
	cpuOf(b, func() {
		for b.Loop() {
			inv := a.Fetch(ctx, host, req)
			resp, err := inv.Response()
			if err != nil || resp.Status != 200 {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if r := inv.Wait(); r.Outcome != OutcomeOK {
				b.Fatal(r)
			}
		}
	})
}

// BenchmarkActorCall is an actor's method with a get and a put, called the way a stub calls it, on a store in memory.
func BenchmarkActorCall(b *testing.B) {
	s := newStage(b, storageSource).activate()
	none := args(b, "")
	ctx := context.Background()
	b.ReportAllocs()
	cpuOf(b, func() {
		for b.Loop() {
			if _, err := s.actor.Call(ctx, s.host, calling("inc", none)).Result(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStubCall is a worker that calls the method through a stub.
func BenchmarkStubCall(b *testing.B) {
	s := newStage(b, strings.Replace(stubSource, "CODE", `async (ns, s) => String(await s.up())`, 1)).activate()
	s.serve(b, get("/"))
}

// serve measures the stage's agent answering req, through to the end of the body.
func (s *stage) serve(b *testing.B, req *Request) {
	s.dispatch()
	ctx := context.Background()
	b.ReportAllocs()
	cpuOf(b, func() {
		for b.Loop() {
			inv := s.agent.Fetch(ctx, s.host, req)
			resp, err := inv.Response()
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			inv.Wait()
		}
	})
}

// BenchmarkCounter is a worker that routes a request to an actor's fetch handler, with one read and one write of storage.
func BenchmarkCounter(b *testing.B) {
	s := newStage(b, `
export class A {
  constructor(state) { this.storage = state.storage; }
  async fetch() {
    const count = ((await this.storage.get("count")) ?? 0) + 1;
    await this.storage.put("count", count);
    return new Response(String(count));
  }
}
export default {
  fetch(request, env) {
    const agent = new URL(request.url).searchParams.get("agent_id") ?? "x";
    return env.NS.get(env.NS.idFromName(agent)).fetch(request);
  },
};`).activate()
	s.serve(b, get("/?agent_id=x"))
}

// BenchmarkParallelHello is the hello world under 64 callers at a time.
func BenchmarkParallelHello(b *testing.B) {
	a := newAgent(b, `export default { fetch() { return new Response("hello") } }`, Config{})
	host := &testHost{}
	ctx := context.Background()
	b.SetParallelism(32)
	cpuOf(b, func() {
		b.RunParallel(func(pb *testing.PB) {
			req := get("/")
			for pb.Next() {
				inv := a.Fetch(ctx, host, req)
				if resp, err := inv.Response(); err != nil || resp.Status != 200 {
					b.Error(err)
				}
				inv.Wait()
			}
		})
	})
}

// BenchmarkTurn is what measuring one turn costs.
func BenchmarkTurn(b *testing.B) {
	m, rt := new(meter), goja.New()
	b.ReportAllocs()
	for b.Loop() {
		m.begin(rt, time.Second, 0)
		m.end()
	}
}

// BenchmarkIdleActor reports the memory that an actor keeps that is not doing anything.
func BenchmarkIdleActor(b *testing.B) {
	a := newAgent(b, storageSource, Config{})
	host := &testHost{}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	actors := make([]*Actor, 0, b.N)
	for range b.N {
		x, err := a.Activate(context.Background(), ActorConfig{Class: "A", Storage: durable.NewStorage(durable.StorageConfig{}), Host: host})
		if err != nil {
			b.Fatal(err)
		}
		actors = append(actors, x)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "B/actor")
	for _, x := range actors {
		x.Close(nil)
	}
}

// BenchmarkIdleRuntime reports the memory that a runtime keeps that has evaluated a small module and serves nobody: with every
// Web API in reach, with each of them touched once, and with the first promise made.
func BenchmarkIdleRuntime(b *testing.B) {
	names := slices.Sorted(maps.Keys(globals))
	touch := func(r *realm) {
		for _, name := range names {
			_ = r.rt.GlobalObject().Get(name)
		}
	}
	for _, c := range []struct {
		name string
		with func(*realm)
	}{
		{"in reach", func(*realm) {}},
		{"a promise made", func(r *realm) { r.newPromise() }},
		{"all touched", touch},
	} {
		b.Run(c.name, func(b *testing.B) {
			a := newAgent(b, `export default { fetch() { return new Response("hello") } }`, Config{})
			limits := a.limits
			var before, after runtime.MemStats
			kept := make([]*realm, 0, b.N)
			runtime.GC()
			runtime.ReadMemStats(&before)
			for range b.N {
				r := a.newRealm()
				inv := r.newInvocation(context.Background(), &testHost{}, &limits, limits.Wall)
				r.home, r.first = &inv.home, inv
				r.loop.run(task{scope: &inv.home, run: func() {
					r.evaluate(func(err error) {
						if err != nil {
							b.Error(err)
						}
						c.with(r)
					})
				}})
				kept = append(kept, r)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "B/runtime")
			b.ReportMetric(float64(len(names)), "globals")
			runtime.KeepAlive(kept)
		})
	}
}
