package cell

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

// answer runs one request to its end.
func answer(t testing.TB, inv *Invocation) (string, error, agentruntime.Report) {
	t.Helper()
	resp, err := inv.Response()
	text := ""
	if err == nil && resp != nil && resp.Body != nil {
		b, rerr := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		text, err = string(b), rerr
	}
	return text, err, inv.Wait()
}

// recorder keeps what code emits.
type recorder struct {
	nobody
	mu     sync.Mutex
	events []agentruntime.Event
}

func (r *recorder) Emit(ev agentruntime.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, ev)
}

// TestDeath runs code that no interrupt stops, or that wants too much. Its cell ends with the right outcome, and the next
// request is answered.
func TestDeath(t *testing.T) {
	p := newPool(t)
	source := `export default { async fetch(req) {
		switch (new URL(req.url).pathname) {
		case "/native": { let n = 3n ** 2000000n; for (;;) n *= n }
		case "/memory": { const all = []; for (;;) all.push(new Uint8Array(1e6).fill(1)) }
		case "/wait": await new Promise(resolve => setTimeout(resolve, 3600000))
		}
		return new Response("well")
	} }`
	a := newAgent(t, p, source)
	patient, err := p.NewAgent(AgentConfig{Name: "patient", Bundle: bundle(t, source), Limits: agentruntime.Limits{CPU: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(patient.Close)
	for path, want := range map[string]error{"/native": agentruntime.ErrExceededCPU, "/memory": agentruntime.ErrExceededMemory} {
		t.Run(path[1:], func(t *testing.T) {
			a, rec := a, new(recorder)
			if path == "/memory" {
				a = patient // on a slow machine the time would be up first
			}
			_, err, rep := answer(t, a.Fetch(context.Background(), rec, get(path)))
			outcome := map[error]agentruntime.Outcome{agentruntime.ErrExceededCPU: agentruntime.OutcomeExceededCPU, agentruntime.ErrExceededMemory: agentruntime.OutcomeExceededMemory}[want]
			if !errors.Is(err, want) || rep.Outcome != outcome {
				t.Errorf("%v, %+v", err, rep)
			}
			if len(rec.events) != 1 || rec.events[0].Exception == nil {
				t.Errorf("what was written down: %+v", rec.events)
			}
			if text, err, _ := answer(t, a.Fetch(context.Background(), nobody{}, get("/"))); text != "well" || err != nil {
				t.Errorf("the next request: %q, %v", text, err)
			}
		})
	}
	t.Run("killed", func(t *testing.T) {
		waiting := a.Fetch(context.Background(), nobody{}, get("/wait"))
		if err := syscall.Kill(waiting.cell.cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		var told *agentruntime.RemoteError
		if _, err, rep := answer(t, waiting); !errors.Is(err, ErrEnded) || !errors.As(err, &told) || !told.Retryable || rep.Outcome != agentruntime.OutcomeException {
			t.Errorf("%v, %+v", err, rep)
		}
		if text, err, _ := answer(t, a.Fetch(context.Background(), nobody{}, get("/"))); text != "well" || err != nil {
			t.Errorf("the next request: %q, %v", text, err)
		}
	})
}

// TestCallerLeaves gives up a request that waits: the caller is told at once, and the code is stopped.
func TestCallerLeaves(t *testing.T) {
	a := newAgent(t, newPool(t), `export default { async fetch() { await new Promise(resolve => setTimeout(resolve, 3600000)) } }`)
	ctx, cancel := context.WithCancel(context.Background())
	inv := a.Fetch(ctx, nobody{}, get("/"))
	cancel()
	if _, err, rep := answer(t, inv); !errors.Is(err, agentruntime.ErrCanceled) || rep.Outcome != agentruntime.OutcomeCanceled {
		t.Errorf("%v, %+v", err, rep)
	}
}

// TestBodies sends bodies through a cell and back.
func TestBodies(t *testing.T) {
	a := newAgent(t, newPool(t), `export default { fetch(req) { return new Response(req.body) } }`)
	for _, size := range []int{1, 32 << 10, 32<<10 + 1, 1 << 20} {
		text := strings.Repeat("x", size)
		for _, length := range []int64{int64(size), -1} {
			req := get("/")
			req.Method, req.Body, req.ContentLength = "POST", io.NopCloser(strings.NewReader(text)), length
			if got, err, rep := answer(t, a.Fetch(context.Background(), nobody{}, req)); got != text || err != nil || rep.Outcome != agentruntime.OutcomeOK {
				t.Errorf("%d bytes, length %d: %d came back, %v, %+v", size, length, len(got), err, rep)
			}
		}
	}
}

// TestRefused loads code that does not work: the error is the one that code in this process gives.
func TestRefused(t *testing.T) {
	p := newPool(t)
	for source, want := range map[string]string{
		"export const x = 1": "neither a handler nor a class",
		"export default { fetch() {} }; throw new TypeError('no')": "TypeError: no (at agent.ts:1",
		"for (;;) {} export default { fetch() {} }":                "longer than",
	} {
		_, err := p.NewAgent(AgentConfig{Name: "test", Bundle: bundle(t, source), Limits: agentruntime.Limits{Startup: 100 * time.Millisecond}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// TestIdle sees that a cell in which nothing runs ends, and that the next event gets another.
func TestIdle(t *testing.T) {
	p := NewPool(Config{IdleAfter: time.Millisecond, Spares: -1})
	t.Cleanup(p.Close)
	a := newAgent(t, p, `export default { fetch() { return new Response("well") } }`)
	for range 3 {
		inv := a.Fetch(context.Background(), nobody{}, get("/"))
		if text, err, _ := answer(t, inv); text != "well" || err != nil {
			t.Fatalf("%q, %v", text, err)
		}
		<-inv.cell.gone // within a few looks
	}
}

// TestNotCompiled loads code that the engine's parser recurses in, and code that its compiler computes with, or would without
// guards: all are refused, soon, and say why.
func TestNotCompiled(t *testing.T) {
	p := newPool(t)
	const deep = 300_000
	for name, c := range map[string]struct{ code, want string }{
		"brackets":   {strings.Repeat("[", deep) + strings.Repeat("]", deep), "nested too deeply to be compiled"},
		"operators":  {strings.Repeat("!", deep) + "0", "nested too deeply to be compiled"},
		"conditions": {strings.Repeat("a?b:", deep) + "0", "nested too deeply to be compiled"},
		"functions":  {strings.Repeat("()=>", deep) + "0", "nested too deeply to be compiled"},
		"power":      {"3n**100000000n", "Maximum BigInt size exceeded"},
		"shift":      {"1n<<100000000000n", "Maximum BigInt size exceeded"},
		"sum":        {strings.Repeat("a+", 100_000) + "0", "compiling the module takes longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.NewAgent(AgentConfig{Name: "test", Bundle: &agentruntime.Bundle{Code: "(function(){" + c.code + "})()"}, Limits: agentruntime.Limits{Startup: 200 * time.Millisecond}})
			if underRace && err != nil && strings.Contains(err.Error(), "the kernel ended it for its memory") {
				return // with the detector's own the stack does not fit in the bound on memory
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
