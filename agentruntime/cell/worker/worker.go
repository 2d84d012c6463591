package worker

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/sandbox"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
	"github.com/gatehouse-edge/gatehouse/internal/collector"
)

const (
	// Command is the one argument that makes the program a cell.
	Command = "gatehouse-cell"
	// socket is the descriptor of the socket to the gateway.
	socket = 3
	// maxStack is the most bytes of one goroutine's stack. Natives of the engine that recurse without end run into it before
	// they use up the memory.
	maxStack = 64 << 20
	// compileMiB is the CPU time that a MiB of code may take to be compiled, beside what its evaluation may take: several times
	// what large bundles were seen to take.
	compileMiB = 4 * time.Second
)

// Asked reports whether this process was started to be a cell, or to bundle.
func Asked() bool {
	return len(os.Args) == 2 && (os.Args[1] == Command || os.Args[1] == BundleCommand)
}

// Main does what the process was started for, and ends it: a cell runs until its socket ends.
func Main() {
	if os.Args[1] == BundleCommand {
		bundle()
	}
	time.Local = time.UTC // code's local time, as in Workers; the machine's zone is not its business
	debug.SetMaxStack(maxStack)
	// A fresh runtime for each request makes little that lives and much that does not; a cell full of actors has much that lives.
	collector.Target{Most: 400, Least: 50, Slack: 64 << 20}.Follow()
	runtime.MemProfileRate = 0 // nobody reads the profile
	if err := syscall.SetNonblock(socket, true); err != nil {
		fmt.Fprintln(os.Stderr, "a cell is started by its gateway, with a socket to it:", err)
		os.Exit(2)
	}
	conn, err := wire.New(os.NewFile(socket, "gateway"), wire.Cell)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	w := &worker{conn: conn, crew: newCrew(), actors: map[uint64]*actor{}}
	conn.Note(wire.NewMessage(wire.NoteReady))
	// Not on this goroutine: while the program's packages are initialized it is bound to a thread, and each wake of it is one
	// of that thread.
	go func() {
		if err := conn.Run(w); wire.IsMalformed(err) {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		os.Exit(0)
	}()
	select {}
}

// worker is the cell.
type worker struct {
	conn   *wire.Conn
	agent  atomic.Pointer[agentruntime.Agent]
	loaded bool
	live   atomic.Int64 // invocations under way
	crew   *crew

	mu     sync.Mutex
	actors map[uint64]*actor
}

// Noted answers the gateway's question whether the cell is alive.
func (w *worker) Noted(note byte, payload []byte) error {
	if note != wire.NotePing {
		return wire.Malformed("note %d", note)
	}
	w.conn.Note(wire.NewMessage(wire.NotePong))
	return nil
}

// Opened begins what the gateway asks for, on a goroutine of its own.
func (w *worker) Opened(x *wire.Exchange, op byte, payload []byte) error {
	d := wire.NewDecoder(payload)
	if op == wire.OpLoad {
		l := d.Load()
		if err := d.End(); err != nil {
			return err
		}
		if w.loaded {
			return wire.Malformed("a second load")
		}
		w.loaded = true
		x.Accept(wire.Unexpected{})
		go w.load(x, l)
		return nil
	}
	agent := w.agent.Load()
	if agent == nil {
		return wire.Malformed("operation %d before anything is loaded", op)
	}
	switch op {
	case wire.OpActivate:
		return w.activate(agent, x, &d)
	case wire.OpActorFetch, wire.OpActorCall, wire.OpActorAlarm, wire.OpActorSocket:
		return w.actorEvent(x, op, &d)
	}
	v := w.newInvocation(x, nil)
	var start func() *agentruntime.Invocation
	switch op {
	case wire.OpFetch:
		entry, req := d.Entry(), d.Request()
		req.Body = d.Body(x, 0)
		start = func() *agentruntime.Invocation { return agent.FetchAt(v.ctx, v, entry, req) }
	case wire.OpCall:
		entry, call := d.Entry(), d.Call(w.conn)
		start = func() *agentruntime.Invocation { return agent.Call(v.ctx, v, entry, call) }
	case wire.OpScheduled:
		cron, at := d.String(), d.Time()
		start = func() *agentruntime.Invocation { return agent.Scheduled(v.ctx, v, cron, at) }
	case wire.OpTail:
		events := d.Bytes()
		start = func() *agentruntime.Invocation { return agent.Tail(v.ctx, v, events) }
	default:
		return wire.Malformed("operation %d", op)
	}
	if err := d.End(); err != nil {
		return err
	}
	w.crew.do(func() { v.run(start) })
	return nil
}

// load takes the code in and says what it found.
func (w *worker) load(x *wire.Exchange, l wire.Load) {
	if l.Procs > 0 {
		runtime.GOMAXPROCS(l.Procs)
	}
	if n := l.Limits.Memory; n > 0 {
		debug.SetMemoryLimit(n)
		go w.watch(n)
	}
	var found wire.Loaded
	if l.Sandbox != nil {
		f, err := sandbox.Enter(*l.Sandbox)
		if err != nil {
			fmt.Fprintln(os.Stderr, "enter the sandbox:", err)
			os.Exit(2)
		}
		found.InForce = f
	}
	w.open()
	agent, err := w.compile(l)
	if err == nil {
		found.Entries, found.Classes, found.Durable, found.Workflows = agent.Entries(), agent.Classes(), agent.DurableClasses(), agent.WorkflowClasses()
		if l.Explain {
			found.Slow = agent.SlowStart()
		}
		w.agent.Store(agent)
	}
	e := wire.NewEncoder()
	e.Loaded(found, err)
	x.Answer(e)
	x.End()
}

// compile compiles and evaluates the code. It gives up on code that takes too long to compile, which cannot be stopped: its
// gateway ends the cell.
func (w *worker) compile(l wire.Load) (*agentruntime.Agent, error) {
	limit := l.Limits.Startup + time.Duration(float64(len(l.Bundle.Code))/(1<<20)*float64(compileMiB))
	type result struct {
		script *agentruntime.Script
		err    error
	}
	done := make(chan result, 1)
	begun := cpuTime()
	go func() {
		script, err := l.Bundle.Compile()
		done <- result{script, err}
	}()
	look := time.NewTicker(lookBusy)
	defer look.Stop()
	for {
		select {
		case r := <-done:
			if r.err != nil {
				return nil, r.err
			}
			w.conn.Note(wire.NewMessage(wire.NoteCompiled))
			return agentruntime.New(agentruntime.Config{
				Name: l.Name, Script: r.script, Bindings: l.Bindings, Limits: l.Limits, Reuse: l.Reuse,
				Spares: agentruntime.DefaultSpares, Deaf: w.deaf,
			})
		case <-look.C:
			if cpuTime()-begun > limit {
				return nil, &agentruntime.CompileError{Text: fmt.Sprintf("compiling the module takes longer than %v", limit.Round(10*time.Millisecond)),
					Help: "Make the module smaller, or leave out what was changed last: expressions of very many operators take the compiler long."}
			}
		}
	}
}

// cpuTime is what the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// invocation is one event that the gateway has sent, and the Host of the code that handles it.
type invocation struct {
	wire.Unexpected
	w      *worker
	x      *wire.Exchange
	actor  *actor // nil for one of the agent's own
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (w *worker) newInvocation(x *wire.Exchange, a *actor) *invocation {
	v := &invocation{w: w, x: x, actor: a}
	v.ctx, v.cancel = context.WithCancelCause(context.Background())
	x.Accept(v)
	return v
}

// Canceled ends the event: its caller has gone.
func (v *invocation) Canceled([]byte) error {
	v.cancel(agentruntime.ErrCanceled)
	return nil
}

// run handles the event, which start begins, and answers.
func (v *invocation) run(start func() *agentruntime.Invocation) {
	v.w.live.Add(1)
	defer v.w.live.Add(-1)
	inv := start()
	resp, err := inv.Response()
	r := wire.Result{Response: resp, Err: err}
	if err == nil && resp == nil {
		r.Value, r.Err = inv.Result()
	}
	e := wire.NewEncoder()
	out, body := e.Result(v.x, r)
	if out != nil {
		v.answer(e, false, agentruntime.Report{})
		out.Copy(body)
	} else if rep, ended := inv.Ended(); ended {
		v.answer(e, true, rep)
		v.end()
		return
	} else {
		v.answer(e, false, rep)
	}
	v.report(inv.Wait())
	v.end()
}

// answer completes the answer with the event's end, if it has ended, and sends it.
func (v *invocation) answer(e *wire.Encoder, ended bool, rep agentruntime.Report) {
	if v.actor == nil || !ended {
		e.Ended(ended, rep, false)
		v.x.Answer(e)
		return
	}
	v.actor.tell(func(busy bool) {
		e.Ended(true, rep, busy)
		v.x.Answer(e)
	})
}

// report sends the event's end.
func (v *invocation) report(rep agentruntime.Report) {
	e := wire.NewMessage(wire.NoteReport)
	if v.actor == nil {
		e.Ended(true, rep, false)
		v.x.Note(e, false)
		return
	}
	v.actor.tell(func(busy bool) {
		e.Ended(true, rep, busy)
		v.x.Note(e, false)
	})
}

func (v *invocation) end() {
	v.cancel(agentruntime.ErrCanceled)
	v.x.End()
}

// lastWords is how long a cell that is about to end waits for its gateway to take them.
const lastWords = 100 * time.Millisecond

// die ends the process and says why: what the invocation of the given number came to is outcome.
func (w *worker) die(id uint64, outcome agentruntime.Outcome) {
	e := wire.NewMessage(wire.NoteDying)
	e.Uint(id)
	e.String(string(outcome))
	w.conn.Note(e)
	time.AfterFunc(lastWords, func() { os.Exit(1) })
	w.conn.Flush()
	os.Exit(1)
}

// deaf ends the process because code is in a native function that cannot be stopped.
func (w *worker) deaf(h agentruntime.Host) {
	id := uint64(0)
	if v, ok := h.(*invocation); ok {
		id = v.x.ID()
	}
	w.die(id, agentruntime.OutcomeExceededCPU)
}
